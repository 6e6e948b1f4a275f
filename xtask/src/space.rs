//! The place where a test run's engine, database and tests live: a network namespace of their own.
//!
//! A second engine in the host's network would rewrite the packet filter that a developer's own
//! engine relies on, and two checkouts would fight over ports. Here all of it is separate, the
//! loopback device too, and nothing outside can be reached.

use crate::cluster::Cluster;
use crate::docker::Docker;
use crate::folder::Folder;
use crate::gpu;
use crate::shell;
use anyhow::{Result, bail};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A network namespace with a Docker engine, or the host's network when no engine could be had.
#[derive(Debug)]
pub(crate) struct Space {
    engine: Option<Engine>,
}

#[derive(Debug)]
struct Engine {
    pid: u32,
    docker: Docker,
    gpu_records: PathBuf,
}

/// What an engine finds before all that is installed.
fn bin(home: &Path) -> PathBuf {
    home.join("bin")
}

/// Starts an engine in a network of its own, with all that it has in this folder.
pub(crate) fn start_engine(home: &Path, arguments: &[&str]) -> Result<Docker> {
    let place = |name: &str| home.join(name).display().to_string();
    let (_, group) = shell::identity(None)?;
    let log = File::create(home.join("docker.log"))?;
    let mut dockerd = shell::root("unshare")?
        .args([
            "--net",
            "--",
            "sh",
            "-c",
            "ip link set lo up && export PATH=\"$0:$PATH\" && exec dockerd \"$@\"",
        ])
        .arg(bin(home))
        .args(["--host", &format!("unix://{}", place("docker.sock"))])
        .args(["--group", &group.to_string()])
        .args(["--data-root", &place("data"), "--exec-root", &place("run")])
        .args(["--pidfile", &place("docker.pid")])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C is for the tests; the engine ends after them.
        .process_group(0)
        .spawn()?;
    let docker = Docker::at(&home.join("docker.sock"));
    docker.wait_for(&mut dockerd, &home.join("docker.log"))?;
    Ok(docker)
}

impl Space {
    /// The host's own network, with no engine.
    pub(crate) fn host() -> Self {
        Self { engine: None }
    }

    /// Starts an engine in a new namespace; everything of it is in the folder.
    pub(crate) fn with_engine(folder: &Folder) -> Result<Self> {
        let path = folder.path();
        let gpu_records = gpu::stand_in(&bin(path))?;
        let docker = start_engine(path, &[])?;
        let pid = shell::output(shell::root("cat")?.arg(path.join("docker.pid")))?
            .trim()
            .parse()?;
        Ok(Self {
            engine: Some(Engine {
                pid,
                docker,
                gpu_records,
            }),
        })
    }

    /// The engine, if there is one.
    pub(crate) fn docker(&self) -> Option<&Docker> {
        self.engine.as_ref().map(|engine| &engine.docker)
    }

    /// Leads from this network to a cluster's, which the tests reach by the addresses of its nodes and pods.
    pub(crate) fn lead_to(&self, cluster: &Cluster) -> Result<()> {
        let Some(engine) = &self.engine else {
            bail!("the tests have no network of their own, which needs a Docker engine");
        };
        let (here, there) = (engine.pid.to_string(), cluster.pid().to_string());
        let script = "nsenter --net --target $0 ip link add cluster type veth peer name tests netns $1 \
            && nsenter --net --target $0 ip address add 10.251.0.2/24 dev cluster \
            && nsenter --net --target $0 ip link set cluster up \
            && nsenter --net --target $1 ip address add 10.251.0.1/24 dev tests \
            && nsenter --net --target $1 ip link set tests up \
            && nsenter --net --target $0 ip route add 10.250.0.0/24 via 10.251.0.1 \
            && nsenter --net --target $0 ip route add 10.244.0.0/16 via 10.251.0.1";
        shell::run(shell::root("sh")?.args(["-c", script, &here, &there]))
    }

    /// Where it is kept what containers with GPUs were asked to be, if there is an engine.
    pub(crate) fn gpu_records(&self) -> Option<&Path> {
        self.engine
            .as_ref()
            .map(|engine| engine.gpu_records.as_path())
    }

    /// A command in this network, as the given user and group.
    pub(crate) fn command(&self, program: &OsStr, (user, group): (u32, u32)) -> Result<Command> {
        let mut command = match &self.engine {
            Some(engine) => {
                let mut command = shell::root("nsenter")?;
                command.args(["--net", "--target", &engine.pid.to_string()]);
                // The packet filter is this network's own, and pods are kept apart by it.
                command.args(["--", "setpriv", "--inh-caps", "+net_admin"]);
                command.args(["--ambient-caps", "+net_admin"]);
                command
            }
            None if shell::is_root() => Command::new("setpriv"),
            None => return Ok(Command::new(program)),
        };
        command.args(["--reuid", &user.to_string(), "--regid", &group.to_string()]);
        command.args(["--clear-groups", "--"]);
        // sudo sets these anew whatever it is told to keep.
        command.arg("env");
        for name in ["PATH", "HOME"] {
            if let Ok(value) = std::env::var(name) {
                command.arg(format!("{name}={value}"));
            }
        }
        command.arg(program);
        Ok(command)
    }
}
