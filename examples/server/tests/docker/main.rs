//! The real server on a real Docker engine.
//!
//! `NEUROPOD_TEST_DOCKER` names the engine, which has the demo image; `NEUROPOD_TEST_POSTGRES` names a PostgreSQL:
//! `cargo xtask test` does all that.

mod client;
mod engine;
#[path = "../support/http.rs"]
mod http;
mod kill9;
#[path = "../support/program.rs"]
mod program;

use std::path::PathBuf;

use tokio::sync::{Mutex, MutexGuard};

const SECRET: &str = "f2ca1bb6c7e907d06dafe4687e579fce76b37e4e93b7605022da52e6ccc26fd2";

/// What a failure shows: every step of every pod.
const LOG: &str = "warn,neuropod_server::serve=info,neuropod_core::reconcile=debug";

/// One test at a time: two at once would each slow down what the other waits for.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// What a variable names; without it the test can't run, and says so.
fn given(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok();
    if value.is_none() {
        assert!(
            std::env::var("CI").is_err(),
            "{variable} is not set, and in CI nothing may be left out"
        );
        println!("not run: {variable} is not set; `cargo xtask test` sets it");
    }
    value
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("neuropod-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Of a server over this engine and database, whose pods get these host ports.
fn settings(docker: &str, database: &str, ports: &str) -> Vec<(&'static str, String)> {
    [
        ("NEUROPOD_ORCHESTRATOR", "docker"),
        ("DOCKER_HOST", docker),
        ("DATABASE_URL", database),
        ("JWT_SECRET", SECRET),
        ("NEUROPOD_PORT_RANGE", ports),
        ("POD_MEMORY_LIMIT", "64Mi"),
        ("RUST_LOG", LOG),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}
