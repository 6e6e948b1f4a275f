//! What was acknowledged survives `kill -9`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::support::{ANA, Request, SECRET, a_pod};

/// The program over a file of SQLite in `folder`. Its log says little, and so never fills the pipe.
struct Program {
    child: Child,
    address: SocketAddr,
    _log: Lines<BufReader<ChildStderr>>,
}

impl Program {
    async fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_neuropod-server"))
            .args(["--dev", "--orchestrator", "memory", "--port", "0"])
            .args(["--log", "json"])
            .env_clear()
            .env("DATABASE_URL", "sqlite://kept.db")
            .env("JWT_SECRET", SECRET)
            .env("RUST_LOG", "neuropod_server::serve=info")
            .current_dir(folder)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        loop {
            let line = log.next_line().await.unwrap().expect("it listens");
            let event: Value = serde_json::from_str(&line).unwrap();
            if let Some(url) = event["fields"]["url"].as_str() {
                let address = url.strip_prefix("http://").unwrap().parse().unwrap();
                return Self {
                    child,
                    address,
                    _log: log,
                };
            }
        }
    }

    async fn send(&self, method: &str, path: &str, token: &str, body: Value) -> Value {
        let request = Request::new(self.address, method, path).bearer(token);
        let answer = if body.is_null() {
            request.send().await
        } else {
            request.json(&body).send().await
        };
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
        answer.json()
    }

    /// Without a chance to write anything more: `SIGKILL`.
    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    let folder = std::env::temp_dir().join(format!("neuropod-restart-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut program = Program::start(&folder).await;
    let login = Request::new(program.address, "POST", "/api/auth/mock-login")
        .json(&json!({ "email": ANA }))
        .send()
        .await;
    let token = login.json()["token"].as_str().unwrap().to_owned();

    let mut kept: Vec<(String, &str)> = Vec::new();
    for round in 0..4 {
        let mut launched = Vec::new();
        for _ in 0..3 {
            let answer = program.send("POST", "/api/pods", &token, a_pod()).await;
            launched.push(answer["data"]["podId"].as_str().unwrap().to_owned());
        }
        let [running, stopped, deleted] = launched.try_into().unwrap();
        let stop = format!("/api/pods/{stopped}/stop");
        program.send("POST", &stop, &token, Value::Null).await;
        let delete = format!("/api/pods/{deleted}");
        program.send("DELETE", &delete, &token, Value::Null).await;
        kept.extend([(running, "Running"), (stopped, "Stopped")]);

        program.kill().await;
        program = Program::start(&folder).await;
        let list = program.send("GET", "/api/pods", &token, Value::Null).await;
        let mut listed: Vec<(String, String)> = list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                let text = |name: &str| row[name].as_str().unwrap().to_owned();
                (text("podId"), text("desired").to_lowercase())
            })
            .collect();
        let mut expected: Vec<(String, String)> = kept
            .iter()
            .map(|(pod, desired)| (pod.clone(), desired.to_lowercase()))
            .collect();
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected, "after kill {round}");
    }
    program.kill().await;
    std::fs::remove_dir_all(&folder).unwrap();
}
