//! One real JupyterLab, opened in a real browser at the address that `/connections` names. `NEUROPOD_TEST_JUPYTERLAB` names
//! its image, whose own program is a bare shell.

use std::path::Path;

use tokio::process::Command;

use crate::alone;
use crate::given::given;
use crate::jupyter::Scene;

#[tokio::test]
async fn a_cell_is_run_in_a_real_jupyterlab() {
    let (Some(image), Some(browser)) = (
        given("NEUROPOD_TEST_JUPYTERLAB"),
        given("NEUROPOD_TEST_BROWSER"),
    ) else {
        return;
    };
    let _alone = alone().await;
    let more = [("POD_MEMORY_LIMIT", "1Gi".to_owned())];
    let Some(scene) = Scene::with("jupyterlab", "31400-31499", &more).await else {
        return;
    };
    let id = scene.launch(&image, "8888", true).await;
    let jupyter = scene
        .service(&id, 8888, |s| s["status"] != "creating")
        .await;
    let log = scene.log(&id).await;
    assert_eq!(jupyter["status"], "ready", "{log}");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docker/notebook.mjs");
    let driven = Command::new("node")
        .arg(script)
        .arg(jupyter["url"].as_str().unwrap())
        .env("NEUROPOD_TEST_BROWSER", browser)
        // Where Chromium keeps what it keeps.
        .env("HOME", &scene.folder)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&driven.stderr);
    assert!(driven.status.success(), "{said}\n{}", scene.log(&id).await);
    scene.delete(&id).await;
    scene.end().await;
}
