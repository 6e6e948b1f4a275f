//! What others do on the engine, past the server: they remove a pod's container by hand, and they have what a pod is
//! about to take, its port or its container's name.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, PortBinding};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, RemoveContainerOptions,
    RemoveContainerOptionsBuilder,
};
use neuropod::Store;
use neuropod::id::PodId;
use neuropod::sql::SqlStore;
use neuropod::store::EventQuery;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::engine::{Engine, There};
use crate::given::given;
use crate::gpus;
use crate::http::Request;
use crate::program::Program;
use crate::{IMAGE, a_pod, alone, folder, settings, sign_in, unique};

const WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_container_that_is_removed_by_hand_leaves_its_gpu_to_the_next_in_the_queue() {
    let (Some(host), Some(_)) = (
        given("NEUROPOD_TEST_DOCKER"),
        given("NEUROPOD_TEST_GPU_RECORDS"),
    ) else {
        return;
    };
    let _alone = alone().await;
    let scene = Scene::new("removed", &host, "28000-28099", &gpus::listed(1)).await;
    let first = scene.launch(gpus::GPU).await;
    scene.until(&first, "RUNNING").await;
    let url = scene.page(&first).await;
    let next = scene.launch(gpus::GPU).await;
    scene.until(&next, "QUEUED").await;

    scene.remove(&scene.container(&first).await).await;
    scene.until(&next, "RUNNING").await;
    let there = scene.engine.there().await;
    assert!(
        there.alive.len() == 1 && there.ended.is_empty(),
        "{there:?}"
    );
    let row = scene.ask("GET", &format!("/{first}"), Value::Null).await;
    // The engine kills it before it removes it: which of the two was seen?
    let ended = (&row["phase"], &row["statusReason"], &row["exitCode"]);
    let killed = (&json!("EXITED"), &json!("EXITED"), &json!(137));
    let lost = (&json!("ERROR"), &json!("LOST"), &Value::Null);
    assert!([killed, lost].contains(&ended), "{row}");

    scene.ask("DELETE", &format!("/{next}"), Value::Null).await;
    scene.start(&first).await;
    scene.until(&first, "RUNNING").await;
    assert_eq!(scene.page(&first).await, url, "it keeps its address");
    assert_eq!(scene.engine.doubles(), Vec::<String>::new());
    scene.end(&first).await;
}

#[tokio::test]
async fn a_container_that_was_removed_while_nobody_looked_is_lost() {
    let Some(host) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let mut scene = Scene::new("lost", &host, "28300-28399", &[]).await;
    let pod = scene.launch("cpu").await;
    scene.until(&pod, "RUNNING").await;
    let container = scene.container(&pod).await;
    scene.program.kill().await;
    let removed = scene.docker.remove_container(&container, by_force()).await;
    removed.unwrap();
    scene.program = Program::start(&scene.folder, &scene.settings).await;
    let row = scene.until(&pod, "ERROR").await;
    assert_eq!(row["statusReason"], "LOST", "{row}");
    scene.start(&pod).await;
    scene.until(&pod, "RUNNING").await;
    scene.page(&pod).await;
    scene.end(&pod).await;
}

#[tokio::test]
async fn a_port_that_somebody_else_has_gives_way_to_another_one() {
    let Some(host) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let scene = Scene::new("ports", &host, "28100-28199", &[]).await;
    let pod = scene.launch("cpu").await;
    scene.until(&pod, "RUNNING").await;

    let first = scene.page(&pod).await;
    scene.stop(&pod).await;
    let listener = TcpListener::bind(("127.0.0.1", port(&first))).await;
    let _listener = listener.expect("a stopped pod has no port");
    scene.start(&pod).await;
    scene.until(&pod, "RUNNING").await;
    let second = scene.page(&pod).await;
    assert_ne!(second, first);
    scene.was_told(&pod, "PORT_TAKEN").await;

    scene.stop(&pod).await;
    let foreign = scene.foreign(&unique("foreign"), Some(port(&second))).await;
    scene.start(&pod).await;
    scene.until(&pod, "RUNNING").await;
    let third = scene.page(&pod).await;
    assert!(![first, second].contains(&third), "{third}");
    assert!(scene.runs(&foreign).await, "it has its port");

    scene.remove(&foreign).await;
    scene.end(&pod).await;
}

#[tokio::test]
async fn a_name_that_somebody_elses_container_has_is_left_to_it() {
    let Some(host) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let scene = Scene::new("names", &host, "28200-28299", &[]).await;
    let pod = scene.launch("cpu").await;
    scene.until(&pod, "RUNNING").await;
    scene.stop(&pod).await;

    let foreign = scene.foreign(&format!("np-{pod}-2"), None).await;
    scene.start(&pod).await;
    scene.until(&pod, "RUNNING").await;
    scene.page(&pod).await;
    assert_ne!(scene.container(&pod).await, foreign);
    scene.ask("DELETE", &format!("/{pod}"), Value::Null).await;
    scene.until_nothing_is_left().await;
    assert!(scene.runs(&foreign).await, "nobody touches it");

    scene.remove(&foreign).await;
    scene.close().await;
}

/// As `docker rm -f` does.
fn by_force() -> Option<RemoveContainerOptions> {
    Some(RemoveContainerOptionsBuilder::new().force(true).build())
}

fn port(url: &str) -> u16 {
    let (_, port) = url.rsplit_once(':').unwrap();
    port.trim_end_matches('/').parse().unwrap()
}

/// A user of the server, and somebody who works past it.
struct Scene {
    folder: PathBuf,
    settings: Vec<(&'static str, String)>,
    program: Program,
    token: String,
    store: SqlStore,
    engine: Engine,
    docker: Docker,
}

impl Scene {
    async fn new(name: &str, host: &str, ports: &str, more: &[(&'static str, String)]) -> Self {
        let folder = folder(name);
        let database = format!("sqlite://{}/by-hand.db", folder.display());
        let store = SqlStore::open(&database).await.unwrap();
        let engine = Engine::watch(host, &store.installation().await.unwrap()).await;
        let mut settings = settings(host, &database, ports);
        settings.extend_from_slice(more);
        let program = Program::start(&folder, &settings).await;
        let token = sign_in(program.address, "ana@example.com").await;
        Self {
            folder,
            settings,
            program,
            token,
            store,
            engine,
            docker: Docker::connect_with_host(host).unwrap(),
        }
    }

    async fn ask(&self, method: &str, what: &str, body: Value) -> Value {
        let path = format!("/api/pods{what}");
        let request = Request::new(self.program.address, method, &path).bearer(&self.token);
        let answer = request.json(&body).send().await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
        answer.json()["data"].clone()
    }

    async fn launch(&self, gpu: &str) -> String {
        let mut body = a_pod(&unique("by-hand"));
        body["gpu"] = json!(gpu);
        let launched = self.ask("POST", "", body).await;
        launched["podId"].as_str().unwrap().to_owned()
    }

    async fn start(&self, pod: &str) {
        self.ask("POST", &format!("/{pod}/start"), json!({})).await;
    }

    /// And waits until its container is gone.
    async fn stop(&self, pod: &str) {
        self.ask("POST", &format!("/{pod}/stop"), json!({})).await;
        self.until(pod, "STOPPED").await;
        let deadline = Instant::now() + WITHIN;
        while !self.engine.there().await.ended.is_empty() {
            assert!(Instant::now() < deadline, "{}", self.program.said());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn until(&self, pod: &str, phase: &str) -> Value {
        let deadline = Instant::now() + WITHIN;
        loop {
            let row = self.ask("GET", &format!("/{pod}"), Value::Null).await;
            if row["phase"] == phase {
                return row;
            }
            assert!(Instant::now() < deadline, "{row}\n{}", self.program.said());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Its address, which is that of its own page.
    async fn page(&self, pod: &str) -> String {
        let path = format!("/{pod}/connections");
        let connections = self.ask("GET", &path, Value::Null).await;
        let url = connections["httpServices"][0]["url"].as_str().unwrap();
        let address = ([127, 0, 0, 1], port(url)).into();
        let page = Request::new(address, "GET", "/").send().await;
        assert!(page.body.contains("Hello from pod"), "{page:?}");
        url.to_owned()
    }

    /// That its user was told of this reason.
    async fn was_told(&self, pod: &str, reason: &str) {
        let all = EventQuery {
            after: None,
            limit: 1000,
        };
        let page = self.store.events(&all).await.unwrap();
        let pod: PodId = pod.parse().unwrap();
        let events = page.events.iter().map(|event| &event.event);
        let mut of_it = events.filter(|event| event.pod == Some(pod));
        assert!(of_it.any(|event| event.body["reason"] == reason));
    }

    /// Its only container, which runs.
    async fn container(&self, pod: &str) -> String {
        match &self.engine.there().await.alive[pod][..] {
            [one] => one.clone(),
            others => panic!("{others:?}"),
        }
    }

    /// Somebody else's container, which runs.
    async fn foreign(&self, name: &str, port: Option<u16>) -> String {
        let published = port.map(|port| {
            let there = PortBinding {
                host_ip: Some("127.0.0.1".to_owned()),
                host_port: Some(port.to_string()),
            };
            [("8080/tcp".to_owned(), Some(vec![there]))].into()
        });
        let body = ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            cmd: Some(["sleep", "1000000"].map(str::to_owned).to_vec()),
            host_config: Some(HostConfig {
                port_bindings: published,
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let named = CreateContainerOptionsBuilder::new().name(name).build();
        let made = self.docker.create_container(Some(named), body).await;
        let id = made.unwrap().id;
        self.docker.start_container(&id, None).await.unwrap();
        id
    }

    async fn runs(&self, container: &str) -> bool {
        let none = None::<InspectContainerOptions>;
        let there = self.docker.inspect_container(container, none).await;
        there.unwrap().state.unwrap().running == Some(true)
    }

    async fn remove(&self, container: &str) {
        let removed = self.docker.remove_container(container, by_force());
        removed.await.unwrap();
    }

    async fn until_nothing_is_left(&self) {
        let deadline = Instant::now() + WITHIN;
        while self.engine.there().await != There::default() {
            assert!(Instant::now() < deadline, "{}", self.program.said());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn end(self, pod: &str) {
        self.ask("DELETE", &format!("/{pod}"), Value::Null).await;
        self.until_nothing_is_left().await;
        self.close().await;
    }

    async fn close(self) {
        self.program.kill().await;
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}
