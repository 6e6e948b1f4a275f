//! Programs of PyPI that the tests use, each in a folder of its own in a cache of ours.

use crate::apt;
use crate::consent::Consent;
use crate::shell;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program, and what it comes in.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    release: &'static str,
    /// What it needs and does not name by its release.
    beside: &'static [&'static str],
}

/// A provider of OpenID Connect that the tests start and sign in by.
pub(crate) const OIDC_PROVIDER: Program = Program {
    name: "oidc-provider-mock",
    release: "0.3.4",
    // What it signs with.
    beside: &["authlib==1.9.10"],
};
/// Makes requests of the server's OpenAPI document.
pub(crate) const SCHEMATHESIS: Program = Program {
    name: "schemathesis",
    release: "4.32.5",
    beside: &[],
};

impl Program {
    /// Where it is; installed, if it is not there yet.
    pub(crate) fn provide(&self, consent: Consent) -> Result<PathBuf> {
        let Self {
            name,
            release,
            beside,
        } = self;
        let home = std::env::var_os("HOME").context("HOME is not set")?;
        let place = PathBuf::from(home).join(format!(".cache/neuropod/{name}-{release}"));
        let program = place.join("bin").join(name);
        if runs(&program) {
            return Ok(program);
        }
        // Debian's Python comes without what a folder of its own needs.
        let whole = Command::new("python3")
            .args(["-c", "import ensurepip, venv"])
            .output();
        if !whole.is_ok_and(|output| output.status.success()) {
            let purpose = format!("{name} for the tests");
            apt::install(&["python3", "python3-venv"], &purpose, consent)?;
        }
        shell::run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&place),
        )?;
        shell::run(
            Command::new(place.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check"])
                .args(*beside)
                .arg(format!("{name}=={release}")),
        )?;
        if !runs(&program) {
            bail!("{name} {release} is installed, but does not run");
        }
        Ok(program)
    }
}

fn runs(program: &Path) -> bool {
    shell::output(Command::new(program).arg("--help")).is_ok()
}
