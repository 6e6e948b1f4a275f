//! `cargo xtask check`: everything that needs no running part.

use crate::outside;
use crate::shell;
use crate::steps::Steps;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// The cargo-deny that deny.toml is written for.
const DENY: &str = "0.20.2";

/// Runs all checks; each failure is named at the end.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    steps.command("format", shell::cargo().args(["fmt", "--all", "--check"]));
    steps.command(
        "lints",
        shell::cargo().args([
            "clippy",
            "--workspace",
            "--all-features",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
    );
    outside::check(&mut steps);
    steps.command(
        "documentation",
        shell::cargo()
            .args(["doc", "--workspace", "--all-features", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    );
    if let Some(deny) = steps.step("cargo-deny", cargo_deny) {
        // Advisories are a database on GitHub, which not every machine that builds this can reach.
        steps.command(
            "licences, bans, sources",
            Command::new(deny).args(["check", "licenses", "bans", "sources"]),
        );
    }
    steps.finish()
}

/// The program, installed once into a cache of ours.
fn cargo_deny() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    let tools = PathBuf::from(home).join(".cache/neuropod/tools");
    let program = tools.join("bin/cargo-deny");
    let installed = shell::output(Command::new(&program).arg("--version"));
    if !installed.is_ok_and(|version| version.trim().ends_with(DENY)) {
        shell::run(
            shell::cargo()
                .args([
                    "install",
                    "--locked",
                    &format!("cargo-deny@{DENY}"),
                    "--root",
                ])
                .arg(&tools),
        )?;
    }
    Ok(program)
}
