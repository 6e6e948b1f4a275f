//! The real server on a real Kubernetes cluster, with no more rights than `deploy/kubernetes` gives it.
//!
//! `NEUROPOD_TEST_KUBECONFIG` names the cluster, whose nodes have the demo image: `cargo xtask test` does all that.

#[path = "../docker/client.rs"]
#[allow(dead_code)] // shared with the tests on Docker
mod client;
#[path = "../support/given.rs"]
#[allow(dead_code)]
mod given;
mod gpus;
#[path = "../support/http.rs"]
mod http;
mod kill9;
mod pods;
#[path = "../support/program.rs"]
mod program;
mod there;
mod two;
mod user;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use http::Request;

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

/// The kubeconfig of the administrator, who looks behind the server's back.
fn cluster() -> Option<String> {
    given::given("NEUROPOD_TEST_KUBECONFIG")
}

/// Of a server over this database.
fn settings(database: &str) -> Vec<(&'static str, String)> {
    let kubeconfig = std::env::var("NEUROPOD_TEST_SERVER_KUBECONFIG")
        .or_else(|_| std::env::var("NEUROPOD_TEST_KUBECONFIG"))
        .unwrap();
    [
        ("NEUROPOD_ORCHESTRATOR", "kubernetes"),
        ("KUBECONFIG", &kubeconfig),
        ("NEUROPOD_PUBLIC_HOST", "10.250.0.1"),
        ("DATABASE_URL", database),
        ("NEUROPOD_BILLING", "unmetered"),
        (
            "JWT_SECRET",
            "f2ca1bb6c7e907d06dafe4687e579fce76b37e4e93b7605022da52e6ccc26fd2",
        ),
        ("POD_MEMORY_LIMIT", "64Mi"),
        ("POD_MEMORY_REQUEST", "16Mi"),
        ("POD_CPU_REQUEST", "10m"),
        (
            "RUST_LOG",
            "warn,neuropod_server::serve=info,neuropod_core::reconcile=debug",
        ),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
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
