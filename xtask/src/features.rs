//! What embedders may choose, each choice alone: in the workspace one crate's features help another.

use crate::shell;
use crate::steps::Steps;
use anyhow::{Result, bail};

const CHOICES: [&str; 9] = [
    "", "docker", "k8s", "oidc", "sqlite", "postgres", "mock", "testing", "openapi",
];
/// Families of crates that nobody gets who has not asked for them.
const HEAVY: [&str; 5] = ["sqlx", "bollard", "kube", "axum", "reqwest"];

/// Checks that each choice builds, and that no choice at all stays light.
pub(crate) fn check(steps: &mut Steps) {
    steps.step("neuropod without features is light", light);
    for features in CHOICES {
        let name = format!("neuropod alone, features: [{features}]");
        steps.command(
            &name,
            shell::cargo()
                .args(["check", "--quiet", "--package", "neuropod"])
                .args(["--features", features]),
        );
    }
}

fn light() -> Result<()> {
    let tree = shell::output(
        shell::cargo()
            .args(["tree", "--package", "neuropod", "--edges", "normal"])
            .args(["--prefix", "none"]),
    )?;
    let heavy = heavy(&tree);
    if !heavy.is_empty() {
        bail!("its dependencies contain {}", heavy.join(", "));
    }
    Ok(())
}

/// The heavy crates among the lines `name version …`.
fn heavy(tree: &str) -> Vec<&str> {
    tree.lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| {
            HEAVY
                .iter()
                .any(|family| name.split('-').next() == Some(family))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::heavy;

    #[test]
    fn a_heavy_crate_is_found_by_its_family() {
        let tree =
            "neuropod v0.1.0 (/x)\nsqlx-core v0.9.0\ntokio v1.0.0\naxum v0.8.0\nkubelet v1.0.0";
        assert_eq!(heavy(tree), ["sqlx-core", "axum"]);
    }
}
