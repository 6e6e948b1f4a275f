//! The user's own Docker engine, for `up`: the one that answers, or one installed and started here.

use crate::apt;
use crate::consent::Consent;
use crate::docker::{Answer, Docker};
use crate::shell;
use anyhow::{Result, bail};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Set for the second try after joining group docker, so that there is no third.
const JOINED: &str = "NEUROPOD_JOINED_DOCKER_GROUP";
const SETTINGS: &str = "/etc/docker/daemon.json";
const LOG: &str = "/var/log/dockerd.log";

/// An engine that answers.
pub(crate) fn provide(consent: Consent) -> Result<Docker> {
    let docker = Docker::from_environment()?;
    match docker.answer() {
        Answer::Ready => return Ok(docker),
        Answer::Denied => join_group(consent)?,
        Answer::Silent(reason) if std::env::var_os("DOCKER_HOST").is_some() => {
            bail!("{reason}. DOCKER_HOST names this engine; start it, or unset DOCKER_HOST");
        }
        Answer::Silent(_) => set_up(consent)?,
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match docker.answer() {
            Answer::Ready => {
                println!("{docker} is running.");
                return Ok(docker);
            }
            Answer::Denied => join_group(consent)?,
            Answer::Silent(reason) if Instant::now() > deadline => {
                bail!("{reason}, 30 s after its start; its log: journalctl -u docker, or {LOG}");
            }
            Answer::Silent(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn set_up(consent: Consent) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("no Docker engine answers; start Docker, or simulate one: cargo xtask up --memory");
    }
    if shell::find("dockerd").is_some() {
        consent.to("Start the installed Docker engine.")?;
    } else {
        apt::install(&["docker.io"], "no Docker engine answers here", consent)?;
    }
    let settings_changed = keep_pods_when_the_engine_restarts()?;
    if Path::new("/run/systemd/system").is_dir() {
        // `restart` only where a setting of ours has to reach an engine the package has started.
        let verb = if settings_changed { "restart" } else { "start" };
        return shell::run(shell::root("systemctl")?.args([verb, "docker"]));
    }
    println!("No systemd here: starting dockerd by hand, log in {LOG}.");
    let by_hand = format!("setsid --fork dockerd >{LOG} 2>&1 </dev/null");
    shell::run(shell::root("sh")?.args(["-c", &by_hand]))
}

/// Without `live-restore` an engine that is restarted kills every pod. Says whether it was set now.
fn keep_pods_when_the_engine_restarts() -> Result<bool> {
    if Path::new(SETTINGS).exists() {
        return Ok(false);
    }
    let write = format!("mkdir -p /etc/docker && echo '{{ \"live-restore\": true }}' >{SETTINGS}");
    shell::run(shell::root("sh")?.args(["-c", &write]))?;
    println!("Wrote {SETTINGS}: live-restore, so that pods outlive a restart of the engine.");
    Ok(true)
}

/// Lets this user talk to the engine, and starts this program again with that right.
fn join_group(consent: Consent) -> Result<()> {
    let user = shell::output(Command::new("id").arg("-un"))?;
    let user = user.trim();
    if std::env::var_os(JOINED).is_some() {
        bail!("user {user} is in group docker, and the engine's socket still refuses");
    }
    consent.to(&format!(
        "Add user {user} to group docker, which may use the engine (and so is as good as root)."
    ))?;
    shell::run(shell::root("usermod")?.args(["-aG", "docker", user]))?;
    // A login's groups are fixed at its start; sudo starts a program with the new one, and as the same user.
    let mut again = Command::new("sudo");
    again.args(["--preserve-env", "--user", user, "--group", "docker", "--"]);
    again.arg(std::env::current_exe()?);
    let error = again.args(std::env::args().skip(1)).env(JOINED, "1").exec();
    bail!("starting again in group docker: {error}")
}
