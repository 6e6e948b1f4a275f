//! The settings of the server that `up` starts: secrets made once, kept with its database.

use crate::shell;
use anyhow::{Context, Result};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The folder that outlives checkouts: settings and database.
pub(crate) fn folder() -> Result<PathBuf> {
    let data = match std::env::var_os("XDG_DATA_HOME") {
        Some(data) => PathBuf::from(data),
        None => {
            PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".local/share")
        }
    };
    let folder = data.join("neuropod");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// The file of settings in the folder.
pub(crate) fn file(folder: &Path) -> PathBuf {
    folder.join("server.env")
}

/// The settings, written at the first time; what the environment sets itself is left out.
pub(crate) fn load(folder: &Path) -> Result<Vec<(String, String)>> {
    let file = file(folder);
    if !file.exists() {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)
            .with_context(|| file.display().to_string())?
            .write_all(fresh(folder, &shell::random_hex(32)?).as_bytes())?;
        println!(
            "Wrote {}: a new secret for logins, and where the database is.",
            file.display()
        );
    }
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let unset = |(name, _): &(String, String)| std::env::var_os(name).is_none();
    Ok(parse(&text).filter(unset).collect())
}

fn fresh(folder: &Path, secret: &str) -> String {
    format!(
        "# Made by `cargo xtask up`. Whoever knows the secret can log in as anybody.\n\
         JWT_SECRET={secret}\n\
         DATABASE_URL=sqlite://{}/neuropod.db\n\
         ADMIN_EMAILS=admin@example.com\n\
         NEUROPOD_DEV=1\n",
        folder.display()
    )
}

fn parse(text: &str) -> impl Iterator<Item = (String, String)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_secret_is_made_once_and_only_its_owner_reads_it() {
        let folder = std::env::temp_dir().join(format!("neuropod-settings-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let secret = |settings: Vec<(String, String)>| {
            let found = settings.into_iter().find(|(name, _)| name == "JWT_SECRET");
            found.unwrap().1
        };
        let first = secret(load(&folder).unwrap());
        let second = secret(load(&folder).unwrap());
        let mode = file(&folder).metadata().unwrap().permissions().mode();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(first, second);
        assert_eq!(first.len(), 64);
        assert_eq!(mode & 0o777, 0o600);
    }
}
