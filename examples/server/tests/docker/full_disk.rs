//! An engine whose disk is full says so to the pod that needs more of it, and goes on for those that do not.

use std::process::Command;
use std::time::{Duration, Instant};

use neuropod::Store;
use neuropod::sql::SqlStore;
use serde_json::{Value, json};

use crate::engine::{Engine, There};
use crate::given::given;
use crate::http::Request;
use crate::own_engine::OwnEngine;
use crate::program::Program;
use crate::registry::Registry;
use crate::{IMAGE, a_pod, alone, settings, sign_in, space};

const WITHIN: Duration = Duration::from_secs(60);
/// Room for the demo image, and not for one of 8 MB.
const DISK: &str = "size=12m";

#[tokio::test]
async fn a_full_disk_is_told() {
    let Some(image_from) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let Some(folder) = space::enter("full_disk::a_full_disk_is_told").await else {
        return;
    };
    let data = folder.join("data");
    std::fs::create_dir(&data).unwrap();
    let mut mount = Command::new("mount");
    let mounted = mount.args(["-t", "tmpfs", "-o", DISK, "disk"]).arg(&data);
    assert!(mounted.status().unwrap().success());
    let own = OwnEngine::start(&folder, false, &image_from).await;
    let registry = Registry::start(&own.docker).await;
    let database = format!("sqlite://{}/disk.db", folder.display());
    let store = SqlStore::open(&database).await.unwrap();
    let engine = Engine::unwatched(own.docker.clone(), &store.installation().await.unwrap());
    let program = Program::start(&folder, &settings(&own.host(), &database, "25000-25999")).await;
    let token = sign_in(program.address, "ana@example.com").await;
    let ask = async |method: &str, path: &str, body: &Value| {
        let request = Request::new(program.address, method, path).bearer(&token);
        let answer = request.json(body).send().await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
        answer.json()["data"].clone()
    };
    let pulled = registry.image("pulled");
    for (image, phase, reason) in [
        (pulled.as_str(), "ERROR", json!("NO_SPACE")),
        (IMAGE, "RUNNING", Value::Null),
    ] {
        let mut body = a_pod("disk");
        body["dockerImage"] = json!(image);
        let id = ask("POST", "/api/pods", &body).await["podId"].clone();
        let path = format!("/api/pods/{}", id.as_str().unwrap());
        let deadline = Instant::now() + WITHIN;
        let row = loop {
            let row = ask("GET", &path, &Value::Null).await;
            if row["phase"] == phase {
                break row;
            }
            assert!(Instant::now() < deadline, "{row}\n{}", program.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        println!("{}", row["statusMessage"]);
        assert_eq!(row["statusReason"], reason, "{row}");
        ask("DELETE", &path, &json!({})).await;
        while engine.there().await != There::default() {
            assert!(Instant::now() < deadline, "{}", program.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    program.kill().await;
}
