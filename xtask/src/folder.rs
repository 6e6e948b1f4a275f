//! The folder in which a test run keeps its engine, its cluster and its database, and the end of them.

use crate::shell;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What may run in a folder of ours; a person's `tail -f` of a log there is left alone.
const SERVICES: [&str; 3] = ["dockerd", "containerd", "postgres"];

/// The cluster's folder in ours.
pub(crate) const CLUSTER: &str = "cluster";

/// Those of them that end the others.
const LEADERS: [&str; 2] = ["dockerd", "postgres"];

/// One folder per checkout. Dropped, it ends what runs in it and is deleted.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The checkout, locked as long as we live: one run at a time.
    _lock: File,
}

/// A folder that no other checkout has.
pub(crate) fn place(checkout: &Path, kind: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    checkout.hash(&mut hasher);
    let number = hasher.finish() as u32;
    PathBuf::from(format!("/var/tmp/neuropod-{number:08x}{kind}"))
}

impl Folder {
    /// Takes the checkout's folder, after ending what a killed run may have left in it.
    ///
    /// It is short, since socket paths end at 108 bytes, and on disk, since /tmp may be memory.
    pub(crate) fn take(checkout: &Path) -> Result<Self> {
        let lock = File::open(checkout)?;
        if lock.try_lock().is_err() {
            println!("Waiting for another test run of this checkout to end.");
            lock.lock()?;
        }
        let path = place(checkout, "");
        clear(&path)?;
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        // Others may pass through (the database runs as a user of its own), but not look around.
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o711))?;
        Ok(Self { path, _lock: lock })
    }

    /// Ends what runs in it and deletes it; dropping does the same, and can only print what fails.
    pub(crate) fn clear(&self) -> Result<()> {
        clear(&self.path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            eprintln!("clearing {}: {error:#}", self.path.display());
        }
    }
}

/// Ends what runs in the folder, undoes its mounts, deletes it.
fn clear(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    crate::cluster::end(&folder.join(CLUSTER))?;
    // INT lets dockerd end its containers, for which it needs its containerd, and PostgreSQL end without waiting for
    // clients.
    for (services, signal, patience) in [(&LEADERS[..], "-INT", 30), (&SERVICES[..], "-KILL", 10)] {
        self::signal(&running(folder, services)?, signal)?;
        let deadline = Instant::now() + Duration::from_secs(patience);
        while !running(folder, services)?.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let left = running(folder, &SERVICES)?;
    if !left.is_empty() {
        bail!(
            "these processes do not end: {}; {} stays",
            left.join(", "),
            folder.display()
        );
    }
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    // Mounts within mounts come later in the list.
    for mount in mounts
        .lines()
        .rev()
        .filter_map(|line| line.split(' ').nth(1))
    {
        if Path::new(mount).starts_with(folder) {
            shell::run(shell::root("umount")?.args(["--lazy", mount]))?;
        }
    }
    shell::run(
        shell::root("rm")?
            .args(["--recursive", "--force", "--one-file-system"])
            .arg(folder),
    )
}

fn signal(processes: &[String], signal: &str) -> Result<()> {
    if !processes.is_empty() {
        // One of them may end between the list and the signal, which makes kill complain.
        let _ = shell::output(shell::signal(shell::root("sh")?, signal).args(processes));
    }
    Ok(())
}

/// The numbers of the services whose command line names the folder. The dead have no command line.
fn running(folder: &Path, services: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let number = entry.file_name().to_string_lossy().into_owned();
        if belongs(&String::from_utf8_lossy(&line), folder, services) {
            found.push(number);
        }
    }
    Ok(found)
}

fn belongs(command_line: &str, folder: &Path, services: &[&str]) -> bool {
    let mut words = command_line.split('\0');
    let program = Path::new(words.next().unwrap_or_default()).file_name();
    let program = program.unwrap_or_default().to_string_lossy();
    services.iter().any(|service| program.starts_with(service))
        && words.any(|word| word.contains(&format!("{}/", folder.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_services_of_the_very_folder_belong_to_it() {
        let folder = Path::new("/var/tmp/neuropod-1");
        let belongs = |line: &str| belongs(&line.replace(' ', "\0"), folder, &SERVICES);
        assert!(belongs("dockerd -H unix:///var/tmp/neuropod-1/docker.sock"));
        assert!(belongs(
            "/usr/lib/postgresql/15/bin/postgres -D /var/tmp/neuropod-1/postgres"
        ));
        assert!(belongs(
            "containerd-shim-runc-v2 -address /var/tmp/neuropod-1/run/c.sock"
        ));
        assert!(!belongs("tail -f /var/tmp/neuropod-1/docker.log"));
        assert!(!belongs(
            "dockerd -H unix:///var/tmp/neuropod-12/docker.sock"
        ));
        assert!(!belongs("postgres: checkpointer"));
        assert!(!belongs(""));
    }
}
