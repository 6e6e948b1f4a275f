//! A second engine of the tests', whose storage limits what a container writes: that takes a file system that few
//! machines have under Docker, so it is made in a file.

use crate::apt;
use crate::consent::Consent;
use crate::demo;
use crate::docker::Docker;
use crate::folder::Folder;
use crate::shell;
use crate::space;
use anyhow::Result;
use std::fs::File;
use std::process::Command;

/// The file takes only what is written to it.
const SIZE: u64 = 4 << 30;

/// Starts it, on btrfs. Overlays on xfs would do as well, but for the quotas that many kernels are built without.
pub(crate) fn engine(folder: &Folder, consent: Consent) -> Result<Docker> {
    if shell::find("mkfs.btrfs").is_none() {
        let purpose = "a file system that limits what a container of the tests writes";
        apt::install(&["btrfs-progs"], purpose, consent)?;
    }
    let home = folder.path().join("limited");
    let place = |name: &str| home.join(name).display().to_string();
    std::fs::create_dir_all(home.join("data"))?;
    File::create(home.join("disk"))?.set_len(SIZE)?;
    shell::output(Command::new("mkfs.btrfs").args(["--quiet", &place("disk")]))?;
    shell::run(shell::root("mount")?.args(["-o", "loop", &place("disk"), &place("data")]))?;
    let docker = space::start_engine(&home, &["--storage-driver", "btrfs"])?;
    demo::provide(&docker)?;
    Ok(docker)
}
