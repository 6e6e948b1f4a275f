//! What is asked while a slow pull goes on: none of its pod's containers ever runs afterwards, and the GPU that the pod
//! had is free within a second of the answer.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::query_parameters::RemoveImageOptions;
use neuropod::Store;
use neuropod::id::PodId;
use neuropod::pod::{Phase, Pod};
use neuropod::sql::SqlStore;
use serde_json::{Value, json};

use crate::engine::{Engine, There};
use crate::given::given;
use crate::gpus;
use crate::http::Request;
use crate::program::Program;
use crate::registry::Registry;
use crate::{a_pod, alone, folder, settings, sign_in};

const WITHIN: Duration = Duration::from_secs(60);
const FREE_WITHIN: Duration = Duration::from_secs(1);
const SETTLED_WITHIN: Duration = Duration::from_secs(10);
/// The pull takes two seconds: by then it has ended, if nobody has ended it before.
const PULLED: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A pod whose image is being pulled, and which has the only GPU.
struct Pulling {
    folder: PathBuf,
    settings: Vec<(&'static str, String)>,
    program: Program,
    token: String,
    store: SqlStore,
    engine: Engine,
    docker: Docker,
    registry: Registry,
    pod: PodId,
}

impl Pulling {
    async fn begin(name: &str, host: &str, ports: &str) -> Self {
        let docker = Docker::connect_with_host(host).unwrap();
        let folder = folder(name);
        let database = format!("sqlite://{}/pulls.db", folder.display());
        let store = SqlStore::open(&database).await.unwrap();
        let engine = Engine::watch(host, &store.installation().await.unwrap()).await;
        let registry = Registry::start(&docker).await;
        let mut settings = settings(host, &database, ports);
        settings.extend(gpus::listed(1));
        let program = Program::start(&folder, &settings).await;
        let token = sign_in(program.address, "ana@example.com").await;
        let mut body = a_pod(name);
        body["dockerImage"] = json!(registry.image("pulled"));
        let pod = launch(&program, &token, body).await;
        let pulling = Self {
            folder,
            settings,
            program,
            token,
            store,
            engine,
            docker,
            registry,
            pod,
        };
        let some = |row: &Pod| row.run.as_ref().is_some_and(|run| run.pulled > 0);
        pulling.until(pod, WITHIN, some).await;
        assert_eq!(pulling.row(pod).await.devices.len(), 1);
        pulling
    }

    /// Asks the server, or another one.
    async fn ask(&self, of: &Program, method: &str, what: &str) {
        self.ask_about(self.pod, of, method, what).await;
    }

    async fn ask_about(&self, pod: PodId, of: &Program, method: &str, what: &str) {
        let path = format!("/api/pods/{pod}{what}");
        let request = Request::new(of.address, method, &path).bearer(&self.token);
        let answer = request.send().await;
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
    }

    async fn row(&self, pod: PodId) -> Pod {
        self.store.pod(pod).await.unwrap().unwrap()
    }

    async fn until(&self, pod: PodId, limit: Duration, holds: impl Fn(&Pod) -> bool) {
        let since = Instant::now();
        loop {
            let row = self.row(pod).await;
            if holds(&row) {
                println!("{:?} after {:?}", row.phase(), since.elapsed());
                return;
            }
            let said = self.program.said();
            assert!(since.elapsed() < limit, "{row:?}\n{said}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Nothing of it holds anything.
    async fn until_free(&self, limit: Duration) {
        let free = |row: &Pod| row.run.is_none() && row.devices.is_empty();
        self.until(self.pod, limit, free).await;
    }

    async fn kill_and_start(mut self) -> Self {
        self.program.kill().await;
        self.program = Program::start(&self.folder, &self.settings).await;
        self
    }

    /// Nothing runs, then or later.
    async fn end(self) {
        tokio::time::sleep(PULLED).await;
        let ran = self.engine.has_run(&self.pod.to_string());
        assert!(!ran, "it has run\n{}", self.program.said());
        assert_eq!(self.engine.there().await, There::default());
        // It is there where the pull was another server's, which did not know of the stop.
        let image = self.registry.image("pulled");
        let none = None::<RemoveImageOptions>;
        let _ = self.docker.remove_image(&image, none, None).await;
        self.program.kill().await;
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// Of one that wants a GPU.
async fn launch(at: &Program, token: &str, mut body: Value) -> PodId {
    body["gpu"] = json!(gpus::GPU);
    let launch = Request::new(at.address, "POST", "/api/pods").bearer(token);
    let launched = launch.json(&body).send().await;
    assert_eq!(launched.status, 201, "{launched:?}");
    let launched = launched.json();
    launched["data"]["podId"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_stop_amid_a_pull() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let pulling = Pulling::begin("pull-stop", &docker, "27000-27099").await;
    pulling.ask(&pulling.program, "POST", "/stop").await;
    pulling.until_free(FREE_WITHIN).await;
    pulling.end().await;
}

#[tokio::test]
async fn a_stop_amid_a_pull_gives_the_gpu_to_the_next_in_the_queue() {
    let (Some(docker), Some(_)) = (
        given("NEUROPOD_TEST_DOCKER"),
        given("NEUROPOD_TEST_GPU_RECORDS"),
    ) else {
        return;
    };
    let _alone = alone().await;
    let pulling = Pulling::begin("pull-next", &docker, "27500-27599").await;
    let next = launch(&pulling.program, &pulling.token, a_pod("next")).await;
    let waits = |row: &Pod| row.phase() == Phase::Queued;
    pulling.until(next, WITHIN, waits).await;
    pulling.ask(&pulling.program, "POST", "/stop").await;
    let has_it = |row: &Pod| row.devices.len() == 1 && row.run.is_some();
    pulling.until(next, FREE_WITHIN, has_it).await;
    let runs = |row: &Pod| row.phase() == Phase::Running;
    pulling.until(next, WITHIN, runs).await;
    let delete = pulling.ask_about(next, &pulling.program, "DELETE", "");
    delete.await;
    let is_gone = |row: &Pod| row.is_tombstone();
    pulling.until(next, WITHIN, is_gone).await;
    pulling.end().await;
}

#[tokio::test]
async fn a_delete_amid_a_pull() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let pulling = Pulling::begin("pull-delete", &docker, "27100-27199").await;
    pulling.ask(&pulling.program, "DELETE", "").await;
    pulling.until_free(FREE_WITHIN).await;
    let is_gone = |row: &Pod| row.is_tombstone();
    pulling.until(pulling.pod, WITHIN, is_gone).await;
    pulling.end().await;
}

#[tokio::test]
async fn a_stop_amid_a_pull_and_then_a_kill() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let pulling = Pulling::begin("pull-kill", &docker, "27200-27299").await;
    pulling.ask(&pulling.program, "POST", "/stop").await;
    let pulling = pulling.kill_and_start().await;
    pulling.until_free(SETTLED_WITHIN).await;
    pulling.end().await;
}

/// The pull of a killed server is another one's to go on with, and to end.
#[tokio::test]
async fn a_kill_amid_a_pull_and_then_a_stop() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let pulling = Pulling::begin("kill-pull", &docker, "27300-27399").await;
    let pulling = pulling.kill_and_start().await;
    pulling.ask(&pulling.program, "POST", "/stop").await;
    pulling.until_free(FREE_WITHIN).await;
    pulling.end().await;
}

#[tokio::test]
async fn a_stop_at_another_replica_amid_a_pull() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let pulling = Pulling::begin("pull-replica", &docker, "27400-27499").await;
    let other = Program::start(&pulling.folder, &pulling.settings).await;
    pulling.ask(&other, "POST", "/stop").await;
    pulling.until_free(FREE_WITHIN).await;
    pulling.end().await;
    other.kill().await;
}
