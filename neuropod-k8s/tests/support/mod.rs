//! A real cluster to test with, and everybody else who has a hand in it.

#![allow(dead_code, unreachable_pub)] // each test takes what it needs

pub mod fixture;
pub mod proxy;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

/// The image that `cargo xtask test` has put on the nodes.
pub const IMAGE: &str = "docker.io/neuropod/demo:latest";
/// Where everything is made.
pub const NAMESPACE: &str = "default";
/// Why there is no cluster to test with.
pub const NO_CLUSTER: &str = "NEUROPOD_TEST_KUBECONFIG names no cluster";

/// The kubeconfig of the tests' cluster.
pub fn kubeconfig() -> Option<PathBuf> {
    std::env::var_os("NEUROPOD_TEST_KUBECONFIG").map(PathBuf::from)
}

/// The one of a server, with no more rights than it needs; the administrator's on a cluster of somebody's own.
pub fn server_kubeconfig() -> Option<PathBuf> {
    let given = std::env::var_os("NEUROPOD_TEST_SERVER_KUBECONFIG").map(PathBuf::from);
    given.or_else(kubeconfig)
}

/// The containerds of the cluster's nodes, if it is the one that `cargo xtask` has started.
pub fn containerds() -> Option<Vec<String>> {
    let named = std::env::var("NEUROPOD_TEST_CONTAINERDS").ok()?;
    Some(named.split(',').map(str::to_owned).collect())
}

/// The cluster itself, past everything that is tested.
pub async fn client() -> Client {
    let file = kubeconfig().expect(NO_CLUSTER);
    let read = Kubeconfig::read_from(file).expect("a kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a kubeconfig")).expect("a client")
}

/// A name that no other test has.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{what}-{}-{n}", std::process::id())
}

/// Whether there is a cluster. Without one that is said, and in CI it is a failure.
pub fn cluster_is_there() -> bool {
    let there = kubeconfig().is_some();
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(there || !in_ci, "{NO_CLUSTER}");
    if !there {
        println!("not run: {NO_CLUSTER}; `cargo xtask test` does");
    }
    there
}
