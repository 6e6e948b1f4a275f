//! An engine that a test kills and starts again. Its containerd is not its own: one that the engine manages does not
//! outlive it in good order.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::query_parameters::{
    ImportImageOptions, InspectContainerOptions, ListContainersOptions,
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::process::{Child, Command};

use crate::IMAGE;

const STARTED_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct OwnEngine {
    folder: PathBuf,
    live_restore: bool,
    containerd: Child,
    dockerd: Child,
    pub(crate) docker: Docker,
}

impl OwnEngine {
    /// In this folder, with the demo image of the engine at `image_from`.
    pub(crate) async fn start(folder: &Path, live_restore: bool, image_from: &str) -> Self {
        let place = folder.display();
        let settings = format!(
            "version = 2\nroot = '{place}/containerd'\nstate = '{place}/containerd-run'\n\
             disabled_plugins = ['io.containerd.grpc.v1.cri']\n[grpc]\naddress = '{place}/containerd.sock'\n"
        );
        std::fs::write(folder.join("containerd.toml"), settings).unwrap();
        let containerd = containerd(folder).await;
        let mut dockerd = dockerd(folder, live_restore);
        let docker = answers(folder, &mut dockerd).await;
        let engine = Self {
            folder: folder.to_owned(),
            live_restore,
            containerd,
            dockerd,
            docker,
        };
        let other = Docker::connect_with_host(image_from).unwrap();
        let image: Vec<_> = other.export_image(IMAGE).try_collect().await.unwrap();
        let parts = stream::iter(image.into_iter().map(Ok::<_, std::io::Error>));
        let none = ImportImageOptions::default();
        let taken = engine.docker.import_image_stream(none, parts, None);
        taken.for_each(async |part| drop(part.unwrap())).await;
        engine
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    /// Where it answers, as `DOCKER_HOST` says it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Whether its containers outlive it.
    pub(crate) fn restores(&self) -> bool {
        self.live_restore
    }

    /// `SIGSTOP`: it takes calls and answers none.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// `SIGCONT`.
    pub(crate) fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        send(signal, &[self.dockerd.id().expect("it is alive")]);
    }

    /// `SIGKILL` to all there is of it at once: itself, containerd, the shims and the containers.
    pub(crate) async fn kill_all(&mut self) {
        let mut pids: Vec<u32> = [&self.dockerd, &self.containerd]
            .map(|child| child.id().unwrap())
            .into();
        for container in self
            .docker
            .list_containers(None::<ListContainersOptions>)
            .await
            .unwrap()
        {
            let id = container.id.unwrap();
            let none = None::<InspectContainerOptions>;
            let inspected = self.docker.inspect_container(&id, none).await.unwrap();
            let pid = inspected.state.unwrap().pid.unwrap();
            let pid = u32::try_from(pid).unwrap();
            pids.extend([pid, parent(pid)]);
        }
        send("KILL", &pids);
        self.dockerd.wait().await.unwrap();
        self.containerd.wait().await.unwrap();
    }

    /// A new one where all was killed; returns with its first answer.
    pub(crate) async fn start_again(&mut self) {
        std::fs::remove_file(self.folder.join("containerd.sock")).unwrap();
        self.containerd = containerd(&self.folder).await;
        self.dockerd = dockerd(&self.folder, self.live_restore);
        answers(&self.folder, &mut self.dockerd).await;
    }

    /// `SIGKILL`, and a new one; returns with its first answer.
    pub(crate) async fn kill_and_start(&mut self) {
        self.dockerd.kill().await.unwrap();
        self.dockerd = dockerd(&self.folder, self.live_restore);
        answers(&self.folder, &mut self.dockerd).await;
    }
}

/// The engine, once it does.
async fn answers(folder: &Path, dockerd: &mut Child) -> Docker {
    let host = format!("unix://{}", folder.join("docker.sock").display());
    let deadline = Instant::now() + STARTED_WITHIN;
    loop {
        // Nobody can connect before there is a socket.
        if let Ok(docker) = Docker::connect_with_host(&host)
            && docker.ping().await.is_ok()
        {
            return docker;
        }
        let ended = dockerd.try_wait().unwrap();
        let may_come = ended.is_none() && Instant::now() < deadline;
        assert!(may_come, "{ended:?}: {}", log(folder, "dockerd"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn containerd(folder: &Path) -> Child {
    let file = folder.join("containerd.toml");
    let containerd = spawn(folder, "containerd", &["--config", &file.to_string_lossy()]);
    let socket = folder.join("containerd.sock");
    let deadline = Instant::now() + STARTED_WITHIN;
    while !socket.exists() {
        assert!(Instant::now() < deadline, "{}", log(folder, "containerd"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    containerd
}

fn dockerd(folder: &Path, live_restore: bool) -> Child {
    let place = |name: &str| folder.join(name).display().to_string();
    let host = format!("unix://{}", place("docker.sock"));
    let mut arguments = vec!["--host".to_owned(), host];
    for (flag, name) in [
        ("--containerd", "containerd.sock"),
        ("--data-root", "data"),
        ("--exec-root", "run"),
        ("--pidfile", "docker.pid"),
    ] {
        arguments.extend([flag.to_owned(), place(name)]);
    }
    arguments.extend(live_restore.then(|| "--live-restore".to_owned()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    spawn(folder, "dockerd", &arguments)
}

fn send(signal: &str, pids: &[u32]) {
    let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
    let kill = format!("kill -s {signal} {}", pids.join(" "));
    let sent = std::process::Command::new("sh")
        .args(["-c", &kill])
        .status();
    assert!(sent.unwrap().success(), "{kill}");
}

/// Of a process: of a container's first one, its shim.
fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    after_name
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

fn spawn(folder: &Path, program: &str, arguments: &[&str]) -> Child {
    let log = folder.join(format!("{program}.log"));
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(log)
        .unwrap();
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|e| panic!("{program}: {e}"))
}

/// The last lines that a program has said.
fn log(folder: &Path, program: &str) -> String {
    let log = std::fs::read_to_string(folder.join(format!("{program}.log"))).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
