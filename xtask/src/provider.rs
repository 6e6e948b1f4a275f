//! `oidc-provider-mock` of PyPI, a provider of OpenID Connect that the tests start and sign in by.

use crate::apt;
use crate::consent::Consent;
use crate::shell;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

const RELEASE: &str = "0.3.4";
/// What it signs with; it does not say itself which releases it works with.
const SIGNS_WITH: &str = "authlib==1.9.10";

/// The program, installed once into a cache of ours.
pub(crate) fn provide(consent: Consent) -> Result<PathBuf> {
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    let name = format!(".cache/neuropod/oidc-provider-mock-{RELEASE}");
    let place = PathBuf::from(home).join(name);
    let program = place.join("bin/oidc-provider-mock");
    if runs(&program) {
        return Ok(program);
    }
    // Debian's Python comes without what a folder of its own needs.
    let whole = Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .output();
    if !whole.is_ok_and(|output| output.status.success()) {
        let packages = ["python3", "python3-venv"];
        apt::install(
            &packages,
            "a provider of OpenID Connect for the tests",
            consent,
        )?;
    }
    shell::run(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&place),
    )?;
    shell::run(
        Command::new(place.join("bin/pip"))
            .args([
                "install",
                "--quiet",
                "--disable-pip-version-check",
                SIGNS_WITH,
            ])
            .arg(format!("oidc-provider-mock=={RELEASE}")),
    )?;
    if !runs(&program) {
        bail!("oidc-provider-mock {RELEASE} is installed, but does not run");
    }
    Ok(program)
}

fn runs(program: &PathBuf) -> bool {
    shell::output(Command::new(program).arg("--help")).is_ok()
}
