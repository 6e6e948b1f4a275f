//! Debian's Prometheus, which scrapes the server in a test, and its `promtool`.

use crate::apt;
use crate::folder::Folder;
use crate::shell;
use anyhow::{Result, bail};
use std::path::PathBuf;

/// The folder with both programs. Only unpacked where they are not installed: the package would start a service on a usual
/// port.
pub(crate) fn provide(folder: &Folder) -> Result<PathBuf> {
    let installed = shell::find("prometheus").filter(|_| shell::find("promtool").is_some());
    if let Some(there) = installed.as_ref().and_then(|program| program.parent()) {
        return Ok(there.to_owned());
    }
    let place = folder.path().join("prometheus");
    std::fs::create_dir(&place)?;
    apt::unpack("prometheus", &place)?;
    let programs = place.join("usr/bin");
    for program in ["prometheus", "promtool"] {
        if !programs.join(program).is_file() {
            bail!("package prometheus has no {program}");
        }
    }
    Ok(programs)
}
