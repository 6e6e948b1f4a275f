//! The image with a real JupyterLab, for the tests: this machine's own Debian, and a package of PyPI. It is kept in a
//! cache of ours.

use crate::apt;
use crate::consent::Consent;
use crate::docker::Docker;
use crate::shell;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// The image's name.
pub(crate) const NAME: &str = "neuropod/test-jupyterlab";

const RELEASE: &str = "4.4.10";
const MAKE: &str = "xtask/jupyterlab/make.sh";

/// Gives the engine the image; made, if it was not yet.
pub(crate) fn provide(docker: &Docker, consent: Consent) -> Result<()> {
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    let cache = PathBuf::from(home).join(".cache/neuropod");
    let kept = cache.join(format!("jupyterlab-{RELEASE}.tar.gz"));
    if !kept.is_file() {
        if shell::find("debootstrap").is_none() {
            let purpose = "an image with JupyterLab for the tests";
            apt::install(&["debootstrap"], purpose, consent)?;
        }
        std::fs::create_dir_all(&cache)?;
        let scratch = cache.join(format!("jupyterlab-{}", std::process::id()));
        let archive = scratch.with_extension("tar.gz");
        let mut make = shell::root("sh")?;
        make.args([MAKE, RELEASE]);
        let made = shell::run(make.args([&scratch, &archive]));
        shell::run(shell::root("rm")?.arg("-rf").arg(&scratch))?;
        made?;
        std::fs::rename(archive, &kept)?;
    }
    let changes = [
        "ENV PATH=/opt/jupyter/bin:/usr/local/bin:/usr/bin:/bin",
        "CMD [\"bash\"]",
    ];
    docker.import(NAME, &std::fs::read(kept)?, &changes.map(str::to_owned))
}
