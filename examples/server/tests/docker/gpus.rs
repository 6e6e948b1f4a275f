//! GPUs that an engine is said to have: one pod at a time has each, whoever waits is told where and why, and the next in
//! the queue starts when one is free.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use neuropod::Store;
use neuropod::sql::SqlStore;
use serde_json::{Value, json};

use crate::engine::{Engine, There};
use crate::given::given;
use crate::http::Request;
use crate::program::Program;
use crate::{a_pod, alone, folder, settings, sign_in};

/// The catalogue's name of what [`listed`] lists, once the server has seen that it lacks it.
pub(crate) const GPU: &str = "test-gpu";

const PODS: usize = 20;
const WITHIN: Duration = Duration::from_secs(60);

/// So many GPUs of this test program alone, for the server, at a price that everybody can pay.
pub(crate) fn listed(gpus: usize) -> [(&'static str, String); 2] {
    let pid = std::process::id();
    let gpus = (1..=gpus).map(|n| format!("GPU-{pid}-{n}:Test GPU:1024"));
    [
        ("NEUROPOD_GPUS", gpus.collect::<Vec<_>>().join(",")),
        ("NEUROPOD_DEFAULT_GPU_PRICE", "0.10".to_owned()),
    ]
}

#[tokio::test]
async fn one_gpu_serves_one_of_twenty_pods_and_the_rest_wait_in_order() {
    let (Some(docker), Some(_)) = (
        given("NEUROPOD_TEST_DOCKER"),
        given("NEUROPOD_TEST_GPU_RECORDS"),
    ) else {
        return;
    };
    let _alone = alone().await;
    let folder = folder("gpus");
    let database = format!("sqlite://{}/gpus.db", folder.display());
    let store = SqlStore::open(&database).await.unwrap();
    let engine = Engine::watch(&docker, &store.installation().await.unwrap()).await;
    drop(store);
    let mut settings = settings(&docker, &database, "30000-30999");
    settings.extend(listed(1));
    let program = Program::start(&folder, &settings).await;
    let token = sign_in(program.address, "ana@example.com").await;
    let user = User { program, token };

    for n in 0..PODS {
        let mut pod = a_pod(&format!("wants-a-gpu-{n}"));
        pod["gpu"] = json!(GPU);
        let request = user.request("POST", "/api/pods").json(&pod);
        assert_eq!(request.send().await.status, 201);
    }
    let mut waiting = user.until_one_runs(PODS).await;
    for still in (PODS - 2..PODS).rev() {
        let next = waiting[&1].clone();
        let rows = user.rows().await;
        let running = rows.iter().find(|row| row["phase"] == "RUNNING").unwrap();
        let stop = format!("/api/pods/{}/stop", running["podId"].as_str().unwrap());
        assert_eq!(user.request("POST", &stop).send().await.status, 200);
        let before = waiting;
        waiting = user.until_one_runs(still).await;
        let row = user.rows().await;
        let row = row.iter().find(|row| row["podId"] == next).unwrap();
        assert_eq!(row["phase"], "RUNNING", "the first in the queue is next");
        let moved_up: BTreeMap<_, _> = (2u64..).zip(waiting.values().cloned()).collect();
        assert!(moved_up.iter().all(|(place, pod)| before[place] == *pod));
    }
    assert_eq!(engine.doubles(), Vec::<String>::new());
    assert_eq!(engine.gpus_given(), 3, "each that ran had the GPU");

    for row in user.rows().await {
        let path = format!("/api/pods/{}", row["podId"].as_str().unwrap());
        assert_eq!(user.request("DELETE", &path).send().await.status, 200);
    }
    let deadline = Instant::now() + WITHIN;
    while engine.there().await != There::default() {
        assert!(Instant::now() < deadline, "{}", user.program.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    user.program.kill().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Somebody who is signed in.
struct User {
    program: Program,
    token: String,
}

impl User {
    fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.program.address, method, path).bearer(&self.token)
    }

    async fn rows(&self) -> Vec<Value> {
        let answer = self.request("GET", "/api/pods").send().await;
        answer.json()["data"].as_array().unwrap().clone()
    }

    /// Waits until one pod runs and the others that should, of `wished` in all, wait: answers who has which place.
    async fn until_one_runs(&self, wished: usize) -> BTreeMap<u64, String> {
        let deadline = Instant::now() + WITHIN;
        loop {
            let rows = self.rows().await;
            let phase = |phase: &str| rows.iter().filter(|row| row["phase"] == phase).count();
            if (phase("RUNNING"), phase("QUEUED")) == (1, wished - 1) {
                return places(&rows);
            }
            let said = self.program.said();
            assert!(Instant::now() < deadline, "{rows:#?}\n{said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Who waits at which place, each with a reason and a place of its own, from 1.
fn places(rows: &[Value]) -> BTreeMap<u64, String> {
    let waiting = || rows.iter().filter(|row| row["phase"] == "QUEUED");
    let mut places = BTreeMap::new();
    for row in waiting() {
        assert_eq!(row["status"], "creating", "{row}");
        assert_eq!(row["statusReason"], "NO_CAPACITY", "{row}");
        let place = row["queuePosition"].as_u64().expect("a place");
        places.insert(place, row["podId"].as_str().unwrap().to_owned());
    }
    assert!(places.keys().copied().eq(1..=waiting().count() as u64));
    places
}
