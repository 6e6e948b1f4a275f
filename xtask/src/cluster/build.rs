//! Kubernetes' own programs, compiled from their Go modules and kept for the next time.

use crate::apt;
use crate::consent::Consent;
use crate::shell;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Accepts control groups of both versions, and the containerd of Debian 12.
const VERSION: &str = "1.34.4";
const PROGRAMS: [&str; 6] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
];
/// Names the modules and their versions.
const MODULES: &str = "tests/kubernetes";
const OLDEST_GO: (u32, u32) = (1, 24);

/// The folder with the programs.
pub(super) fn provide(consent: Consent) -> Result<PathBuf> {
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    let folder = Path::new(&home).join(format!(".cache/neuropod/kubernetes-{VERSION}"));
    if PROGRAMS.iter().all(|name| folder.join(name).is_file()) {
        return Ok(folder);
    }
    let go = go(consent)?;
    println!("Compiling Kubernetes {VERSION}, once: some ten minutes of two cores.");
    // A build that was broken off leaves nothing that looks whole.
    let fresh = folder.with_extension("new");
    std::fs::create_dir_all(&fresh)?;
    let mut flags = "-s -w".to_owned();
    for package in [
        "k8s.io/component-base/version",
        "k8s.io/client-go/pkg/version",
    ] {
        for (name, value) in [
            ("gitVersion", &format!("v{VERSION}")[..]),
            ("gitMajor", "1"),
            ("gitMinor", "34"),
        ] {
            flags += &format!(" -X {package}.{name}={value}");
        }
    }
    let mut build = Command::new(go);
    build.args([
        "build",
        "-mod=readonly",
        "-buildvcs=false",
        "-trimpath",
        "-ldflags",
        &flags,
        "-o",
    ]);
    build.arg(format!("{}/", fresh.display()));
    build.args(PROGRAMS.map(|name| format!("k8s.io/kubernetes/cmd/{name}")));
    shell::run(build.current_dir(MODULES).env("CGO_ENABLED", "0"))?;
    std::fs::create_dir_all(&folder)?;
    for name in PROGRAMS {
        std::fs::rename(fresh.join(name), folder.join(name))?;
    }
    std::fs::remove_dir_all(fresh)?;
    Ok(folder)
}

/// A Go that can compile it.
fn go(consent: Consent) -> Result<PathBuf> {
    if shell::find("go").is_none() {
        apt::install(&["golang-go"], "the compiler of Kubernetes", consent)?;
    }
    let go = shell::find("go").context("there is no program go")?;
    let printed = shell::output(Command::new(&go).args(["env", "GOVERSION"]))?;
    if version(&printed).is_none_or(|version| version < OLDEST_GO) {
        let (major, minor) = OLDEST_GO;
        bail!(
            "Kubernetes is compiled by Go {major}.{minor} or newer, and {} is {}: install one from https://go.dev/dl",
            go.display(),
            printed.trim()
        );
    }
    Ok(go)
}

fn version(printed: &str) -> Option<(u32, u32)> {
    let mut numbers = printed.trim().strip_prefix("go")?.split(['.', 'r', 'b']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_as_go_prints_them() {
        assert_eq!(version("go1.26.8\n"), Some((1, 26)));
        assert_eq!(version("go1.24rc2"), Some((1, 24)));
        assert_eq!(version("devel"), None);
    }
}
