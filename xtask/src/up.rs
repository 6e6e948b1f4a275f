//! `cargo xtask up`: from a bare machine to a server that starts pods, and how to launch one.

use crate::consent::Consent;
use crate::demo;
use crate::engine;
use crate::first_pod;
use crate::http::{self, Address};
use crate::settings;
use crate::shell;
use anyhow::{Context, Result, bail};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

/// What may be asked of a start.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    yes: bool,
    memory: bool,
}

impl Options {
    /// Reads the command line.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            yes: false,
            memory: false,
        };
        for argument in arguments {
            match argument.as_str() {
                "--yes" => options.yes = true,
                "--memory" => options.memory = true,
                other => bail!("cargo xtask up knows no {other}"),
            }
        }
        Ok(options)
    }
}

/// Sets up, starts the server, and stays until it ends.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = settings::folder()?;
    let mut server = shell::cargo();
    server.args(["run", "--quiet", "--package", "neuropod-server"]);
    server.envs(settings::load(&folder)?);
    if options.memory {
        println!("Containers are simulated: nothing runs but this server.");
        server.env("NEUROPOD_ORCHESTRATOR", "memory");
        // Simulated pods are gone with the server, and so is what was known of them.
        server.env("DATABASE_URL", "memory:");
    } else {
        let docker = engine::provide(Consent::new(options.yes))?;
        demo::provide(&docker)?;
        server.env("NEUROPOD_ORCHESTRATOR", "docker");
        server.env("DOCKER_HOST", docker.host());
    }
    println!("Building the server; the first time takes some minutes.");
    shell::run(shell::cargo().args(["build", "--package", "neuropod-server"]))?;
    let address = address();
    if TcpStream::connect(&address).is_ok() {
        bail!(
            "something listens on {address} already; choose another port: PORT=3001 cargo xtask up"
        );
    }
    // A process group of its own: Ctrl-C comes from us alone, and once.
    let mut child = server
        .process_group(0)
        .spawn()
        .context("starting the server")?;
    if wait_until_ready(&mut child, &address)? {
        welcome(&address, &folder, options.memory);
    }
    let status = shell::wait(&mut child)?;
    if !shell::interrupted() {
        bail!("the server ended with {status}; its last lines say why");
    }
    if !options.memory {
        println!(
            "\nThe server has ended. The engine and the pods stay; the next `cargo xtask up` finds them."
        );
        println!("To remove them all, with their volumes:\n{REMOVE_PODS}");
    }
    Ok(())
}

/// The last line of the welcome begins so.
pub(crate) const READY: &str = "Ctrl-C ends the server";

const REMOVE_PODS: &str = "  \
  docker ps -aq --filter label=app.kubernetes.io/managed-by=neuropod | xargs -r docker rm -f
  docker volume ls -q --filter label=app.kubernetes.io/managed-by=neuropod | xargs -r docker volume rm";

/// Where the server will listen: what the environment says, or the server's own defaults.
fn address() -> String {
    let variable = |name: &str, default: &str| match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => default.to_owned(),
    };
    let host = variable("HOST", "127.0.0.1").replace("0.0.0.0", "127.0.0.1");
    format!("{host}:{}", variable("PORT", "3000"))
}

/// False when the server has ended, or was told to, before it was ready.
fn wait_until_ready(child: &mut Child, address: &str) -> Result<bool> {
    let address = Address::Tcp(address.to_owned());
    while child.try_wait()?.is_none() && !shell::interrupted() {
        if matches!(http::request(&address, "GET /readyz", b""), Ok((200, _))) {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(false)
}

fn welcome(address: &str, folder: &Path, simulated: bool) {
    let url = format!("http://{address}");
    println!(
        "\nNeuroPod is ready at {url} (development mode: anybody on this machine may log in)."
    );
    println!("Open {url} in a browser to launch a pod by hand, or paste the commands below.");
    let kept = if simulated {
        "Its secrets are"
    } else {
        "Its database and secrets are"
    };
    println!("{kept} in {}.", folder.display());
    for (number, (purpose, command)) in first_pod::commands(&url).iter().enumerate() {
        println!("\n{}. {purpose}:\n\n{command}", number + 1);
    }
    if simulated {
        println!(
            "\nContainers are simulated: the page is not really there, and Ctrl-C ends them with the server.\n"
        );
    } else {
        println!("\n{READY}; pods stay.\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read_strictly() {
        let parse = |words: &[&str]| {
            Options::parse(
                &words
                    .iter()
                    .map(|word| (*word).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let both = Options {
            yes: true,
            memory: true,
        };
        assert_eq!(parse(&["--memory", "--yes"]).unwrap(), both);
        assert!(
            parse(&["--docker"])
                .unwrap_err()
                .to_string()
                .contains("--docker")
        );
    }
}
