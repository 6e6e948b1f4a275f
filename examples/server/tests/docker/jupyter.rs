//! What a user has of Jupyter beside whatever image: an address that opens it, or a service that says why there is none.

use std::time::{Duration, Instant};

use bollard::Docker;
use serde_json::{Value, json};

use crate::given::given;
use crate::http::Request;
use crate::program::Program;
use crate::{a_pod, alone, folder, jupyter_images, settings, sign_in};

const WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[tokio::test]
async fn jupyter_is_beside_the_program_of_every_image_or_says_why_not() {
    let _alone = alone().await;
    let Some(scene) = Scene::new("beside", "31000-31199").await else {
        return;
    };
    let mut launched = Vec::new();
    for has in ["jupyter", "python", "shell", "noshell"] {
        for own in ["serves", "converses", "ends"] {
            if (has, own) == ("noshell", "converses") {
                continue; // with a shell that is not there
            }
            let image = jupyter_images::image(&scene.docker, has, own).await;
            for ports in ["8080", "8080,8888"] {
                let id = scene.launch(&image, ports, true).await;
                launched.push((id, has, own));
            }
        }
    }
    for (id, has, own) in launched {
        let what = format!("{has}, {own}");
        if own == "ends" {
            let row = scene.until(&id, |row| row["phase"] == "EXITED").await;
            assert_eq!(row["exitCode"], 0, "{what}");
        } else {
            scene.until(&id, |row| row["phase"] == "RUNNING").await;
        }
        let decided = |s: &Value| own == "ends" || s["status"] != "creating";
        let jupyter = scene.service(&id, 8888, decided).await;
        assert_eq!(jupyter["serviceName"], "Jupyter Lab", "{what}");
        let url = jupyter["url"].as_str().unwrap();
        match (has, own) {
            (_, "ends") => assert_eq!(jupyter["status"], "stopped", "{what}"),
            ("jupyter" | "python", _) => {
                assert_eq!(jupyter["status"], "ready", "{what}: {jupyter}");
                assert_eq!(get(url).await, Some((200, "a notebook\n".to_owned())));
                let other = url.replace("token=", "token=0");
                assert_eq!(get(&other).await.map(|(status, _)| status), Some(403));
                let token = url.split_once("/?token=").expect("once").1;
                let log = scene.log(&id).await;
                assert!(
                    log.contains(&format!("Jupyter Lab token: {token}")),
                    "{log}"
                );
            }
            _ => {
                assert_eq!(jupyter["status"], "error", "{what}: {jupyter}");
                assert_eq!(jupyter["statusReason"], "JUPYTER_UNAVAILABLE", "{what}");
            }
        }
        if own == "serves" {
            let page = scene.service(&id, 8080, |s| s["status"] == "ready").await;
            let page = get(&format!("{}/", page["url"].as_str().unwrap())).await;
            assert!(page.is_some(), "{what}: nobody serves");
        }
        scene.delete(&id).await;
    }
    scene.end().await;
}

#[tokio::test]
async fn each_run_of_jupyter_has_a_token_of_its_own() {
    let _alone = alone().await;
    let Some(scene) = Scene::new("tokens", "31200-31299").await else {
        return;
    };
    let image = jupyter_images::image(&scene.docker, "jupyter", "converses").await;
    let id = scene.launch(&image, "8888", true).await;
    let ready = |s: &Value| s["status"] == "ready";
    let first = scene.service(&id, 8888, ready).await["url"].clone();
    scene.ask("POST", &format!("/{id}/stop"), Value::Null).await;
    scene.until(&id, |row| row["phase"] == "STOPPED").await;
    scene
        .ask("POST", &format!("/{id}/start"), Value::Null)
        .await;
    let second = scene.service(&id, 8888, ready).await["url"].clone();
    let (first, second) = (first.as_str().unwrap(), second.as_str().unwrap());
    let address = |url: &str| url.split('?').next().unwrap().to_owned();
    assert_eq!(address(first), address(second), "its address is the same");
    assert_ne!(first, second);
    let status = async |url| get(url).await.map(|(status, _)| status);
    assert_eq!(status(second).await, Some(200));
    assert_eq!(
        status(first).await,
        Some(403),
        "the old token is worth nothing"
    );
    for row in [first, second] {
        let token = row.split_once("token=").unwrap().1;
        assert!(
            !scene.program.said().contains(token),
            "a token is in the log"
        );
    }
    // Without the box nothing is done.
    let plain = scene.launch(&image, "8888", false).await;
    scene.until(&plain, |row| row["phase"] == "EXITED").await;
    let service = scene.service(&plain, 8888, |_| true).await;
    assert_eq!(service["serviceName"], "Servicio 1");
    assert!(!service.to_string().contains("token"), "{service}");
    assert!(!scene.log(&plain).await.contains("Jupyter"));
    for id in [id, plain] {
        scene.delete(&id).await;
    }
    scene.end().await;
}

/// The status and the body, if anybody serves there.
async fn get(url: &str) -> Option<(u16, String)> {
    let (authority, path) = url.strip_prefix("http://")?.split_once('/')?;
    let mut addresses = tokio::net::lookup_host(authority).await.unwrap();
    // Pods are published on 127.0.0.1 only, whatever else is called localhost.
    let address = addresses.find(|address| address.is_ipv4()).unwrap();
    let request = Request::new(address, "GET", &format!("/{path}"));
    let answer = request.try_send().await.ok()?;
    Some((answer.status, answer.body))
}

/// A server on the tests' engine, and somebody who is signed in.
pub(crate) struct Scene {
    program: Program,
    token: String,
    docker: Docker,
    pub(crate) folder: std::path::PathBuf,
}

impl Scene {
    async fn new(name: &str, ports: &str) -> Option<Self> {
        Self::with(name, ports, &[]).await
    }

    /// With these settings too.
    pub(crate) async fn with(
        name: &str,
        ports: &str,
        more: &[(&'static str, String)],
    ) -> Option<Self> {
        let host = given("NEUROPOD_TEST_DOCKER")?;
        let folder = folder(name);
        let database = format!("sqlite://{}/pods.db", folder.display());
        let mut settings = settings(&host, &database, ports);
        settings.extend_from_slice(more);
        let program = Program::start(&folder, &settings).await;
        Some(Self {
            token: sign_in(program.address, "ana@example.com").await,
            program,
            docker: Docker::connect_with_host(&host).unwrap(),
            folder,
        })
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        let path = format!("/api/pods{path}");
        let request = Request::new(self.program.address, method, &path).bearer(&self.token);
        let answer = match body {
            Value::Null => request.send().await,
            body => request.json(&body).send().await,
        };
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
        answer.json()["data"].clone()
    }

    pub(crate) async fn launch(&self, image: &str, ports: &str, jupyter: bool) -> String {
        let mut body = a_pod("beside");
        body["dockerImage"] = json!(image);
        body["ports"] = json!(ports);
        body["enableJupyter"] = json!(jupyter);
        let launched = self.ask("POST", "", body).await;
        launched["podId"].as_str().unwrap().to_owned()
    }

    async fn until(&self, id: &str, so: impl Fn(&Value) -> bool) -> Value {
        self.waited(&format!("/{id}"), |row| so(row).then(|| row.clone()))
            .await
    }

    /// The service of this port, once it is so.
    pub(crate) async fn service(&self, id: &str, port: u16, so: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/{id}/connections");
        let of = |all: &Value| {
            let services = all["httpServices"].as_array().unwrap().iter();
            let mut of_port = services.filter(|s| s["port"] == port);
            let service = of_port.next().expect("it is published");
            assert_eq!(of_port.next(), None, "once");
            so(service).then(|| service.clone())
        };
        self.waited(&path, of).await
    }

    async fn waited(&self, path: &str, of: impl Fn(&Value) -> Option<Value>) -> Value {
        let deadline = Instant::now() + WITHIN;
        loop {
            let row = self.ask("GET", path, Value::Null).await;
            if let Some(found) = of(&row) {
                return found;
            }
            assert!(Instant::now() < deadline, "{row}\n{}", self.program.said());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub(crate) async fn log(&self, id: &str) -> String {
        let log = self.ask("GET", &format!("/{id}/logs"), Value::Null).await;
        log["logs"].as_str().unwrap().to_owned()
    }

    /// Deletes it, and waits until nothing is left.
    pub(crate) async fn delete(&self, id: &str) {
        self.ask("DELETE", &format!("/{id}"), Value::Null).await;
        let path = format!("/api/pods/{id}");
        let deadline = Instant::now() + WITHIN;
        loop {
            let request = Request::new(self.program.address, "GET", &path);
            if request.bearer(&self.token).send().await.status == 404 {
                return;
            }
            assert!(Instant::now() < deadline, "{}", self.program.said());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub(crate) async fn end(self) {
        self.program.kill().await;
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}
