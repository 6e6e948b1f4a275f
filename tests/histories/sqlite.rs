//! Histories over SQLite.

use std::path::PathBuf;

use crate::watched::Record;
use crate::{all_end_well, effort, sql};

#[test]
fn histories_over_sqlite_end_well() {
    all_end_well(effort("SQLITE_HISTORIES", 10), play);
}

fn play(seed: u64) -> Record {
    let folder = Folder::new(seed);
    sql::play_over(
        &format!("sqlite://{}/neuropod.db", folder.0.display()),
        seed,
    )
}

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(seed: u64) -> Self {
        let name = format!("neuropod-history-{}-{seed}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
