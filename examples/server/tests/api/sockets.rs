//! Socket.IO: who is told what, in order, exactly once; and what becomes of those who misbehave.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use neuropod::event::{EventKind, NewEvent};
use neuropod::memory::MemoryStore;
use neuropod::store::Changes;
use neuropod::{Clock, Platform};
use neuropod_server::{Config, router};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::support::proxy::Proxy;
use crate::support::wire::Wire;
use crate::support::{ANA, BEN, Program, ROOT, Request, SECRET, Server, given, listen};

/// Runs a script of the official client against `server`.
async fn official(server: &Server, transports: &str) {
    let Some(folder) = given("NEUROPOD_TEST_SOCKET_IO") else {
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/original/sockets.mjs");
    let node = Command::new("node")
        .args([script, &format!("http://{}", server.address), transports])
        .env("NODE_PATH", format!("{folder}/node_modules"))
        .stdin(Stdio::null())
        .output();
    let output = node.await.expect("node can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// Runs the official client over a connection that is cut for so long, and a server that is started anew.
async fn reconnects(transport: &str, cut_for: Duration) {
    let Some(packages) = given("NEUROPOD_TEST_SOCKET_IO") else {
        return;
    };
    let name = format!("neuropod-reconnects-{transport}-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let settings = [
        ("NEUROPOD_ORCHESTRATOR", "memory"),
        ("DATABASE_URL", "sqlite://kept.db"),
        ("JWT_SECRET", SECRET),
    ];
    let mut program = Program::start(&folder, &settings).await;
    let proxy = Proxy::before(program.address).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/original/reconnects.mjs");
    let mut node = Command::new("node")
        .args([script, &format!("http://{}", proxy.address), transport])
        .env("NODE_PATH", format!("{packages}/node_modules"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut go_on = node.stdin.take().unwrap();
    let mut says = BufReader::new(node.stdout.take().unwrap()).lines();
    while let Some(said) = says.next_line().await.unwrap() {
        let words: Vec<&str> = said.split(' ').collect();
        match words[..] {
            ["cut", pod, token] => {
                proxy.cut();
                let path = format!("/api/pods/{pod}/stop");
                let stop = Request::new(program.address, "POST", &path).bearer(token);
                assert_eq!(stop.send().await.status, 200);
                tokio::time::sleep(cut_for).await;
                proxy.lead_to(program.address);
            }
            ["restart"] => {
                program.end().await;
                program = Program::start(&folder, &settings).await;
                proxy.lead_to(program.address);
            }
            _ => {}
        }
        let _ = go_on.write_all(b"on\n").await;
    }
    let output = node.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    program.kill().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn the_official_client_knows_the_state_after_a_cut_a_restart_and_a_new_token() {
    reconnects("websocket", Duration::from_secs(15)).await;
}

#[tokio::test]
async fn so_it_does_over_polling() {
    reconnects("polling", Duration::from_secs(3)).await;
}

async fn with_loops() -> Server {
    let server = Server::start().await;
    let loops = server.platform.clone();
    tokio::spawn(async move { loops.run(std::future::pending()).await });
    server
}

#[tokio::test]
async fn the_official_client_over_websocket_is_told_each_thing_once() {
    official(&with_loops().await, "websocket").await;
}

#[tokio::test]
async fn the_official_client_over_polling_is_told_each_thing_once() {
    official(&with_loops().await, "polling").await;
}

#[tokio::test]
async fn the_official_client_that_upgrades_is_told_each_thing_once() {
    official(&with_loops().await, "polling,websocket").await;
}

async fn write(server: &Server, events: impl IntoIterator<Item = NewEvent>) {
    let changes = Changes {
        events: events.into_iter().collect(),
        ..Changes::default()
    };
    server.platform.store().commit(&changes).await.unwrap();
}

#[tokio::test]
async fn each_event_reaches_those_who_may_see_it_and_nobody_else() {
    let server = Server::start().await;
    let (ana, root) = (server.token(ANA).await, server.token(ROOT).await);
    let pod = server.launch(&ana).await;
    let id = server.user(&ana).await.id;
    let mut sockets = Vec::new();
    for token in [&ana, &server.token(BEN).await, &root] {
        sockets.push(Wire::open(server.address, token).await);
    }
    let event = |kind, owner, body| NewEvent {
        kind,
        at: server.platform.clock().now(),
        pod: Some(pod.parse().unwrap()),
        owner,
        body,
    };
    let mine = |kind, body| event(kind, Some(id), body);
    // What is written, how it is told, and to whom: the owner, another user, an administrator.
    let told: [(NewEvent, &str, [bool; 3]); 9] = [
        (
            mine(EventKind::PodCreated, Value::Null),
            "podCreated",
            [true, false, false],
        ),
        (
            mine(EventKind::PodUpdate, Value::Null),
            "podUpdate",
            [true, false, true],
        ),
        (
            mine(
                EventKind::LowBalance,
                json!({ "currentBalance": "4.5", "threshold": "5", "message": "low" }),
            ),
            "lowBalanceAlert",
            [true, false, false],
        ),
        (
            mine(EventKind::BalanceUpdate, json!({ "newBalance": "7" })),
            "balanceUpdate",
            [true, false, false],
        ),
        (
            mine(EventKind::BudgetReached, json!({ "limit": "day" })),
            "budgetReached",
            [true, false, false],
        ),
        (
            event(
                EventKind::AdminNotice,
                None,
                json!({ "kind": "orphan", "message": "?" }),
            ),
            "adminNotification",
            [false, false, true],
        ),
        (
            mine(EventKind::PodDeleted, Value::Null),
            "podDeleted",
            [true, false, false],
        ),
        (mine(EventKind::PodGone, Value::Null), "", [false; 3]),
        (
            event(EventKind::Broadcast, None, json!({ "message": "hello" })),
            "broadcast",
            [true; 3],
        ),
    ];
    for (event, ..) in &told {
        // Each alone: of several about one pod the last is told.
        write(&server, [event.clone()]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for (n, socket) in sockets.iter_mut().enumerate() {
        let wanted = told.iter().filter(|(_, _, who)| who[n]);
        let wanted: Vec<&str> = wanted.map(|(_, name, _)| *name).collect();
        let mut heard = Vec::new();
        while heard.last() != Some(&"broadcast".to_owned()) {
            let (name, data) = socket.event().await.unwrap();
            assert!(data["timestamp"].is_string(), "{name}: {data}");
            match name.as_str() {
                "lowBalanceAlert" => {
                    assert_eq!(
                        (&data["currentBalance"], &data["threshold"]),
                        (&json!(4.5), &json!(5.0))
                    );
                }
                "balanceUpdate" => assert_eq!(data["newBalance"], json!(7.0)),
                "adminNotification" => assert_eq!(data["type"], "orphan"),
                "connected" => continue,
                _ => {}
            }
            heard.push(name);
        }
        assert_eq!(heard, wanted, "{n}");
    }
}

#[tokio::test]
async fn what_one_asks_is_answered_in_order_and_who_asks_without_end_is_cut() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    let mut socket = Wire::open(server.address, &token).await;
    for n in 0..100 {
        let (event, data) = match n % 3 {
            0 => ("subscribe", json!({ "podId": "0000000000000000" })),
            1 => ("ping", Value::Null),
            _ => ("unheard of", json!([{}])),
        };
        socket.ask(n, event, data).await;
    }
    let mut acks = Vec::new();
    while acks.len() < 100 {
        let packet = socket.packet().await.unwrap();
        if let Some(ack) = packet.strip_prefix("43") {
            acks.push(ack.to_owned());
        }
    }
    let wanted: Vec<String> = (0..100).map(|n| format!("{n}[null]")).collect();
    assert_eq!(acks, wanted);

    // All of them are acknowledged, or the socket is over: never some of them.
    let pings: String = "420[\"subscribe\",{\"podId\":\"0\"}]".to_owned();
    for _ in 0..20_000 {
        socket.send(&pings).await;
    }
    let mut acks = 0;
    while let Some(packet) = socket.packet().await
        && packet != "41"
    {
        acks += u32::from(packet.starts_with("43"));
        if acks == 20_000 {
            break;
        }
    }
    println!("{acks} of 20,000 were acknowledged before it was cut");
    assert_eq!(
        server
            .get("/api/auth/verify")
            .bearer(&token)
            .send()
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_session_that_ends_elsewhere_ends_its_sockets_here_within_a_second() {
    let here = Server::start().await;
    let there = here
        .beside(&["--dev", "--admin-emails", "chief@example.com"])
        .await;
    let chief = there.token("chief@example.com").await;
    let (ana, second) = (here.token(ANA).await, here.token(ANA).await);
    let ben = here.token(BEN).await;
    let root = here.token(ROOT).await;
    let mut sockets = Vec::new();
    for token in [&ana, &second, &ben, &root] {
        sockets.push(Wire::open(here.address, token).await);
    }
    let [a, b, c, d] = &mut sockets[..] else {
        panic!("four")
    };
    let within = async |socket: &mut Wire, what: &str| {
        let closed = tokio::time::timeout(Duration::from_secs(1), socket.closed());
        closed.await.unwrap_or_else(|_| panic!("{what}"));
    };
    there.post("/api/auth/logout").bearer(&ana).send().await;
    within(a, "signed out").await;
    let suspended = json!({ "userId": here.user(&second).await.id });
    let suspend = there.post("/api/auth/users/suspend").bearer(&chief);
    assert_eq!(suspend.json(&suspended).send().await.status, 200);
    within(b, "suspended").await;
    let path = format!("/api/auth/users/{}", here.user(&ben).await.id);
    there.request("DELETE", &path).bearer(&chief).send().await;
    within(c, "deleted").await;
    // There he is no administrator.
    there.token(ROOT).await;
    within(d, "demoted").await;

    let refused = Wire::knock(here.address, "", &json!({ "token": second })).await;
    assert!(refused.unwrap_err().contains("suspended"));
    let gone = Wire::knock(here.address, "", &json!({ "token": ben })).await;
    assert!(gone.unwrap_err().contains("ended"));
}

#[tokio::test]
async fn a_socket_ends_with_its_token() {
    let server = Server::with(&["--dev", "--jwt-expire", "2s"]).await;
    let began = Instant::now();
    let token = server.token(ANA).await;
    let mut socket = Wire::open(server.address, &token).await;
    socket.closed().await;
    assert!(began.elapsed() >= Duration::from_secs(1), "not at once");
    let answer = server.get("/api/auth/verify").bearer(&token).send().await;
    answer.problem(401, "unauthenticated");
}

#[tokio::test]
async fn connections_are_noted() {
    let server = Server::start().await;
    let (ana, root) = (server.token(ANA).await, server.token(ROOT).await);
    let mut socket = Wire::open(server.address, &ana).await;
    socket.next("connected").await;
    socket.send("41").await;
    let noted = async || {
        let path = "/api/admin/activity";
        let answer = server.get(path).bearer(&root).send().await.json();
        let rows = answer["data"].as_array().unwrap().clone();
        let did = rows
            .iter()
            .map(|row| row["action"].as_str().unwrap().to_owned());
        did.collect::<BTreeSet<_>>()
    };
    let began = Instant::now();
    while !noted().await.contains("SOCKET_DISCONNECT") {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(noted().await.contains("SOCKET_CONNECT"));
}

#[tokio::test]
async fn pages_of_other_origins_open_no_socket() {
    let server = Server::start().await;
    let upgrade = |origin: &str| {
        server
            .get("/socket.io/?EIO=4&transport=websocket")
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("origin", origin)
    };
    let refused = upgrade("http://evil.example").send().await;
    refused.problem(403, "forbidden");
    let poll = server.get("/socket.io/?EIO=4&transport=polling");
    let answer = poll
        .clone()
        .header("origin", "http://localhost:5173")
        .send()
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("http://localhost:5173")
    );
    let answer = poll.header("origin", "http://evil.example").send().await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn it_works_under_a_prefix_too() {
    let platform = Platform::builder()
        .store(Arc::new(MemoryStore::new()))
        .build()
        .await
        .unwrap();
    let routes = router(platform, &Config::default());
    let program = listen(Router::new().nest("/gpu", routes)).await;
    let mut socket = Wire::knock(program, "/gpu", &json!({ "token": "x" }))
        .await
        .unwrap();
    let hello = socket.next("connected").await;
    assert_eq!(hello["role"], "admin", "there are no users");
}
