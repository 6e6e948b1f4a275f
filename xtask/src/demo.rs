//! The image `neuropod/demo`, made on the spot: a BusyBox root with one page, and no registry needed.

use crate::apt;
use crate::docker::Docker;
use crate::shell;
use anyhow::{Context, Result, bail};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The image's name.
pub(crate) const NAME: &str = "neuropod/demo";

const START: &str = include_str!("../demo/start.sh");

/// Gives the engine the image, unless it has this very one.
pub(crate) fn provide(docker: &Docker) -> Result<()> {
    let mut hasher = DefaultHasher::new();
    START.hash(&mut hasher);
    let mark = format!("\"neuropod.io/demo\":\"{:016x}\"", hasher.finish());
    if docker.has_image(&format!("{NAME}:latest"), &mark)? {
        return Ok(());
    }
    let scratch = std::env::temp_dir().join(format!("neuropod-demo-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let made = make(docker, &scratch, &mark);
    std::fs::remove_dir_all(&scratch)?;
    made.with_context(|| format!("making image {NAME}"))?;
    println!("Made image {NAME}:latest: BusyBox, one page on port 8080.");
    Ok(())
}

fn make(docker: &Docker, scratch: &Path, mark: &str) -> Result<()> {
    let archive = root(scratch)?;
    let (label, value) = mark.split_once(':').unwrap_or_default();
    let changes = [
        "ENV PATH=/bin".to_owned(),
        "EXPOSE 8080".to_owned(),
        format!("LABEL {}={value}", label.trim_matches('"')),
        "CMD [\"demo\"]".to_owned(),
    ];
    docker.import(NAME, &std::fs::read(archive)?, &changes)
}

/// An archive of what is in the image.
pub(crate) fn root(scratch: &Path) -> Result<PathBuf> {
    let package = scratch.join("package");
    let root = scratch.join("root");
    for folder in [
        &package,
        &root.join("bin"),
        &root.join("www"),
        &root.join("tmp"),
    ] {
        std::fs::create_dir_all(folder)?;
    }
    apt::unpack("busybox-static", &package)?;
    let Some(busybox) = ["bin/busybox", "usr/bin/busybox"]
        .map(|place| package.join(place))
        .into_iter()
        .find(|file| file.is_file())
    else {
        bail!("package busybox-static has no busybox");
    };
    for applet in shell::output(Command::new(&busybox).arg("--list"))?.lines() {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet))?;
    }
    let target = root.join("bin/busybox");
    // The list names busybox itself.
    std::fs::remove_file(&target)?;
    std::fs::copy(busybox, target)?;
    let start = root.join("bin/demo");
    std::fs::write(&start, START)?;
    std::fs::set_permissions(&start, PermissionsExt::from_mode(0o755))?;

    let archive = scratch.join("root.tar");
    shell::run(
        Command::new("tar")
            .args([
                "--create",
                "--numeric-owner",
                "--owner=0",
                "--group=0",
                "--file",
            ])
            .arg(&archive)
            .arg("--directory")
            .args([&root, Path::new(".")]),
    )?;
    Ok(archive)
}
