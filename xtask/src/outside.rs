//! A crate that is no member of the workspace and embeds the crates as they would be published: `tests/outside`.

use crate::shell;
use crate::steps::Steps;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

const MANIFEST: &str = "tests/outside/Cargo.toml";

/// What is published.
const PACKED: [&str; 7] = [
    "neuropod",
    "neuropod-core",
    "neuropod-docker",
    "neuropod-k8s",
    "neuropod-oidc",
    "neuropod-store",
    "neuropod-server",
];

/// Packs what it depends on, builds it, and runs its tests.
pub(crate) fn test(steps: &mut Steps) {
    if let Some(mut cargo) = steps.step("packed crates", || cargo("test")) {
        // An embedder's settings are not the server's.
        cargo.env("PORT", "the embedder's own");
        steps.tests("a crate outside", &mut cargo);
    }
}

/// Its formatting and lints.
pub(crate) fn check(steps: &mut Steps) {
    let format = ["fmt", "--manifest-path", MANIFEST, "--check"];
    steps.command("format outside", shell::cargo().args(format));
    if let Some(mut cargo) = steps.step("packed crates", || cargo("clippy")) {
        cargo.args(["--all-targets", "--", "-D", "warnings"]);
        steps.command("lints outside", &mut cargo);
    }
}

/// A command of cargo for it, over the packed crates.
fn cargo(verb: &str) -> Result<Command> {
    let target = target()?;
    let packed = pack(&target)?;
    // The versions that everything else was tested with, and compiled already.
    std::fs::copy("Cargo.lock", "tests/outside/Cargo.lock")?;
    let mut cargo = shell::cargo();
    cargo.args([verb, "--offline", "--manifest-path", MANIFEST]);
    cargo.arg("--target-dir").arg(&target);
    for (name, folder) in PACKED.iter().zip(packed) {
        let folder = folder.display();
        let patch = format!("patch.crates-io.{name}.path=\"{folder}\"");
        cargo.args(["--config", &patch]);
    }
    Ok(cargo)
}

/// Where this workspace is compiled to.
fn target() -> Result<PathBuf> {
    let words = "metadata --format-version 1 --no-deps --offline".split(' ');
    let metadata = shell::output(shell::cargo().args(words))?;
    let from = metadata.split("\"target_directory\":\"").nth(1);
    let target = from.and_then(|text| text.split('"').next());
    let target = target.context("cargo names no target folder")?;
    Ok(PathBuf::from(target))
}

/// Packs the crates and unpacks them again, in the order of [`PACKED`].
fn pack(target: &Path) -> Result<Vec<PathBuf>> {
    let mut package = shell::cargo();
    package.args("package --quiet --no-verify --allow-dirty --offline".split(' '));
    for name in PACKED {
        package.args(["--package", name]);
    }
    shell::run(&mut package)?;
    let id = shell::output(shell::cargo().args(["pkgid", "--package", PACKED[0], "--offline"]))?;
    let version = id.trim().rsplit(['@', '#']).next().unwrap_or_default();
    let packed = PACKED.map(|name| format!("{name}-{version}"));
    packed.iter().map(|name| unpack(target, name)).collect()
}

/// The unpacked crate. One that is the same as last time is left as it is, so that it needs no compiling.
fn unpack(target: &Path, name: &str) -> Result<PathBuf> {
    let (place, fresh) = (target.join("outside"), target.join("outside/fresh"));
    std::fs::create_dir_all(&fresh)?;
    // With the time of now: in the package all files have the same time, by which cargo would miss changes.
    let mut tar = Command::new("tar");
    tar.arg("--directory").arg(&fresh).args(["--touch", "-xzf"]);
    shell::run(tar.arg(target.join(format!("package/{name}.crate"))))?;
    let (old, new) = (place.join(name), fresh.join(name));
    let mut diff = Command::new("diff");
    // Written anew with every commit, and read by nobody who depends on the crate.
    for name in [".cargo_vcs_info.json", "Cargo.lock"] {
        diff.args(["--exclude", name]);
    }
    diff.arg("--recursive");
    if shell::output(diff.arg(&old).arg(&new)).is_err() {
        if old.exists() {
            std::fs::remove_dir_all(&old)?;
        }
        std::fs::rename(&new, &old)?;
    } else {
        std::fs::remove_dir_all(&new)?;
    }
    Ok(old)
}
