//! GPUs for the tests' engine, which has none: as soon as dockerd finds NVIDIA's hook it takes requests for them.

use anyhow::Result;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The program that dockerd looks for in its PATH when it starts.
const HOOK: &str = "nvidia-container-runtime-hook";

/// Puts what stands in for NVIDIA's hook into `folder`. Answers where it keeps, for each container that is given GPUs, a
/// file named by its id: what the hook was told, and what the container was to be.
pub(crate) fn stand_in(folder: &Path) -> Result<PathBuf> {
    let records = folder.join("gpu-records");
    std::fs::create_dir_all(&records)?;
    let hook = folder.join(HOOK);
    std::fs::write(&hook, include_str!("gpu_hook.sh"))?;
    std::fs::set_permissions(&hook, PermissionsExt::from_mode(0o755))?;
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn it_keeps_what_it_is_told_and_what_the_container_is_to_be() {
        let folder = std::env::temp_dir().join(format!("neuropod-hook-{}", std::process::id()));
        let records = stand_in(&folder).unwrap();
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
        let kept = std::fs::read_to_string(records.join("c1")).unwrap();
        assert_eq!(kept, format!("{told}\nwhat it is to be"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
