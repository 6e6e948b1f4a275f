//! Packages of npm that the tests use, in a folder of their own in a cache of ours.

use crate::apt;
use crate::consent::Consent;
use crate::shell;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release that existing frontends have.
const RELEASE: &str = "4.8.1";
/// The official client, and the server that ours is measured beside.
const PACKAGES: [&str; 2] = ["socket.io-client", "socket.io"];

/// Node.js, which runs the scripts of clients.
pub(crate) fn node(consent: Consent) -> Result<()> {
    if shell::find("node").is_some() {
        return Ok(());
    }
    apt::install(&["nodejs"], "scripts of the original's clients", consent)
}

/// The folder with Socket.IO's own client and server; installed, if they are not there yet.
pub(crate) fn socket_io(consent: Consent) -> Result<PathBuf> {
    node(consent)?;
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    let place = PathBuf::from(home).join(format!(".cache/neuropod/socket.io-{RELEASE}"));
    if load(&place) {
        return Ok(place);
    }
    if shell::find("npm").is_none() {
        apt::install(&["npm"], "Socket.IO's own client for the tests", consent)?;
    }
    std::fs::create_dir_all(&place)?;
    shell::run(
        Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--silent"])
            // Nothing of a package is run because it is installed.
            .arg("--ignore-scripts")
            .arg("--prefix")
            .arg(&place)
            .args(PACKAGES.map(|name| format!("{name}@{RELEASE}"))),
    )?;
    if !load(&place) {
        bail!("Socket.IO {RELEASE} is installed, but can't be loaded");
    }
    Ok(place)
}

fn load(place: &Path) -> bool {
    let all = PACKAGES.map(|name| format!("require('{name}')")).join(";");
    let mut node = Command::new("node");
    let loaded = shell::output(
        node.args(["-e", &all])
            .env("NODE_PATH", place.join("node_modules")),
    );
    loaded.is_ok()
}
