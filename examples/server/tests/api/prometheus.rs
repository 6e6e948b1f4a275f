//! Figures for Prometheus: what they tell, and whom; and that Prometheus and the dashboard understand them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::wire::Wire;
use crate::support::{ANA, ROOT, Request, Server, a_pod, given};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

const TOKEN: &str = "what-prometheus-has";

async fn figures(server: &Server) -> String {
    let answer = server.get("/metrics").bearer(TOKEN).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let kind = answer.header("content-type").unwrap();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    answer.body
}

/// A server that has launched a pod, which somebody watches.
async fn scene(arguments: &[&str]) -> (Server, String, Wire) {
    let token = ["--metrics-token", TOKEN];
    let server = Server::with_gpu(&[&token[..], arguments].concat()).await;
    let ana = server.token(ANA).await;
    let mut pod = a_pod();
    pod["dockerImage"] = "busy".into();
    pod["gpu"] = "rtx-4050".into();
    let launch = server.post("/api/pods").bearer(&ana).json(&pod);
    let answer = launch.send().await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let pod = answer.json()["data"]["podId"].as_str().unwrap().to_owned();
    server.settle().await;
    let mut socket = Wire::open(server.address, &ana).await;
    let subscribe = serde_json::json!({ "podId": pod });
    socket.ask(1, "subscribe", subscribe).await;
    socket.next("podMetrics").await;
    server.sweep().await;
    (server, pod, socket)
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
}

#[tokio::test]
async fn figures_tell_of_pods_and_of_what_the_server_does() {
    let (server, pod, socket) = scene(&[]).await;
    let text = figures(&server).await;
    for line in [
        "neuropod_pods{phase=\"running\"} 1",
        "neuropod_pods{phase=\"error\"} 0",
        "neuropod_queue_length{gpu=\"\"} 0",
        "neuropod_orphans 0",
        "neuropod_devices{health=\"good\"} 1",
        "neuropod_ledger_payers 1",
        "neuropod_launch_duration_seconds_count 1",
        "neuropod_reconcile_lag_seconds_count 1",
        "neuropod_store_up 1",
        "neuropod_sockets 1",
        "neuropod_measured_pods 1",
        "neuropod_followed_logs 0",
        "neuropod_usage_memory_bytes 33554432",
        "neuropod_usage_cpu_cores 0.5",
        "neuropod_usage_gpu_ratio 0.4",
        "neuropod_usage_gpu_power_watts 90.5",
        "neuropod_http_requests_total{method=\"POST\",route=\"/api/pods\",status=\"201\"} 1",
    ] {
        has(&text, line);
    }
    assert!(
        !text.contains(&pod),
        "no pod is named unless that is wanted"
    );

    drop(socket);
    while !figures(&server).await.contains("neuropod_sockets 0") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn pods_and_owners_are_named_if_that_is_wanted() {
    let (server, pod, _socket) = scene(&["--metrics-pods"]).await;
    let text = figures(&server).await;
    let series = format!("neuropod_usage_cpu_cores{{pod=\"{pod}\",user=\"");
    let of_pod = text.lines().find(|line| line.starts_with(&series));
    assert!(of_pod.is_some_and(|line| line.ends_with(" 0.5")), "{text}");
}

#[tokio::test]
async fn the_token_reads_figures_and_nothing_else() {
    let server = Server::with(&["--dev", "--metrics-token", TOKEN]).await;
    figures(&server).await;
    let root = server.token(ROOT).await;
    let admin = server.get("/metrics").bearer(&root).send().await;
    assert_eq!(admin.status, 200);
    for wrong in ["", "what", &format!("{TOKEN}!")] {
        let answer = server.get("/metrics").bearer(wrong).send().await;
        answer.problem(401, "unauthenticated");
    }
    let elsewhere = server.get("/api/status").bearer(TOKEN).send().await;
    elsewhere.problem(401, "unauthenticated");

    let without = Server::with(&["--dev", "--metrics-token", ""]).await;
    for token in ["", TOKEN] {
        let answer = without.get("/metrics").bearer(token).send().await;
        answer.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_backend_that_does_not_answer_does_not_silence_the_figures() {
    let server = Server::with(&["--dev", "--metrics-token", TOKEN]).await;
    server.engine.unreachable(true);
    has(&figures(&server).await, "neuropod_store_up 1");
}

/// The names of series in an expression.
fn named(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("neuropod_"))
}

fn expressions(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let expression = fields.get("expr").and_then(Value::as_str);
            into.extend(expression.map(str::to_owned));
            fields.values().for_each(|value| expressions(value, into));
        }
        Value::Array(items) => items.iter().for_each(|value| expressions(value, into)),
        _ => {}
    }
}

#[tokio::test]
async fn every_series_of_the_dashboard_is_served() {
    let dashboard = include_str!("../../../../deploy/grafana/neuropod.json");
    let mut all = Vec::new();
    expressions(&serde_json::from_str(dashboard).unwrap(), &mut all);
    assert!(all.len() > 10, "{all:?}");
    let (server, _, _socket) = scene(&[]).await;
    let text = figures(&server).await;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let served: BTreeSet<&str> = lines
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    for expression in &all {
        assert!(named(expression).next().is_some(), "{expression}");
        for series in named(expression) {
            assert!(served.contains(series), "{series} of {expression}");
        }
    }
}

#[tokio::test]
async fn promtool_finds_nothing_wrong() {
    let Some(programs) = given("NEUROPOD_TEST_PROMETHEUS") else {
        return;
    };
    for arguments in [&[][..], &["--metrics-pods"]] {
        let (server, _, _socket) = scene(arguments).await;
        let text = figures(&server).await;
        let mut promtool = Command::new(Path::new(&programs).join("promtool"));
        let promtool = promtool.args(["check", "metrics"]);
        let piped = promtool.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(text.as_bytes()).await.unwrap();
        drop(input);
        let found = child.wait_with_output().await.unwrap();
        let said = [found.stdout, found.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(found.status.success() && said.is_empty(), "{said}\n{text}");
    }
}

/// A Prometheus that scrapes `server` once a second, on a port of its own.
async fn scraping(programs: &str, folder: &Path, server: &Server) -> (Child, Request) {
    std::fs::create_dir_all(folder).unwrap();
    let config = format!(
        "global: {{ scrape_interval: 1s }}\n\
         scrape_configs:\n\
         - job_name: neuropod\n  \
           authorization: {{ credentials: {TOKEN} }}\n  \
           static_configs: [{{ targets: [\"{}\"] }}]\n",
        server.address
    );
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let child = Command::new(Path::new(programs).join("prometheus"))
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("data").display()
        ))
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let query = "/api/v1/query?query=neuropod_pods%7Bphase%3D%22running%22%7D";
    (child, Request::new(address, "GET", query))
}

#[tokio::test]
async fn a_real_prometheus_has_the_series() {
    let Some(programs) = given("NEUROPOD_TEST_PROMETHEUS") else {
        return;
    };
    let (server, _, _socket) = scene(&[]).await;
    let name = format!("neuropod-prometheus-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let (mut prometheus, query) = scraping(&programs, &folder, &server).await;
    let until = Instant::now() + Duration::from_secs(60);
    let value = loop {
        // It answers once it is there, and has the series once it has scraped.
        let answer = query.clone().try_send().await.ok();
        let answer = answer
            .filter(|answer| answer.status == 200)
            .map(|answer| answer.json());
        let found = answer.and_then(|answer| answer.pointer("/data/result/0/value/1").cloned());
        if let Some(value) = found {
            break value;
        }
        assert!(Instant::now() < until, "Prometheus has no such series");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    prometheus.kill().await.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(value, "1");
}
