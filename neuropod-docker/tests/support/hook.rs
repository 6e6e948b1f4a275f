//! What the hook that plays NVIDIA's has kept: which devices the engine gave to which container.

use std::path::PathBuf;

/// Where it keeps that.
#[derive(Debug, Clone)]
pub struct Records(PathBuf);

impl Records {
    /// As `cargo xtask test` names it.
    pub fn named() -> Option<Self> {
        let folder = std::env::var_os("NEUROPOD_TEST_GPU_RECORDS")?;
        Some(Self(folder.into()))
    }

    /// The devices that a container was given before it started; none if no hook was called for it.
    pub fn given(&self, container: &str) -> Vec<String> {
        let Ok(record) = std::fs::read_to_string(self.0.join(container)) else {
            return Vec::new();
        };
        // The engine appends its own word to the environment, and the last one counts.
        let (_, named) = record
            .rsplit_once("\"NVIDIA_VISIBLE_DEVICES=")
            .expect("a hook is called for devices only");
        let named = named.split('"').next().unwrap_or_default();
        named.split(',').map(str::to_owned).collect()
    }
}

/// Whether the engine has that hook. Without it that is said, and in CI it is a failure.
pub fn hook_is_there() -> bool {
    let there = Records::named().is_some();
    let must_be_there = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let reason = "NEUROPOD_TEST_GPU_RECORDS names no records of a hook that plays NVIDIA's";
    assert!(there || !must_be_there, "{reason}");
    if !there {
        println!("not run: {reason}");
    }
    there
}
