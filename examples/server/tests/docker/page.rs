//! The example page in a real browser, over the real server on a real engine: sign in, launch, open, read, stop, start,
//! delete. `NEUROPOD_TEST_BROWSER` names the folder of what drives Debian's Chromium.

use std::path::Path;

use serde_json::json;
use tokio::process::Command;

use crate::given::given;
use crate::http::Request;
use crate::program::Program;
use crate::{alone, folder, settings, sign_in};

const TEMPLATE: &str = "Demo";

#[tokio::test]
async fn a_person_has_a_pod_by_the_example_page() {
    let (Some(docker), Some(browser)) = (
        given("NEUROPOD_TEST_DOCKER"),
        given("NEUROPOD_TEST_BROWSER"),
    ) else {
        return;
    };
    let _alone = alone().await;
    let folder = folder("page");
    let database = format!("sqlite://{}/pods.db", folder.display());
    let mut settings = settings(&docker, &database, "31300-31399");
    settings.push(("ADMIN_EMAILS", "root@example.com".to_owned()));
    let program = Program::start(&folder, &settings).await;
    let root = sign_in(program.address, "root@example.com").await;
    let template = json!({
        "name": TEMPLATE,
        "dockerImage": "neuropod/demo",
        "httpPorts": [{"port": 8080, "serviceName": "Page"}],
        "containerDiskSize": 5,
        "volumeDiskSize": 10,
        "description": "A page.",
    });
    let made = Request::new(program.address, "POST", "/api/templates").bearer(&root);
    let made = made.json(&template).send().await;
    assert_eq!(made.status, 201, "{made:?}");

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docker/page.mjs");
    let pictures = std::env::var("NEUROPOD_TEST_PICTURES").unwrap_or_default();
    let driven = Command::new("node")
        .arg(script)
        .args([&format!("http://{}", program.address), TEMPLATE, &pictures])
        .env("NEUROPOD_TEST_BROWSER", browser)
        // Where Chromium keeps what it keeps.
        .env("HOME", &folder)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&driven.stderr);
    assert!(driven.status.success(), "{said}\n{}", program.said());
    program.kill().await;
    std::fs::remove_dir_all(&folder).unwrap();
}
