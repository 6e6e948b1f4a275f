//! GPUs for the tests' engine, which has none: as soon as dockerd finds NVIDIA's hook it takes requests for them.

use anyhow::Result;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The program that dockerd looks for in its PATH when it starts.
const HOOK: &str = "nvidia-container-runtime-hook";

/// What stands in for NVIDIA's hook.
#[derive(Debug)]
pub(crate) struct StandIn {
    /// To be first in dockerd's PATH.
    pub(crate) folder: PathBuf,
    /// Gets a file for each container that was given GPUs, named by its id: what the hook was told, and what the
    /// container was to be.
    pub(crate) records: PathBuf,
}

/// Puts it into `folder`.
pub(crate) fn stand_in(folder: &Path) -> Result<StandIn> {
    let records = folder.join("gpu-records");
    std::fs::create_dir_all(&records)?;
    let hook = folder.join(HOOK);
    std::fs::write(&hook, include_str!("gpu_hook.sh"))?;
    std::fs::set_permissions(&hook, PermissionsExt::from_mode(0o755))?;
    Ok(StandIn {
        folder: folder.to_path_buf(),
        records,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn it_keeps_what_it_is_told_and_what_the_container_is_to_be() {
        let folder = std::env::temp_dir().join(format!("neuropod-hook-{}", std::process::id()));
        let stand_in = stand_in(&folder).unwrap();
        std::fs::write(folder.join("config.json"), "what it is to be").unwrap();
        let mut hook = Command::new(folder.join(HOOK))
            .arg("prestart")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let told = format!(
            "{{\"id\":\"c1\",\"pid\":7,\n \"bundle\": \"{}\"}}",
            folder.display()
        );
        let mut input = hook.stdin.take().unwrap();
        input.write_all(told.as_bytes()).unwrap();
        drop(input);
        assert!(hook.wait().unwrap().success());
        let kept = std::fs::read_to_string(stand_in.records.join("c1")).unwrap();
        assert_eq!(kept, format!("{told}\nwhat it is to be"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
