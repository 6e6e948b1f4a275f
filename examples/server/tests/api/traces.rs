//! Traces reach whoever the standard variables name, with the caller's trace, and tell nothing of ids, queries and tokens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use serde_json::json;
use tokio::sync::Notify;

use crate::support::{ANA, Program, Request, SECRET, a_pod, listen};

/// What was received, as it came: texts are as they are in it.
type Received = Arc<(Mutex<Vec<u8>>, Notify)>;

async fn receive(State(received): State<Received>, body: Bytes) {
    received.0.lock().unwrap().extend_from_slice(&body);
    received.1.notify_one();
}

fn has(received: &Received, what: &[u8]) -> bool {
    let received = received.0.lock().unwrap();
    received.windows(what.len()).any(|part| part == what)
}

#[tokio::test]
async fn spans_are_sent_where_the_standard_variables_say() {
    let received = Received::default();
    let collector = Router::new().route("/v1/traces", post(receive));
    let collector = listen(collector.with_state(received.clone())).await;
    let folder = std::env::temp_dir().join(format!("neuropod-traces-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let settings = [
        ("NEUROPOD_ORCHESTRATOR", "memory".to_owned()),
        ("DATABASE_URL", "memory:".to_owned()),
        ("JWT_SECRET", SECRET.to_owned()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}")),
        ("OTEL_SERVICE_NAME", "the-shop".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()),
    ];
    let server = Program::start(&folder, &settings).await;
    let ask = |method, path: &str| Request::new(server.address, method, path);
    let login = ask("POST", "/api/auth/mock-login").json(&json!({ "email": ANA }));
    let session = login.send().await.json();
    let token = session["token"].as_str().unwrap();
    let launch = ask("POST", "/api/pods").bearer(token).json(&a_pod());
    let pod = launch.send().await.json()["data"]["podId"].clone();
    let path = format!("/api/pods/{}?secret=s3cr3t", pod.as_str().unwrap());
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let look = ask("GET", &path)
        .bearer(token)
        .header("traceparent", &parent);
    assert_eq!(look.send().await.status, 200);

    let trace: Vec<u8> = (0..16)
        .map(|n| u8::from_str_radix(&trace[2 * n..2 * n + 2], 16).unwrap())
        .collect();
    let expected: [&[u8]; 5] = [
        b"the-shop",
        b"GET /api/pods/{podId}",
        b"pass",
        b"commit",
        &trace,
    ];
    let all = async {
        while !expected.iter().all(|what| has(&received, what)) {
            received.1.notified().await;
        }
    };
    let came = tokio::time::timeout(Duration::from_secs(60), all).await;
    assert!(came.is_ok(), "{}", server.said());
    for secret in ["s3cr3t", token, ANA] {
        assert!(!has(&received, secret.as_bytes()), "{secret}");
    }
    server.end().await;
    std::fs::remove_dir_all(&folder).unwrap();
}
