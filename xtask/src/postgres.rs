//! A PostgreSQL server of a test run's own, with the durability of a real one.

use crate::apt;
use crate::consent::Consent;
use crate::folder::Folder;
use crate::shell;
use crate::space::Space;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The oldest release that the store is tested with.
const OLDEST: u32 = 15;

/// Installs PostgreSQL where there is none.
pub(crate) fn install(consent: Consent) -> Result<()> {
    if binaries().is_some() {
        return Ok(());
    }
    apt::install(
        &["postgresql"],
        "a database for the tests (the package also sets up a server on port 5432, which they don't use)",
        consent,
    )
}

/// Starts a server with an empty database and returns its URL.
pub(crate) fn start(folder: &Folder, space: &Space) -> Result<String> {
    let binaries = binaries().with_context(|| format!("no PostgreSQL {OLDEST} or newer found"))?;
    // PostgreSQL refuses to run as root; its package has made a user.
    let owner = shell::identity(shell::is_root().then_some("postgres"))?;
    let home = folder.path().join("postgres");
    std::fs::create_dir(&home)?;
    let data = home.join("data");
    let password = shell::random_hex(16)?;
    let password_file = home.join("password");
    std::fs::write(&password_file, &password)?;
    std::fs::set_permissions(&password_file, PermissionsExt::from_mode(0o600))?;
    for path in [&home, &password_file] {
        std::os::unix::fs::chown(path, Some(owner.0), Some(owner.1))?;
    }
    shell::output(
        Space::host()
            .command(binaries.join("initdb").as_os_str(), owner)?
            .args([
                "--username=neuropod",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
            ])
            .args(["--locale=C.UTF-8", "--no-sync"])
            .arg(format!("--pwfile={}", password_file.display()))
            .arg(format!("--pgdata={}", data.display())),
    )?;
    let port = free_port()?;
    let log = File::create(folder.path().join("postgres.log"))?;
    let mut server = space
        .command(binaries.join("postgres").as_os_str(), owner)?
        .arg("-D")
        .arg(&data)
        .args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "max_connections=200",
        ])
        .args(["-c", &format!("port={port}")])
        .args(["-c", &format!("unix_socket_directories={}", home.display())])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut probe = space.command(binaries.join("pg_isready").as_os_str(), owner)?;
        probe.args(["--host=127.0.0.1", &format!("--port={port}")]);
        if shell::output(&mut probe).is_ok() {
            return Ok(format!(
                "postgres://neuropod:{password}@127.0.0.1:{port}/postgres"
            ));
        }
        if server.try_wait()?.is_some() || Instant::now() > deadline {
            let log = std::fs::read_to_string(folder.path().join("postgres.log"))?;
            bail!("PostgreSQL does not start:\n{log}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The folder with the newest server's programs.
fn binaries() -> Option<PathBuf> {
    let packaged = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let on_path = shell::find("postgres").and_then(|file| Some(file.parent()?.to_path_buf()));
    packaged
        .chain(on_path)
        .filter(|folder| {
            ["initdb", "postgres", "pg_isready"]
                .iter()
                .all(|name| folder.join(name).is_file())
        })
        .filter_map(|folder| Some((version(&folder)?, folder)))
        .filter(|(version, _)| *version >= OLDEST)
        .max()
        .map(|(_, folder)| folder)
}

fn version(binaries: &Path) -> Option<u32> {
    major(&shell::output(Command::new(binaries.join("postgres")).arg("--version")).ok()?)
}

fn major(printed: &str) -> Option<u32> {
    let number = printed.split(") ").nth(1)?;
    number
        .split(['.', ' ', 'b', 'r', '\n'])
        .next()?
        .parse()
        .ok()
}

/// A port that is free here; in a namespace of our own nearly all are.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn versions_as_postgres_prints_them() {
        assert_eq!(
            major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("postgres (PostgreSQL) 17\n"), Some(17));
        assert_eq!(major("command not found"), None);
    }
}
