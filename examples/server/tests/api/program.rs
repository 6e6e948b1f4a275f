//! The program itself: starts, says what it does, ends in good order, and keeps its secrets.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{ANA, Request, SECRET, a_pod};

const PROGRAM: &str = env!("CARGO_BIN_EXE_neuropod-server");

pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .env_clear()
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    // No `.env` of whoever runs the tests.
    command.current_dir(std::env::temp_dir());
    command
}

/// What a program that refuses to start says.
async fn refusal(arguments: &[&str]) -> String {
    let output = program(arguments).output().await.unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

async fn end(child: &mut Child, signal: &str) -> i32 {
    let id = child.id().unwrap().to_string();
    let sent = Command::new("kill")
        .args([signal, &id])
        .status()
        .await
        .unwrap();
    assert!(sent.success());
    let ended = tokio::time::timeout(Duration::from_secs(10), child.wait()).await;
    ended
        .expect("ends within ten seconds")
        .unwrap()
        .code()
        .expect("ends by itself")
}

#[tokio::test]
async fn it_ends_in_good_order_from_the_moment_it_listens() {
    for _ in 0..10 {
        let arguments = ["--dev", "--orchestrator", "memory", "--port", "0"];
        let mut child = program(&arguments)
            .env("DATABASE_URL", "memory:")
            .env("JWT_SECRET", SECRET)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap()
            && !line.contains("listening")
        {}
        assert_eq!(end(&mut child, "-TERM").await, 0);
    }
}

#[tokio::test]
async fn it_serves_until_it_is_told_to_end_and_tells_no_secret() {
    for signal in ["-TERM", "-INT"] {
        let arguments = [
            "--dev",
            "--orchestrator",
            "memory",
            "--port",
            "0",
            "--log",
            "json",
        ];
        let mut child = program(&arguments)
            .env("DATABASE_URL", "memory:")
            .env("JWT_SECRET", SECRET)
            .env("RUST_LOG", "debug")
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = String::new();
        let address = loop {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .expect("it listens before it ends");
            log += &line;
            let event: serde_json::Value =
                serde_json::from_str(&line).expect("one JSON object a line");
            if let Some(url) = event["fields"]["url"].as_str() {
                break url.strip_prefix("http://").unwrap().parse().unwrap();
            }
        };
        assert!(log.contains("SIMULATED"), "{log}");
        let login =
            Request::new(address, "POST", "/api/auth/mock-login").json(&json!({ "email": ANA }));
        let token = login.send().await.json()["token"]
            .as_str()
            .unwrap()
            .to_owned();
        let mut body = a_pod();
        body["env"] = json!({ "KEY": "hunter2" });
        let launched = Request::new(address, "POST", "/api/pods")
            .bearer(&token)
            .json(&body)
            .send()
            .await;
        assert_eq!(launched.status, 201, "{launched:?}");
        Request::new(address, "GET", &format!("/api/pods?token={token}"))
            .send()
            .await
            .problem(401, "unauthenticated");
        // A connection that stays open and says nothing holds nothing up.
        let idle = tokio::net::TcpStream::connect(address).await.unwrap();
        let began = Instant::now();
        assert_eq!(end(&mut child, signal).await, 0);
        println!("ended by {signal} within {:?}", began.elapsed());
        drop(idle);
        lines.into_inner().read_to_string(&mut log).await.unwrap();
        assert!(log.contains("/api/pods"), "{log}");
        for secret in [SECRET, &token, "hunter2", ANA] {
            assert!(!log.contains(secret), "{secret} in {log}");
        }
    }
}

#[tokio::test]
async fn it_says_why_it_does_not_start() {
    let memory = [
        "--database-url",
        "memory:",
        "--orchestrator",
        "memory",
        "--port",
        "0",
    ];
    let with = |more: &[&'static str]| [&memory[..], more].concat();
    assert!(refusal(&with(&[])).await.contains("JWT_SECRET is not set"));
    let weak = refusal(&with(&[
        "--jwt-secret",
        "your-super-secret-key-please-change-it",
    ]))
    .await;
    assert!(
        weak.contains("placeholder") && !weak.contains("your-super"),
        "{weak}"
    );
    assert!(
        refusal(&with(&["--dev", "--host", "0.0.0.0"]))
            .await
            .contains("NEUROPOD_DEV_EXPOSED")
    );
    let cluster = refusal(&[
        "--dev",
        "--database-url",
        "memory:",
        "--orchestrator",
        "kubernetes",
        "--kubeconfig",
        "/nonexistent/kubeconfig",
    ])
    .await;
    assert!(cluster.contains("KUBECONFIG"), "{cluster}");
    for backend in ["auto", "docker"] {
        let engine = "unix:///nonexistent/docker.sock";
        let arguments = [
            "--dev",
            "--database-url",
            "memory:",
            "--docker-host",
            engine,
        ];
        let silent = refusal(&[&arguments[..], &["--orchestrator", backend]].concat()).await;
        for word in [engine, "cargo xtask up", "DOCKER_HOST", "memory"] {
            assert!(silent.contains(word), "{word} in {silent}");
        }
    }
    let password = refusal(&[
        "--dev",
        "--database-url",
        "oracle://me:hunter2@db/x",
        "--orchestrator",
        "memory",
    ])
    .await;
    assert!(
        password.contains("DATABASE_URL") && !password.contains("hunter2"),
        "{password}"
    );
}

#[tokio::test]
async fn a_settings_file_that_is_none_is_not_repeated() {
    let folder = std::env::temp_dir().join(format!("neuropod-server-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(".env"), "JWT_SECRET hunter2\n").unwrap();
    let output = program(&[]).current_dir(&folder).output().await.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains(".env") && !said.contains("hunter2"), "{said}");
}
