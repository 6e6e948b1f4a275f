//! Somebody who is signed in, and what they see.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use neuropod::Store;
use neuropod::sql::SqlStore;
use serde_json::Value;

use crate::http::{Answer, Request};
use crate::program::Program;
use crate::there::{Cluster, There};
use crate::{folder, settings, sign_in};

pub(crate) const WITHIN: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A server of its own with one user, and the cluster behind it.
pub(crate) struct User {
    pub(crate) folder: PathBuf,
    pub(crate) settings: Vec<(&'static str, String)>,
    pub(crate) program: Program,
    pub(crate) cluster: Cluster,
    token: String,
}

impl User {
    pub(crate) async fn new(name: &str, kubeconfig: &str) -> Self {
        let folder = folder(name);
        let database = format!("sqlite://{}/kept.db", folder.display());
        let store = SqlStore::open(&database).await.unwrap();
        let cluster = Cluster::of(kubeconfig, &store.installation().await.unwrap()).await;
        drop(store);
        let settings = settings(&database);
        let program = Program::start(&folder, &settings).await;
        let token = sign_in(program.address, "ana@example.com").await;
        Self {
            folder,
            settings,
            program,
            cluster,
            token,
        }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let request = Request::new(self.program.address, method, path).bearer(&self.token);
        match body {
            Some(body) => request.json(body).send().await,
            None => request.send().await,
        }
    }

    pub(crate) async fn launch(&self, body: &Value) -> String {
        let launched = self.ask("POST", "/api/pods", Some(body)).await;
        assert_eq!(launched.status, 201, "{launched:?}");
        launched.json()["data"]["podId"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// What the server answers about a pod.
    pub(crate) async fn of(&self, method: &str, id: &str, what: &str) -> Value {
        let path = format!("/api/pods/{id}{what}");
        let answer = self.ask(method, &path, None).await;
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        answer.json()["data"].clone()
    }

    /// The address of its page, once `/connections` says that it is ready.
    pub(crate) async fn ready(&self, id: &str) -> String {
        let ready = |connections: &Value| {
            let service = &connections["httpServices"][0];
            (service["status"] == "ready").then(|| service["url"].as_str().unwrap().to_owned())
        };
        self.until(id, "/connections", ready).await
    }

    /// Until the server says so.
    pub(crate) async fn until<T>(
        &self,
        id: &str,
        what: &str,
        of: impl Fn(&Value) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + WITHIN;
        loop {
            let said = self.of("GET", id, what).await;
            if let Some(answer) = of(&said) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{said}\n{}", self.program.said());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The page at `url`: nodes learn of a pod that is ready a moment later than we do.
    pub(crate) async fn page(&self, url: &str) -> String {
        let deadline = Instant::now() + WITHIN;
        loop {
            if let Some(page) = get(url).await {
                return page;
            }
            assert!(Instant::now() < deadline, "{url}: {}", self.program.said());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the cluster has this of the whole installation.
    pub(crate) async fn until_there_is(&self, expected: &There) {
        let deadline = Instant::now() + WITHIN;
        loop {
            let there = self.cluster.there().await;
            if there == *expected {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{there:?}\n{}",
                self.program.said()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub(crate) async fn end(self) {
        self.program.kill().await;
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// The page at `url`, if anybody serves there.
pub(crate) async fn get(url: &str) -> Option<String> {
    let to = url.strip_prefix("http://").unwrap().parse().unwrap();
    let request = Request::new(to, "GET", "/").try_send();
    let answer = tokio::time::timeout(Duration::from_secs(5), request)
        .await
        .ok()?
        .ok()?;
    assert_eq!(answer.status, 200, "{answer:?}");
    Some(answer.body)
}
