//! Images for a cluster's nodes, which reach no registry: made on the spot, as archives that containerd takes.

use crate::demo;
use crate::shell;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// What holds a pod's network: containerd wants an image for it.
pub(super) const PAUSE: &str = "docker.io/neuropod/pause:latest";

/// An archive with the demo image and with one that does nothing, both of the same BusyBox.
pub(super) fn archive(scratch: &Path) -> Result<std::path::PathBuf> {
    let root = demo::root(scratch)?;
    let place = scratch.join("image");
    std::fs::create_dir_all(&place)?;
    std::fs::rename(root, place.join("layer.tar"))?;
    let digest = shell::output(Command::new("sha256sum").arg(place.join("layer.tar")))?;
    let digest = digest.split(' ').next().unwrap_or_default();
    let idle = r#"["sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait; done"]"#;
    for (name, command) in [("demo", r#"["demo"]"#), ("pause", idle)] {
        let configuration = format!(
            r#"{{"architecture": "{}", "os": "linux", "rootfs": {{"type": "layers", "diff_ids": ["sha256:{digest}"]}},
"config": {{"Env": ["PATH=/bin"], "Cmd": {command}, "ExposedPorts": {{"8080/tcp": {{}}}}}}}}"#,
            architecture()
        );
        std::fs::write(place.join(format!("{name}.json")), configuration)?;
    }
    let entry = |name: &str| {
        format!(
            r#"{{"Config": "{name}.json", "RepoTags": ["docker.io/neuropod/{name}:latest"], "Layers": ["layer.tar"]}}"#
        )
    };
    let manifest = format!("[{}, {}]", entry("demo"), entry("pause"));
    std::fs::write(place.join("manifest.json"), manifest)?;
    let archive = scratch.join("images.tar");
    let mut tar = Command::new("tar");
    tar.arg("--create")
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(&place);
    shell::run(tar.args(["manifest.json", "demo.json", "pause.json", "layer.tar"]))?;
    Ok(archive)
}

/// As images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
