//! The table `tests/effort.toml`: how much the biggest tests do.

use crate::shell;
use anyhow::{Context, Result, bail};

/// The counts under a heading, each named as the environment variable that carries it.
pub(crate) fn table(heading: &str) -> Result<Vec<(String, String)>> {
    let file = shell::checkout()?.join("tests/effort.toml");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    parse(&text, heading).with_context(|| file.display().to_string())
}

/// Reads headings, `name = count` lines and comments, and refuses everything else.
fn parse(text: &str, heading: &str) -> Result<Vec<(String, String)>> {
    let mut current = "";
    let mut counts = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            current = name;
            continue;
        }
        let Some((name, count)) = line.split_once('=') else {
            bail!("not understood: {line}");
        };
        let count: u64 = count.trim().parse().with_context(|| line.to_owned())?;
        if current == heading {
            let name = format!("NEUROPOD_{}", name.trim().to_uppercase());
            counts.push((name, count.to_string()));
        }
    }
    if counts.is_empty() {
        bail!("nothing under [{heading}]");
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_taken_from_their_heading_alone() {
        let text = "# why\n[ci]\nhistories = 10\n\n[soak]\nhistories = 20\nkills = 3\n";
        let variable = |name: &str, count: &str| (name.to_owned(), count.to_owned());
        let soak = [
            variable("NEUROPOD_HISTORIES", "20"),
            variable("NEUROPOD_KILLS", "3"),
        ];
        assert_eq!(parse(text, "soak").unwrap(), soak);
        assert!(parse(text, "nightly").is_err());
        assert!(parse("[ci]\nhistories: 10", "ci").is_err());
        assert!(parse("[ci]\nhistories = many", "ci").is_err());
    }

    #[test]
    fn the_table_has_both_headings_with_the_same_names() {
        let names = |heading| -> Vec<String> {
            table(heading)
                .unwrap()
                .into_iter()
                .map(|(name, _)| name)
                .collect()
        };
        assert_eq!(names("ci"), names("soak"));
    }
}
