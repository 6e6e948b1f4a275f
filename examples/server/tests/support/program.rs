//! The server as a program that a test starts and kills.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The program, listening.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Program {
    /// In `folder`, in development mode on a free port, with nothing in its environment but `settings`.
    pub(crate) async fn start(folder: &Path, settings: &[(&str, impl AsRef<OsStr>)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_neuropod-server"))
            .args(["--dev", "--port", "0", "--log", "json"])
            .env_clear()
            .env("RUST_LOG", "warn,neuropod_server::serve=info")
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let address = loop {
            let Some(line) = lines.next_line().await.unwrap() else {
                panic!("it does not listen: {}", log.lock().unwrap());
            };
            let event: Value = serde_json::from_str(&line).unwrap();
            *log.lock().unwrap() += &format!("{line}\n");
            if let Some(url) = event["fields"]["url"].as_str() {
                break url.strip_prefix("http://").unwrap().parse().unwrap();
            }
        };
        let rest = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                *rest.lock().unwrap() += &format!("{line}\n");
            }
        });
        Self {
            child,
            address,
            log,
        }
    }

    /// What it has said so far.
    #[allow(dead_code)] // not every test asks
    pub(crate) fn said(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Bytes of its memory that are resident now.
    #[allow(dead_code)] // not every test asks
    pub(crate) fn resident(&self) -> u64 {
        let id = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.unwrap().parse::<u64>().unwrap() * 1024
    }

    /// As whoever supervises it does: `SIGTERM`, and ten seconds.
    #[allow(dead_code)] // not every test asks
    pub(crate) async fn end(mut self) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(sent.unwrap().success());
        let ended = tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await;
        let ended = ended.expect("ends within ten seconds").unwrap();
        assert!(ended.success(), "{ended}: {}", self.said());
    }

    /// Without a chance to write anything more: `SIGKILL`.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
