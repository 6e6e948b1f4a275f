//! Debian's Chromium, and what drives it: the tests use the example page as a person does.

use crate::apt;
use crate::consent::Consent;
use crate::shell;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release of what drives the browser; later ones want a newer Node.js than Debian has.
const RELEASE: &str = "24.8.2";
/// Checks that a page can be used by everybody.
const AXE: &str = "axe-core@4.14.1";
const PURPOSE: &str = "a browser for the tests of the example page";

/// The folder with the packages of npm; all is installed, if it is not there yet.
pub(crate) fn provide(consent: Consent) -> Result<PathBuf> {
    let wanted = ["chromium", "node", "npm"];
    let missing: Vec<&str> = wanted
        .into_iter()
        .filter(|program| shell::find(program).is_none())
        .map(|program| match program {
            "node" => "nodejs",
            other => other,
        })
        .collect();
    if !missing.is_empty() {
        apt::install(&missing, PURPOSE, consent)?;
    }
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    let place = PathBuf::from(home).join(format!(".cache/neuropod/puppeteer-core-{RELEASE}"));
    if loads(&place) {
        return Ok(place);
    }
    std::fs::create_dir_all(&place)?;
    shell::run(
        Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--silent"])
            // Nothing of a package is run because it is installed.
            .arg("--ignore-scripts")
            .arg("--prefix")
            .arg(&place)
            .args([&format!("puppeteer-core@{RELEASE}"), AXE]),
    )?;
    if !loads(&place) {
        bail!("puppeteer-core {RELEASE} is installed, but can't be loaded");
    }
    Ok(place)
}

fn loads(place: &Path) -> bool {
    let mut node = Command::new("node");
    node.args(["-e", "require('puppeteer-core'); require('axe-core')"]);
    node.env("NODE_PATH", place.join("node_modules"));
    shell::output(&mut node).is_ok()
}
