//! A stopped pod's volume that somebody deletes by hand: `docker volume prune`.

use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::query_parameters::RemoveVolumeOptions;
use neuropod::Store;
use neuropod::sql::SqlStore;
use serde_json::{Value, json};

use crate::engine::{Engine, There};
use crate::given::given;
use crate::http::Request;
use crate::program::Program;
use crate::{a_pod, alone, folder, settings, sign_in};

const WITHIN: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_lost_volume_is_told_and_its_loss_can_be_accepted() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let folder = folder("volumes");
    let database = format!("sqlite://{}/volumes.db", folder.display());
    let store = SqlStore::open(&database).await.unwrap();
    let engine = Engine::watch(&docker, &store.installation().await.unwrap()).await;
    drop(store);
    let program = Program::start(&folder, &settings(&docker, &database, "29000-29999")).await;
    let token = sign_in(program.address, "ana@example.com").await;
    let ask = async |method: &str, path: &str, body: &Value| {
        let request = Request::new(program.address, method, path).bearer(&token);
        let answer = request.json(body).send().await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
        answer.json()["data"].clone()
    };
    let launched = ask("POST", "/api/pods", &a_pod("volumes")).await;
    let id = launched["podId"].as_str().unwrap();
    let path = format!("/api/pods/{id}");
    let until = async |phase: &str| {
        let deadline = Instant::now() + WITHIN;
        loop {
            let row = ask("GET", &path, &Value::Null).await;
            if row["phase"] == phase {
                return row;
            }
            assert!(Instant::now() < deadline, "{row}\n{}", program.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    until("RUNNING").await;
    ask("POST", &format!("{path}/stop"), &json!({})).await;
    until("STOPPED").await;
    let outside = Docker::connect_with_host(&docker).unwrap();
    // The container that used it is removed a little after its end is on the row.
    let lose = async || {
        let deadline = Instant::now() + WITHIN;
        let name = format!("np-{id}");
        let none = || None::<RemoveVolumeOptions>;
        while let Err(error) = outside.remove_volume(&name, none()).await {
            assert!(Instant::now() < deadline, "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    lose().await;

    ask("POST", &format!("{path}/start"), &json!({})).await;
    let row = until("ERROR").await;
    assert_eq!(row["statusReason"], "VOLUME_LOST", "{row}");
    assert_eq!(engine.there().await, There::default());

    let accepted = json!({ "acceptLoss": true });
    ask("POST", &format!("{path}/start"), &accepted).await;
    until("RUNNING").await;
    assert!(engine.there().await.volumes.contains(id));

    // The new one is as dear as the first was.
    ask("POST", &format!("{path}/stop"), &json!({})).await;
    until("STOPPED").await;
    lose().await;
    ask("POST", &format!("{path}/start"), &json!({})).await;
    until("ERROR").await;

    ask("DELETE", &path, &json!({})).await;
    let deadline = Instant::now() + WITHIN;
    while engine.there().await != There::default() {
        assert!(Instant::now() < deadline, "{}", program.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    program.kill().await;
    std::fs::remove_dir_all(&folder).unwrap();
}
