//! What a pod on a real engine does now, to who watches it: what it uses, beside what the engine says, and its log, of which
//! no line is lost.

use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::query_parameters::StatsOptionsBuilder;
use futures::StreamExt;
use serde_json::{Value, json};

use crate::fuzz::number;
use crate::given::given;
use crate::http::{Event, Events, Request};
use crate::program::Program;
use crate::{a_pod, alone, folder, settings, sign_in};

const WITHIN: Duration = Duration::from_secs(120);
const MIB: f64 = 1_048_576.0;

/// Keeps half a core busy, which is all it may have, holds 30 MiB and has written 50 MiB.
const BUSY: &str = "dd if=/dev/zero of=/fifty bs=1M count=50; \
    dd if=/dev/zero bs=30M count=1 | sleep 1000000 & while :; do :; done";

/// Prints numbered lines of a hundred bytes, and goes on at each start where it was at the last stop.
const NUMBERS: &str = "trap 'stop=1' TERM; n=$(cat /workspace/n || echo 0); x=$(head -c 94 /dev/zero | tr '\\0' x); \
    while [ $n -lt $ALL ] && [ -z \"$stop\" ]; do \
    seq $((n + 1)) $((n + 500)) | sed \"s/$/ $x/\"; n=$((n + 500)); echo $n >/workspace/n; usleep 150000; done; \
    while [ -z \"$stop\" ]; do sleep 0.1; done";

pub(crate) struct User {
    pub(crate) program: Program,
    token: String,
}

impl User {
    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.program.address, method, path).bearer(&self.token)
    }

    pub(crate) async fn ask(&self, method: &str, path: &str) -> Value {
        let answer = self.request(method, path).send().await;
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        answer.json()["data"].clone()
    }

    async fn launch(&self, script: &str, env: Value) -> String {
        let mut body = a_pod("live");
        body["args"] = json!(["sh", "-c", script]);
        body["env"] = env;
        body["ports"] = "".into();
        let launched = self.request("POST", "/api/pods").json(&body).send().await;
        assert_eq!(launched.status, 201, "{launched:?}");
        let id = launched.json()["data"]["podId"].clone();
        id.as_str().unwrap().to_owned()
    }

    pub(crate) async fn delete(&self, pod: &str) {
        self.ask("DELETE", &format!("/api/pods/{pod}")).await;
    }

    pub(crate) async fn until(&self, pod: &str, phase: &str) {
        let began = Instant::now();
        while self.ask("GET", &format!("/api/pods/{pod}")).await["phase"] != phase {
            assert!(began.elapsed() < WITHIN, "{}", self.program.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(crate) async fn user(
    name: &str,
    docker: &str,
    ports: &str,
    more: &[(&'static str, &str)],
) -> User {
    let folder = folder(name);
    let database = format!("sqlite://{}/live.db", folder.display());
    let mut settings = settings(docker, &database, ports);
    settings.extend(
        more.iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    let program = Program::start(&folder, &settings).await;
    let token = sign_in(program.address, "ana@example.com").await;
    User { program, token }
}

/// Within 10 %.
fn about(told: &Value, expected: f64) -> bool {
    told.as_f64()
        .is_some_and(|told| (told - expected).abs() <= expected / 10.0)
}

#[tokio::test]
async fn what_a_pod_uses_is_told_within_a_tenth_and_a_stopped_one_uses_nothing() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let limit = [("POD_CPU_LIMIT", "500m"), ("POD_MEMORY_LIMIT", "128Mi")];
    let user = user("live-usage", &docker, "31000-31099", &limit).await;
    let pod = user.launch(BUSY, json!({})).await;
    let path = format!("/api/pods/{pod}/metrics");
    let mut events = user.request("GET", &path).events().await;
    let began = Instant::now();
    let point = loop {
        let Event { data, .. } = events.next().await.expect("it goes on");
        let point: Value = serde_json::from_str(&data).unwrap();
        // The engine's clock and ours are read at slightly different times.
        if about(&point["memoryBytes"], 30.0 * MIB)
            && about(&point["diskBytes"], 50.0 * MIB)
            && about(&point["cpuCores"], 0.5)
        {
            break point;
        }
        assert!(began.elapsed() < WITHIN, "{point}");
    };
    println!("{point}");
    assert_eq!(point["gpus"], json!([]));

    // Read beside each other, until the same second was looked at: what else this machine does changes all the time.
    let engine = Docker::connect_with_host(&docker).unwrap();
    let began = Instant::now();
    loop {
        let engines = cores(&engine, &format!("np-{pod}-1")).await;
        let told = user.ask("GET", &path).await;
        let last = told["points"].as_array().unwrap().last().unwrap().clone();
        println!("{} cores; the engine says {engines:.3}", last["cpuCores"]);
        if about(&last["cpuCores"], engines) {
            break;
        }
        assert!(began.elapsed() < WITHIN);
    }
    let row = user.ask("GET", &format!("/api/pods/{pod}")).await;
    let stat = |name: &str| row["stats"][name].as_u64().unwrap();
    // Over a single second a container may have had a little more than what it may have.
    let percent = ((stat("cpuMilli") + 2) / 5).min(100);
    assert_eq!(stat("cpuUsage"), percent, "{row}");
    assert!((20..=30).contains(&row["stats"]["memoryUsage"].as_u64().unwrap()));

    user.ask("POST", &format!("/api/pods/{pod}/stop")).await;
    while events.next().await.expect("it goes on").data != "null" {}
    let row = user.ask("GET", &format!("/api/pods/{pod}")).await;
    assert_eq!(row["stats"]["memoryBytes"], Value::Null);
    assert_eq!(row["stats"]["cpuUsage"], 0);
    user.delete(&pod).await;
    user.program.kill().await;
}

/// What a container keeps busy now, as the engine has measured it for a second.
async fn cores(engine: &Docker, name: &str) -> f64 {
    let options = StatsOptionsBuilder::new().stream(false).one_shot(false);
    let mut stats = engine.stats(name, Some(options.build()));
    let stats = stats.next().await.expect("an answer").expect("stats");
    let total = |stats: Option<bollard::models::ContainerCpuStats>| {
        let usage = stats.and_then(|stats| stats.cpu_usage);
        usage.and_then(|usage| usage.total_usage).expect("CPU time")
    };
    let time = |text: Option<String>| {
        let at: neuropod::Time = text.expect("a time").parse().unwrap();
        at.as_micros() as f64
    };
    let span = time(stats.read) - time(stats.preread);
    (total(stats.cpu_stats) - total(stats.precpu_stats)) as f64 / 1000.0 / span
}

/// Who reads a log, and checks each line.
struct Viewer {
    events: Events,
    last: Option<String>,
    /// The number of the last line.
    seen: u64,
}

impl Viewer {
    async fn new(user: &User, pod: &str) -> Self {
        Self {
            events: Self::open(user, pod, None).await,
            last: None,
            seen: 0,
        }
    }

    async fn open(user: &User, pod: &str, last: Option<&str>) -> Events {
        let path = format!("/api/pods/{pod}/logs?tail=5000");
        let mut request = user.request("GET", &path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        request.events().await
    }

    async fn reconnect(&mut self, user: &User, pod: &str) {
        self.events = Self::open(user, pod, self.last.as_deref()).await;
    }

    async fn read_to(&mut self, number: u64) {
        while self.seen < number {
            let next = tokio::time::timeout(WITHIN, self.events.next()).await;
            let event = next.expect("in time").expect("it goes on");
            assert_eq!(event.kind, "", "after {}: {event:?}", self.seen);
            let line: Value = serde_json::from_str(&event.data).unwrap();
            let text = line["text"].as_str().unwrap();
            if line["stderr"] == true {
                continue;
            }
            let number = text.split(' ').next().unwrap();
            assert_eq!(number.parse(), Ok(self.seen + 1));
            self.seen += 1;
            self.last = Some(event.id);
        }
    }
}

#[tokio::test]
async fn no_numbered_line_is_lost_or_doubled_over_rotation_stop_start_and_reconnects() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let all = number("NEUROPOD_LOG_LINES").unwrap_or(100_000) as u64;
    let user = user("live-log", &docker, "31100-31199", &[]).await;
    let pod = user
        .launch(NUMBERS, json!({ "ALL": all.to_string() }))
        .await;
    user.until(&pod, "RUNNING").await;
    let began = Instant::now();
    let mut viewer = Viewer::new(&user, &pod).await;
    viewer.read_to(all / 8).await;
    viewer.reconnect(&user, &pod).await;
    viewer.read_to(all / 4).await;
    viewer.reconnect(&user, &pod).await;
    let stop_and_start = async {
        user.ask("POST", &format!("/api/pods/{pod}/stop")).await;
        user.until(&pod, "STOPPED").await;
        user.ask("POST", &format!("/api/pods/{pod}/start")).await;
    };
    tokio::join!(viewer.read_to(all / 2), stop_and_start);
    viewer.reconnect(&user, &pod).await;
    viewer.read_to(all).await;
    let seconds = began.elapsed().as_secs_f64();
    println!("{all} lines in {seconds:.1} s");
    user.delete(&pod).await;
    user.program.kill().await;
}

#[tokio::test]
async fn a_pod_that_fails_at_once_shows_all_it_said_after_a_restart_too() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let user = user("live-failed", &docker, "31200-31299", &[]).await;
    let pod = user.launch("seq 1 10; exit 1", json!({})).await;
    user.until(&pod, "EXITED").await;
    let path = format!("/api/pods/{pod}/logs");
    let expected: String = (1..=10).map(|n| format!("{n}\n")).collect();
    assert_eq!(user.ask("GET", &path).await["logs"], expected);
    user.program.kill().await;
    let folder = folder("live-failed");
    let database = format!("sqlite://{}/live.db", folder.display());
    let program = Program::start(&folder, &settings(&docker, &database, "31200-31299")).await;
    let token = sign_in(program.address, "ana@example.com").await;
    let user = User { program, token };
    assert_eq!(user.ask("GET", &path).await["logs"], expected);
    user.delete(&pod).await;
    user.program.kill().await;
}
