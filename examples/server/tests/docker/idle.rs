//! A pod on a real engine that nothing uses is stopped, and says why; one that computes is not, though nobody is there.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;

use crate::a_pod;
use crate::given::given;
use crate::live::user;

const WITHIN: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_quiet_page_does_not_keep_a_pod_and_a_program_that_computes_does() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let user = user("idle", &docker, "31400-31499", &[]).await;
    let mut trains = a_pod("trains");
    trains["args"] = json!(["sh", "-c", "while :; do :; done"]);
    trains["ports"] = "".into();
    let mut ids = Vec::new();
    for mut pod in [a_pod("quiet"), trains] {
        pod["idleStop"] = "1m".into();
        let launched = user.request("POST", "/api/pods").json(&pod).send().await;
        assert_eq!(launched.status, 201, "{launched:?}");
        ids.push(
            launched.json()["data"]["podId"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    let [quiet, trains] = &ids[..] else {
        unreachable!("two");
    };
    user.until(quiet, "RUNNING").await;
    user.until(trains, "RUNNING").await;
    let open = user
        .ask("GET", &format!("/api/pods/{quiet}/connections"))
        .await;
    let url = open["httpServices"][0]["url"].as_str().unwrap();
    let page = TcpStream::connect(url.trim_start_matches("http://").trim_end_matches('/'));
    let page = page.await.expect("it is open");
    let look = async |id: &str| user.ask("GET", &format!("/api/pods/{id}")).await;
    let first = look(quiet).await;
    assert_eq!(first["lastActivity"]["signal"], "start", "{first}");
    assert!(first["idleStopAt"].is_string(), "{first}");

    let began = Instant::now();
    let stopped = loop {
        let pod = look(quiet).await;
        if pod["phase"] == "STOPPED" {
            break pod;
        }
        assert!(began.elapsed() < WITHIN, "{pod}\n{}", user.program.said());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    drop(page);
    assert_eq!(stopped["statusReason"], "IDLE", "{stopped}");
    let why = stopped["statusMessage"].as_str().unwrap();
    assert!(why.contains("for 1 min: the last sign was its "), "{why}");
    assert!(stopped["idleStopAt"].is_null(), "{stopped}");

    let trained = look(trains).await;
    assert_eq!(trained["phase"], "RUNNING", "{trained}");
    assert_eq!(trained["lastActivity"]["signal"], "cpu", "{trained}");
    for id in ids {
        user.delete(&id).await;
    }
    user.program.kill().await;
}
