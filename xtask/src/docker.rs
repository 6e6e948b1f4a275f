//! What set-up asks a Docker engine: is it there, has it an image, take this image.

use crate::http::{self, Address};
use anyhow::{Context, Result, bail};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// A Docker engine, there or not.
#[derive(Clone, Debug)]
pub(crate) struct Docker {
    address: Address,
}

/// Whether the engine is of use to us.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// It answers.
    Ready,
    /// Its socket is there, and not for this user.
    Denied,
    /// Nobody answers; the reason.
    Silent(String),
}

impl Docker {
    /// The engine that `DOCKER_HOST` names, or the one at the usual place.
    pub(crate) fn from_environment() -> Result<Self> {
        let host = std::env::var("DOCKER_HOST").unwrap_or_default();
        Ok(Self {
            address: address(&host)?,
        })
    }

    /// The engine behind a Unix socket.
    pub(crate) fn at(socket: &Path) -> Self {
        Self {
            address: Address::Unix(socket.to_path_buf()),
        }
    }

    /// The value of `DOCKER_HOST` that means this engine.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// Asks whether it is there.
    pub(crate) fn answer(&self) -> Answer {
        match http::request(&self.address, "GET /_ping", b"") {
            Ok((200, _)) => Answer::Ready,
            Ok((status, body)) => Answer::Silent(format!("{self}: status {status}, {body}")),
            Err(error) if denied(&error) => Answer::Denied,
            Err(error) => Answer::Silent(format!("{error:#}")),
        }
    }

    /// Waits until it answers; if `dockerd` does not come up, its log tells why.
    pub(crate) fn wait_for(&self, dockerd: &mut Child, log: &Path) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.answer() != Answer::Ready {
            if dockerd.try_wait()?.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(log)?;
                let last: Vec<&str> = log.lines().rev().take(10).collect();
                bail!(
                    "dockerd does not start:\n{}",
                    last.into_iter().rev().collect::<Vec<_>>().join("\n")
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Whether an image is there and, in its configuration, this text.
    pub(crate) fn has_image(&self, reference: &str, marked: &str) -> Result<bool> {
        let line = format!("GET /images/{reference}/json");
        let (status, body) = http::request(&self.address, &line, b"")?;
        Ok(status == 200 && body.contains(marked))
    }

    /// Whether a container of an image runs.
    pub(crate) fn runs(&self, image: &str) -> Result<bool> {
        let (status, body) = http::request(&self.address, "GET /containers/json", b"")?;
        Ok(status == 200 && body.contains(&format!("\"Image\":\"{image}\"")))
    }

    /// Makes an image of a root file system, given as a tar archive.
    pub(crate) fn import(&self, name: &str, tar: &[u8], changes: &[String]) -> Result<()> {
        let mut line = format!(
            "POST /images/create?fromSrc=-&repo={}&tag=latest",
            http::encode(name)
        );
        for change in changes {
            line += &format!("&changes={}", http::encode(change));
        }
        let (status, body) = http::request(&self.address, &line, tar)?;
        if status != 200 || body.contains("\"error\"") {
            bail!("{self} refused image {name}: status {status}, {body}");
        }
        Ok(())
    }
}

impl std::fmt::Display for Docker {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Docker at {}", self.address)
    }
}

fn address(host: &str) -> Result<Address> {
    if host.is_empty() {
        return Ok(Address::Unix("/var/run/docker.sock".into()));
    }
    let (scheme, place) = host
        .split_once("://")
        .with_context(|| format!("DOCKER_HOST={host}: no scheme"))?;
    match scheme {
        "unix" => Ok(Address::Unix(place.into())),
        "tcp" | "http" => Ok(Address::Tcp(place.trim_end_matches('/').to_owned())),
        _ => bail!("DOCKER_HOST={host}: only unix:// and tcp:// are understood"),
    }
}

fn denied(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_host_in_all_its_forms() {
        let unix = |path: &str| Address::Unix(path.into());
        assert_eq!(address("").unwrap(), unix("/var/run/docker.sock"));
        assert_eq!(address("unix:///a/b.sock").unwrap(), unix("/a/b.sock"));
        assert_eq!(address("tcp://h:1/").unwrap(), Address::Tcp("h:1".into()));
        assert!(address("ssh://h").is_err());
        assert!(address("h:1").is_err());
    }

    #[test]
    fn nobody_there_is_silence() {
        let answer = Docker::at(Path::new("/nonexistent/docker.sock")).answer();
        assert!(matches!(answer, Answer::Silent(reason) if reason.contains("/nonexistent")));
    }
}
