//! SQLite on a disk that gets full, and has room again.

use std::error::Error as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::load::Load;
use crate::support;

/// Names the folder of the disk, inside.
const DISK: &str = "NEUROPOD_TEST_DISK";
/// Room for the database, and for some growth of it.
const SIZE: &str = "size=24m";

#[tokio::test]
async fn what_was_acknowledged_outlives_a_full_disk() {
    let Some(disk) = disk("full_disk::what_was_acknowledged_outlives_a_full_disk") else {
        return;
    };
    let store = support::open(&format!("sqlite://{}/neuropod.db", disk.display())).await;
    let load = Load::begin(&store, support::seed());
    load.goes_on().await;
    let ballast = disk.join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    let mut full = None;
    // What others write meanwhile may fail first, and leave some room.
    for _ in 0..20 {
        while full.is_none() {
            full = file.write_all(&[0; 4096]).err();
        }
        let kind = full.take().map(|e| e.kind());
        assert_eq!(kind, Some(std::io::ErrorKind::StorageFull));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::fs::remove_file(&ballast).unwrap();
    drop(file);
    load.goes_on().await;
    let errors = load.end().await;
    assert!(!errors.is_empty(), "the disk was never full");
    for error in errors {
        let why = error.source().map(ToString::to_string).unwrap_or_default();
        assert!(why.contains("full"), "{error:?}");
    }
}

/// A small disk of this test's own, which takes root or a user namespace: the test of this name runs there, and
/// nothing is answered outside of it.
fn disk(test: &str) -> Option<PathBuf> {
    if let Some(disk) = std::env::var_os(DISK) {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "disk"]).arg(&disk);
        assert!(mount.status().unwrap().success());
        return Some(disk.into());
    }
    let folder = support::Folder::new();
    let id = Command::new("id").arg("-u").output().unwrap();
    let as_root: &[&str] = match &id.stdout[..] {
        b"0\n" => &[],
        _ => &["--user", "--map-root-user"],
    };
    let mut space = Command::new("unshare");
    space.args(as_root).args(["--mount", "--"]);
    space.arg(std::env::current_exe().unwrap());
    space.args([test, "--exact", "--nocapture"]);
    let ended = space.env(DISK, &folder.0).status().unwrap();
    assert!(ended.success(), "{test}, inside");
    None
}
