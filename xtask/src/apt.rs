//! Debian's and Ubuntu's packages.

use crate::consent::Consent;
use crate::shell;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// Installs packages, as root or through sudo.
pub(crate) fn install(packages: &[&str], purpose: &str, consent: Consent) -> Result<()> {
    let names = packages.join(" ");
    if shell::find("apt-get").is_none() {
        bail!(
            "{purpose}: install it yourself; only Debian and Ubuntu (packages {names}) are set up automatically"
        );
    }
    consent.to(&format!("Install {names} with apt-get: {purpose}."))?;
    refresh()?;
    shell::run(
        shell::root("apt-get")?
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(["-o", "DPkg::Lock::Timeout=600"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Unpacks a package into a folder and installs nothing; needs no root once package lists are there.
pub(crate) fn unpack(package: &str, folder: &Path) -> Result<()> {
    if shell::find("apt-get").is_none() {
        bail!("package {package} comes from Debian or Ubuntu, and apt-get is not here");
    }
    let download = || {
        shell::output(
            Command::new("apt-get")
                .args(["download", package])
                .current_dir(folder),
        )
    };
    if download().is_err() {
        refresh()?;
        download()?;
    }
    for file in std::fs::read_dir(folder)? {
        let file = file?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            shell::run(
                Command::new("dpkg-deb")
                    .arg("--extract")
                    .args([&file, folder]),
            )?;
            std::fs::remove_file(file)?;
        }
    }
    Ok(())
}

/// Brings the package lists up to date: a fresh machine has none.
fn refresh() -> Result<()> {
    shell::run(shell::root("apt-get")?.args(["update", "--quiet"]))
}
