//! The real server on a real Docker engine.
//!
//! `NEUROPOD_TEST_DOCKER` names the engine, which has the demo image; `NEUROPOD_TEST_POSTGRES` names a PostgreSQL:
//! `cargo xtask test` does all that.

mod all_killed;
mod amid_pull;
mod by_hand;
mod client;
mod deleted_user;
mod engine;
mod engine_kills;
mod frozen;
mod full_disk;
#[path = "../support/fuzz.rs"]
mod fuzz;
mod fuzzed;
#[path = "../support/given.rs"]
mod given;
mod gpus;
#[path = "../../../../neuropod-docker/tests/support/hook.rs"]
#[allow(dead_code, unreachable_pub)] // shared with the tests of the backend
mod hook;
#[path = "../support/http.rs"]
mod http;
mod idle;
mod jupyter;
#[path = "../../../../neuropod-docker/tests/support/jupyter.rs"]
#[allow(unreachable_pub)] // shared with the tests of the backend
mod jupyter_images;
mod jupyterlab;
mod kill9;
mod lifecycles;
mod live;
mod outage;
mod own_engine;
#[path = "../../../../neuropod-store/tests/stress/own_postgres.rs"]
#[allow(dead_code)] // none of these tests kills it
mod own_postgres;
mod page;
mod pods;
#[path = "../support/program.rs"]
mod program;
mod races;
#[path = "../../../../neuropod-docker/tests/support/registry.rs"]
#[allow(dead_code, unreachable_pub)] // each test takes what it needs
mod registry;
mod restored;
mod shop;
mod space;
mod trap;
mod volumes;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use http::Request;

const IMAGE: &str = "neuropod/demo:latest";
const SECRET: &str = "f2ca1bb6c7e907d06dafe4687e579fce76b37e4e93b7605022da52e6ccc26fd2";

/// What a failure shows: every step of every pod.
const LOG: &str = "warn,neuropod_server::serve=info,neuropod_core::reconcile=debug";

/// One test at a time: two at once would each slow down what the other waits for.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
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
        ("NEUROPOD_BILLING", "unmetered"),
        ("JWT_SECRET", SECRET),
        ("NEUROPOD_PORT_RANGE", ports),
        ("POD_MEMORY_LIMIT", "64Mi"),
        ("RUST_LOG", LOG),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

/// A name that no other test has.
fn unique(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{what}-{}-{n}", std::process::id())
}

async fn sign_in(to: SocketAddr, email: &str) -> String {
    let login = Request::new(to, "POST", "/api/auth/mock-login");
    let answer = login.json(&json!({ "email": email })).send().await;
    answer.json()["token"].as_str().unwrap().to_owned()
}

/// Of the demo image, with a volume, to be launched.
fn a_pod(name: &str) -> Value {
    json!({
        "name": name,
        "deploymentType": "docker",
        "dockerImage": "neuropod/demo",
        "gpu": "cpu",
        "containerDiskSize": 1,
        "volumeDiskSize": 1,
        "ports": "8080",
        "enableJupyter": false,
    })
}
