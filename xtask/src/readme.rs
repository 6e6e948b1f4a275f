//! What the README promises, and whether it is so.

use crate::shell;
use anyhow::{Context, Result};

/// The first command it gives: the first line of its first block of shell, without the remark.
pub(crate) fn first_command() -> Result<String> {
    let text = std::fs::read_to_string(shell::checkout()?.join("README.md"))?;
    let block = text.split("```sh\n").nth(1);
    let line = block.and_then(|block| block.lines().next());
    let command = line.and_then(|line| line.split('#').next());
    Ok(command
        .context("the README gives no command")?
        .trim()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_quickstart_is_the_example() {
        let checkout = shell::checkout().unwrap();
        let read = |name| std::fs::read_to_string(checkout.join(name)).unwrap();
        let (readme, example) = (read("README.md"), read("examples/quickstart.rs"));
        assert!(
            readme.contains(&format!("```rust\n{example}```\n")),
            "README.md does not show examples/quickstart.rs as it is"
        );
        assert!(example.lines().count() <= 40, "it is to fit on one screen");
    }

    #[test]
    fn its_first_command_sets_everything_up() {
        assert_eq!(first_command().unwrap(), "cargo xtask up");
    }
}
