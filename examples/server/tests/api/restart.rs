//! What was acknowledged survives `kill -9`.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{ANA, Program, Request, SECRET, a_pod};

/// Over a file of SQLite in `folder`.
async fn start(folder: &Path) -> Program {
    let settings = [
        ("NEUROPOD_ORCHESTRATOR", "memory"),
        ("DATABASE_URL", "sqlite://kept.db"),
        ("NEUROPOD_BILLING", "unmetered"),
        ("JWT_SECRET", SECRET),
    ];
    Program::start(folder, &settings).await
}

async fn send(program: &Program, method: &str, path: &str, token: &str, body: Value) -> Value {
    let request = Request::new(program.address, method, path).bearer(token);
    let answer = if body.is_null() {
        request.send().await
    } else {
        request.json(&body).send().await
    };
    assert!(answer.status < 300, "{method} {path}: {answer:?}");
    answer.json()
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    let folder = std::env::temp_dir().join(format!("neuropod-restart-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut program = start(&folder).await;
    let login = Request::new(program.address, "POST", "/api/auth/mock-login")
        .json(&json!({ "email": ANA }))
        .send()
        .await;
    let token = login.json()["token"].as_str().unwrap().to_owned();

    let mut kept: Vec<(String, &str)> = Vec::new();
    for round in 0..4 {
        let mut launched = Vec::new();
        for _ in 0..3 {
            let answer = send(&program, "POST", "/api/pods", &token, a_pod()).await;
            launched.push(answer["data"]["podId"].as_str().unwrap().to_owned());
        }
        let [running, stopped, deleted] = launched.try_into().unwrap();
        let stop = format!("/api/pods/{stopped}/stop");
        send(&program, "POST", &stop, &token, Value::Null).await;
        let delete = format!("/api/pods/{deleted}");
        send(&program, "DELETE", &delete, &token, Value::Null).await;
        kept.extend([(running, "Running"), (stopped, "Stopped")]);

        program.kill().await;
        program = start(&folder).await;
        let list = send(&program, "GET", "/api/pods", &token, Value::Null).await;
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
