//! A script that was written against the original's REST API runs unchanged.

use std::process::Stdio;

use tokio::process::Command;

use crate::support::Server;

#[tokio::test]
async fn a_script_for_the_original_runs_unchanged() {
    let server = Server::start().await;
    let loops = server.platform.clone();
    tokio::spawn(async move { loops.run(std::future::pending()).await });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/original/client.mjs");
    let node = Command::new("node")
        .args([script, &format!("http://{}", server.address)])
        .stdin(Stdio::null())
        .output()
        .await;
    let output = match node {
        Ok(output) => output,
        Err(e) => {
            assert!(std::env::var("CI").is_err(), "node can't be started: {e}");
            println!("not run: node can't be started ({e}); `cargo xtask test` installs it");
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
