//! Debian's `docker-registry`, which the tests start where they pull with a login.

use crate::apt;
use crate::folder::Folder;
use crate::shell;
use anyhow::{Result, bail};
use std::path::PathBuf;

/// The program. Only unpacked where it is not installed: the package would start a service on a usual port.
pub(crate) fn provide(folder: &Folder) -> Result<PathBuf> {
    if let Some(program) = shell::find("docker-registry") {
        return Ok(program);
    }
    let place = folder.path().join("registry");
    std::fs::create_dir(&place)?;
    apt::unpack("docker-registry", &place)?;
    let program = place.join("usr/bin/docker-registry");
    if !program.is_file() {
        bail!("package docker-registry has no {}", program.display());
    }
    Ok(program)
}
