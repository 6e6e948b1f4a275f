//! A Kubernetes cluster of a checkout's own: a real control plane, and two nodes that run real pods.
//!
//! It lives in namespaces of its own, all of which end with one process. Nothing in it reaches anything outside.

mod build;
mod files;
mod image;

use crate::apt;
use crate::consent::Consent;
use crate::shell;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Claims of volumes are met by folders of the node.
const STORAGE: &str = "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata:\n  name: standard\n  \
    annotations: {storageclass.kubernetes.io/is-default-class: 'true'}\nprovisioner: kubernetes.io/host-path\n";
/// Two cores that compile something beside it are slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running cluster.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    home: PathBuf,
    programs: PathBuf,
    /// The process in whose network it is.
    pid: u32,
}

/// Compiles and installs what a cluster is made of.
pub(crate) fn provide(consent: Consent) -> Result<PathBuf> {
    let needed = [
        ("etcd", "etcd-server"),
        ("containerd", "containerd"),
        ("runc", "runc"),
        ("ip", "iproute2"),
        ("iptables", "iptables"),
        ("openssl", "openssl"),
    ];
    let missing = needed
        .iter()
        .filter(|(program, _)| shell::find(program).is_none());
    let mut missing: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if !Path::new("/usr/lib/cni/bridge").is_file() {
        missing.push("containernetworking-plugins");
    }
    if !missing.is_empty() {
        apt::install(&missing, "a Kubernetes cluster for the tests", consent)?;
    }
    build::provide(consent)
}

/// Starts a cluster that keeps everything in `home`, and waits until its nodes are ready.
pub(crate) fn start(home: &Path, programs: PathBuf) -> Result<Cluster> {
    std::fs::create_dir_all(home)?;
    let cgroup = cgroup(home);
    files::write(home, &cgroup)?;
    std::fs::write(home.join("inside.sh"), include_str!("cluster/inside.sh"))?;
    let scratch = home.join("scratch");
    std::fs::create_dir_all(&scratch)?;
    let images = image::archive(&scratch)?;
    // Each node has a registry that has nothing, and gives nobody one thing.
    std::fs::rename(scratch.join("root/bin/busybox"), home.join("busybox"))?;
    std::fs::create_dir_all(home.join("registry/v2"))?;
    std::fs::write(home.join("registry.conf"), "/v2/denied:nobody:nothing\n")?;
    let groups = include_str!("cluster/groups.sh");
    shell::run(shell::root("sh")?.args(["-c", groups, "groups.sh", &cgroup]))?;
    let log = File::create(home.join("inside.log"))?;
    let mut inside = shell::root("unshare")?;
    inside.args([
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
    ]);
    inside.arg(home.join("inside.sh")).arg(home).arg(&programs);
    inside
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    // Ctrl-C is for the tests; the cluster ends after them.
    let mut inside = inside.process_group(0).spawn()?;
    let first = first_process(home)?;
    let cluster = Cluster {
        home: home.to_path_buf(),
        programs,
        pid: first,
    };
    let ready = cluster.fill(&images);
    if ready.is_err() && inside.try_wait()?.is_none() {
        eprintln!("{}", cluster.complaints());
    }
    ready?;
    Ok(cluster)
}

/// What the nodes' control groups are in.
fn cgroup(home: &Path) -> String {
    format!(
        "/{}",
        home.display()
            .to_string()
            .trim_matches('/')
            .replace('/', "-")
    )
}

/// The process in whose namespaces a cluster runs: the one that `unshare` has started.
fn first_process(home: &Path) -> Result<u32> {
    let script = home.join("inside.sh").display().to_string();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(pid) =
            processes(|words| words.len() > 2 && words[0] == "sh" && words[1] == script)?.first()
        {
            return Ok(*pid);
        }
        if Instant::now() > deadline {
            let log = std::fs::read_to_string(home.join("inside.log")).unwrap_or_default();
            bail!("the cluster's namespaces can't be had here: {log}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes whose command line is meant.
fn processes(meant: impl Fn(&[&str]) -> bool) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        let words: Vec<&str> = line.split('\0').collect();
        if let (true, Ok(pid)) = (meant(&words), entry.file_name().to_string_lossy().parse()) {
            found.push(pid);
        }
    }
    // `sh` starts others as itself for a moment; it is the eldest.
    found.sort_unstable();
    Ok(found)
}

impl Cluster {
    /// Of its administrator.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.home.join("admin.kubeconfig")
    }

    /// Of a server, with the rights that `deploy/kubernetes` gives it.
    pub(crate) fn server_kubeconfig(&self) -> PathBuf {
        self.home.join("account.kubeconfig")
    }

    /// Where the nodes' containers can be asked for, with commas between them.
    pub(crate) fn containerds(&self) -> String {
        let sockets = files::NODES.map(|(node, _)| self.home.join(node).join("containerd.sock"));
        sockets.map(|socket| socket.display().to_string()).join(",")
    }

    /// The process in whose network it is.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// `kubectl` for its administrator, in its network.
    fn kubectl(&self) -> Result<Command> {
        let mut kubectl = shell::root("nsenter")?;
        kubectl.args(["--net", "--target", &self.pid.to_string(), "--"]);
        kubectl
            .arg(self.programs.join("kubectl"))
            .arg("--kubeconfig")
            .arg(self.kubeconfig());
        Ok(kubectl)
    }

    /// Gives it images and a storage class, and waits until pods can start.
    fn fill(&self, images: &Path) -> Result<()> {
        for (node, _) in files::NODES {
            let socket = self.home.join(node).join("containerd.sock");
            self.wait("containerd", || Ok(socket.exists()))?;
            let mut import = shell::root("ctr")?;
            import.arg("--address").arg(&socket).args([
                "--namespace",
                "k8s.io",
                "images",
                "import",
            ]);
            let import = import.arg(images);
            self.wait("containerd", || Ok(shell::output(import).is_ok()))?;
        }
        let class = self.home.join("storage.yaml");
        std::fs::write(&class, STORAGE)?;
        self.wait("kube-apiserver", || {
            Ok(shell::output(self.kubectl()?.arg("apply").arg("--filename").arg(&class)).is_ok())
        })?;
        self.wait("the default service account", || {
            let get = "get serviceaccount default".split(' ');
            Ok(shell::output(self.kubectl()?.args(get)).is_ok())
        })?;
        let access = ["apply", "--filename", "deploy/kubernetes/access.yaml"];
        shell::output(self.kubectl()?.args(access))?;
        let token = "create token neuropod --duration 24h".split(' ');
        let token = shell::output(self.kubectl()?.args(token))?;
        let account = files::with_token(&self.home, token.trim());
        std::fs::write(self.server_kubeconfig(), account)?;
        for (node, _) in files::NODES {
            // A node is tainted for a moment after it is ready.
            let ready = r"jsonpath={.status.conditions[?(@.type=='Ready')].status}{.spec.taints}";
            self.wait("kubelet", || {
                let get = ["get", "node", node, "--output", ready];
                Ok(shell::output(self.kubectl()?.args(get)).is_ok_and(|ready| ready == "True"))
            })?;
        }
        Ok(())
    }

    fn wait(&self, what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !done()? {
            if shell::interrupted() || Instant::now() > deadline {
                bail!(
                    "{what} does not get ready; its log is in {}",
                    self.home.display()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The last words of each of its programs.
    fn complaints(&self) -> String {
        let logs = std::fs::read_dir(&self.home)
            .into_iter()
            .flatten()
            .flatten();
        let logs = logs
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "log"));
        let last = logs.map(|path| {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(5).collect();
            format!(
                "{}:\n{}\n",
                path.display(),
                lines.into_iter().rev().collect::<Vec<_>>().join("\n")
            )
        });
        last.collect()
    }
}

/// Ends the cluster that runs in `home`, if one does, and deletes what it has left.
pub(crate) fn end(home: &Path) -> Result<()> {
    let place = home.display().to_string();
    let running = || {
        processes(|words| {
            words
                .iter()
                .any(|word| *word == place || word.starts_with(&format!("{place}/")))
        })
    };
    let unshares = processes(|words| words[0] == "unshare" && words.contains(&&*place))?;
    for pid in &unshares {
        // With it ends the first process of the namespaces, and with that one everything in them.
        shell::output(shell::signal(shell::root("sh")?, "-KILL").arg(pid.to_string()))?;
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while !unshares.is_empty() && !running()?.is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    // A control group can be removed a moment after its last process.
    let groups = format!(
        "for i in 1 2 3 4 5; do find /sys/fs/cgroup -depth -type d -path '*{0}*' -exec rmdir {{}} + 2>/dev/null \
         && exit 0; sleep 0.2; done; true",
        cgroup(home)
    );
    shell::run(shell::root("sh")?.args(["-c", &groups]))?;
    shell::run(
        shell::root("rm")?
            .args(["--recursive", "--force", "--one-file-system"])
            .arg(home),
    )
}

/// `cargo xtask cluster up | down`: the same cluster to look at.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let home = crate::folder::place(&shell::checkout()?, "-cluster");
    let mut words = arguments.iter().map(String::as_str);
    let verb = words.next().context("say up or down")?;
    let yes = match words.next() {
        None => false,
        Some("--yes") => true,
        Some(other) => bail!("cargo xtask cluster knows no {other}"),
    };
    match verb {
        "up" => {
            end(&home)?;
            let cluster = start(&home, provide(Consent::new(yes))?)?;
            println!(
                "\nA cluster of two nodes runs in a network of its own, until `cargo xtask cluster down`. To look around:\n\n  \
                 nsenter --net --target {} -- {} --kubeconfig {} get nodes\n\n\
                 Its own images are neuropod/demo and neuropod/pause. To test against it, from within that network:\n\n  \
                 NEUROPOD_TEST_KUBECONFIG={} NEUROPOD_TEST_CONTAINERDS={}",
                cluster.pid(),
                cluster.programs.join("kubectl").display(),
                cluster.kubeconfig().display(),
                cluster.kubeconfig().display(),
                cluster.containerds(),
            );
            Ok(())
        }
        "down" => end(&home),
        other => bail!("cargo xtask cluster knows no {other}, but up and down"),
    }
}
