//! What a user has of a pod: a page at the address that `/connections` names, the log, and a volume that outlives stop
//! and start and goes with the pod.

use std::time::{Duration, Instant};

use neuropod::Store;
use neuropod::sql::SqlStore;
use serde_json::Value;

use crate::engine::{Engine, There};
use crate::given::given;
use crate::http::Request;
use crate::program::Program;
use crate::{a_pod, alone, folder, settings, sign_in};

const WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_pod_is_reached_stopped_started_and_deleted() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let folder = folder("pods");
    let database = format!("sqlite://{}/pods.db", folder.display());
    let store = SqlStore::open(&database).await.unwrap();
    let engine = Engine::watch(&docker, &store.installation().await.unwrap()).await;
    drop(store);
    let settings = settings(&docker, &database, "30000-30999");
    let program = Program::start(&folder, &settings).await;
    let token = sign_in(program.address, "ana@example.com").await;
    let user = User { program, token };

    let body = a_pod("reached");
    let launched = user.request("POST", "/api/pods").json(&body).send().await;
    assert_eq!(launched.status, 201, "{launched:?}");
    let id = launched.json()["data"]["podId"]
        .as_str()
        .unwrap()
        .to_owned();
    let pod = Pod { user, engine, id };
    let url = pod.ready().await;
    let page = get(&url).await.expect("the page is served");
    assert!(page.contains("Hello from pod"), "{page}");
    assert!(page.contains("Starts counted on its volume: 1"), "{page}");
    let log = pod.ask("GET", "/logs").await["logs"].to_string();
    assert!(log.contains("demo: serving HTTP on port 8080"), "{log}");
    let there = pod.engine.there().await;
    assert_eq!((there.alive[&pod.id].len(), there.ended.len()), (1, 0));

    pod.ask("POST", "/stop").await;
    let kept = There {
        volumes: [pod.id.clone()].into(),
        ..There::default()
    };
    pod.until_there_is(&kept).await;
    assert_eq!(get(&url).await, None, "a stopped pod serves nothing");
    assert_eq!(pod.ask("GET", "").await["phase"], "STOPPED");
    let log = pod.ask("GET", "/logs").await["logs"].to_string();
    assert!(log.contains("demo: told to stop"), "{log}");

    pod.ask("POST", "/start").await;
    assert_eq!(pod.ready().await, url, "a pod keeps its address");
    let page = get(&url).await.expect("the page is served again");
    assert!(page.contains("Starts counted on its volume: 2"), "{page}");

    pod.ask("DELETE", "").await;
    pod.until_there_is(&There::default()).await;
    pod.is_forgotten().await;
    pod.user.program.kill().await;
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
}

/// A pod, as its user and as the engine sees it.
struct Pod {
    user: User,
    engine: Engine,
    id: String,
}

impl Pod {
    /// What the server answers.
    async fn ask(&self, method: &str, what: &str) -> Value {
        let path = format!("/api/pods/{}{what}", self.id);
        let answer = self.user.request(method, &path).send().await;
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        answer.json()["data"].clone()
    }

    /// The address of its page, once `/connections` says that it is ready.
    async fn ready(&self) -> String {
        let deadline = Instant::now() + WITHIN;
        loop {
            let connections = self.ask("GET", "/connections").await;
            let service = &connections["httpServices"][0];
            if service["status"] == "ready" {
                return service["url"].as_str().unwrap().to_owned();
            }
            let said = self.user.program.said();
            assert!(Instant::now() < deadline, "{connections}\n{said}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the server knows it no more, which is a little after the engine has nothing of it.
    async fn is_forgotten(&self) {
        let path = format!("/api/pods/{}", self.id);
        let deadline = Instant::now() + WITHIN;
        loop {
            let answer = self.user.request("GET", &path).send().await;
            if answer.status != 200 {
                answer.problem(404, "not_found");
                return;
            }
            assert!(Instant::now() < deadline, "{answer:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the engine has this of the whole installation.
    async fn until_there_is(&self, expected: &There) {
        let deadline = Instant::now() + WITHIN;
        loop {
            let there = self.engine.there().await;
            if there == *expected {
                return;
            }
            let said = self.user.program.said();
            assert!(Instant::now() < deadline, "{there:?}\n{said}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// The page at `url`, if anybody serves there.
async fn get(url: &str) -> Option<String> {
    let authority = url.strip_prefix("http://").unwrap();
    let mut addresses = tokio::net::lookup_host(authority).await.unwrap();
    // Pods are published on 127.0.0.1 only, whatever else is called localhost.
    let address = addresses.find(|address| address.is_ipv4()).unwrap();
    let answer = Request::new(address, "GET", "/").try_send().await.ok()?;
    assert_eq!(answer.status, 200, "{answer:?}");
    Some(answer.body)
}
