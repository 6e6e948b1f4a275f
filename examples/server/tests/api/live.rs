//! What a pod does now, to who watches it.

use serde_json::{Value, json};

use crate::support::wire::Wire;
use crate::support::{ANA, BEN, Server};

async fn metrics(server: &Server, token: &str, path: &str) -> Value {
    let answer = server.get(path).bearer(token).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["data"].clone()
}

#[tokio::test]
async fn what_a_pod_uses_is_told_live_and_over_time_and_in_its_row() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    let pod = server.launch(&token).await;
    server.settle().await;
    let path = format!("/api/pods/{pod}/metrics");

    let mut events = server.get(&path).bearer(&token).events().await;
    let event = events.next().await.expect("a first point");
    assert_eq!(event.kind, "usage");
    let point: Value = serde_json::from_str(&event.data).unwrap();
    assert_eq!(
        (&point["cpuCores"], &point["cpuPercent"]),
        (&0.5.into(), &25.0.into())
    );
    assert_eq!(point["memoryBytes"], 32 << 20);
    assert_eq!(
        point["diskBytes"],
        Value::Null,
        "what can't be measured is null"
    );
    assert_eq!(point["diskSizeBytes"], 10_000_000_000_u64);

    let over_time = metrics(&server, &token, &path).await;
    assert_eq!(
        (&over_time["step"], &over_time["podId"]),
        (&1.into(), &pod.as_str().into())
    );
    assert_eq!(over_time["points"][0]["cpuCores"], 0.5);
    for path in ["/api/pods".to_owned(), format!("/api/pods/{pod}")] {
        let answer = server.get(&path).bearer(&token).send().await.json();
        let row = answer["data"].get(0).unwrap_or(&answer["data"]);
        assert_eq!(row["stats"]["cpuUsage"], 25, "{row}");
        assert_eq!(row["stats"]["cpuMilli"], 500);
        assert_eq!(row["stats"]["memoryBytes"], 32 << 20);
        assert_eq!(row["stats"]["diskBytes"], Value::Null);
        assert_eq!(row["stats"]["gpuUsage"], 0);
    }

    server
        .post(&format!("/api/pods/{pod}/stop"))
        .bearer(&token)
        .send()
        .await;
    server.settle().await;
    loop {
        let event = events.next().await.expect("it is told that it stopped");
        if event.data == "null" {
            break;
        }
    }
    let row = server
        .get(&format!("/api/pods/{pod}"))
        .bearer(&token)
        .send()
        .await
        .json();
    assert_eq!(row["data"]["stats"]["memoryBytes"], Value::Null);
}

#[tokio::test]
async fn a_socket_is_told_what_the_pods_use_that_it_has_subscribed_to_and_no_other() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    let pod = server.launch(&token).await;
    server.settle().await;
    let mut socket = Wire::open(server.address, &token).await;
    let mut beside = Wire::open(server.address, &token).await;
    socket.ask(1, "subscribe", json!({ "podId": pod })).await;
    let told = socket.next("podMetrics").await;
    assert_eq!(told["podId"], pod.as_str());
    assert_eq!(told["metrics"]["cpuCores"], 0.5);
    assert_eq!(told["metrics"]["diskBytes"], Value::Null);

    let stop = server.post(&format!("/api/pods/{pod}/stop"));
    assert_eq!(stop.bearer(&token).send().await.status, 200);
    server.settle().await;
    while socket.next("podMetrics").await["metrics"] != Value::Null {}
    let start = server.post(&format!("/api/pods/{pod}/start"));
    assert_eq!(start.bearer(&token).send().await.status, 200);
    server.settle().await;
    while socket.next("podMetrics").await["metrics"] == Value::Null {}

    beside.ask(1, "ping", Value::Null).await;
    loop {
        let (event, _) = beside.event().await.expect("it goes on");
        assert_ne!(event, "podMetrics");
        if event == "pong" {
            break;
        }
    }
}

#[tokio::test]
async fn a_session_that_ends_ends_what_it_reads_and_strangers_read_nothing() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    let pod = server.launch(&token).await;
    server.settle().await;
    let path = format!("/api/pods/{pod}/metrics");
    let stranger = server.token(BEN).await;
    server
        .get(&path)
        .header("accept", "text/event-stream")
        .bearer(&stranger)
        .send()
        .await
        .problem(404, "not_found");

    let mut events = server.get(&path).bearer(&token).events().await;
    events.next().await.expect("a first point");
    server.post("/api/auth/logout").bearer(&token).send().await;
    while events.next().await.is_some() {}
}

#[tokio::test]
async fn a_span_that_makes_no_sense_is_refused_by_name() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    let pod = server.launch(&token).await;
    for (query, named) in [
        ("from=yesterday", "from"),
        ("to=2026-13-01", "to"),
        ("step=0", "step"),
        ("step=1.5", "step"),
        ("from=2026-02-01&to=2026-01-01", "from"),
        ("from=2026-01-01&to=2026-02-01&step=60", "step"),
    ] {
        let path = format!("/api/pods/{pod}/metrics?{query}");
        let said = server
            .get(&path)
            .bearer(&token)
            .send()
            .await
            .problem(400, "validation");
        assert!(said.contains(&format!("\"{named}\"")), "{query}: {said}");
    }
}

#[tokio::test]
async fn a_log_is_followed_from_where_a_reader_was_and_had_as_a_file() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    let pod = server.launch(&token).await;
    server.settle().await;
    let path = format!("/api/pods/{pod}/logs");
    let mut events = server.get(&path).bearer(&token).events().await;
    let first = events.next().await.expect("a line");
    let line: Value = serde_json::from_str(&first.data).unwrap();
    assert_eq!(
        (&line["text"], &line["stderr"]),
        (&"hello".into(), &false.into())
    );
    let at = line["at"].as_str().unwrap();

    // The next run says the same, once.
    for verb in ["stop", "start"] {
        server
            .post(&format!("/api/pods/{pod}/{verb}"))
            .bearer(&token)
            .send()
            .await;
        server.settle().await;
    }
    let second = events.next().await.expect("a line of the next run");
    assert_eq!(
        (second.data.contains("hello"), second.id == first.id),
        (true, false)
    );
    let again = server
        .get(&format!("{path}?follow=true"))
        .bearer(&token)
        .header("last-event-id", &first.id);
    assert_eq!(again.events().await.next().await.as_ref(), Some(&second));

    let get = async |query: &str| {
        server
            .get(&format!("{path}?{query}"))
            .bearer(&token)
            .send()
            .await
    };
    let file = get("download=true&timestamps=true").await;
    assert_eq!(
        file.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(
        file.header("content-disposition")
            .unwrap()
            .contains(&format!("{pod}.log"))
    );
    // In a chunk, since nobody knew how long it would be.
    let mut lines = file.body.lines().filter_map(|line| line.split_once(' '));
    let (stamp, text) = lines.next().unwrap();
    assert_eq!((text, lines.next()), ("hello", None));
    assert!(stamp > at, "of the last run");
    let plain = get("timestamps=true").await.json();
    assert_eq!(plain["data"]["logs"], format!("{stamp} hello\n"));
    let later = get("since=2999-01-01").await.json();
    assert!(
        later["data"]["logs"]
            .as_str()
            .unwrap()
            .contains("not written anything")
    );
    assert_eq!(get("").await.json()["data"]["logs"], "hello\n");
    for (query, named) in [
        ("follow=yes", "follow"),
        ("since=x", "since"),
        ("tail=0", "tail"),
        ("download=1", "download"),
    ] {
        let said = get(query).await.problem(400, "validation");
        assert!(said.contains(&format!("\"{named}\"")), "{said}");
    }
    let foreign = server
        .get(&path)
        .bearer(&token)
        .header("accept", "text/event-stream");
    foreign
        .header("last-event-id", "nonsense")
        .send()
        .await
        .problem(400, "validation");
}
