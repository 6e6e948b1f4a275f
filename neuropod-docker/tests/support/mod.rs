//! A real engine to test with, and everybody else who has a hand in it.

#![allow(dead_code, unreachable_pub)] // each test takes what it needs

pub mod cis;
pub mod fixture;
pub mod hook;
pub mod jupyter;
pub mod nvml;
pub mod private;
pub mod proxy;
pub mod registry;

use std::sync::atomic::{AtomicU64, Ordering};

use bollard::Docker;

/// The image that `cargo xtask test` has put there.
pub const IMAGE: &str = "neuropod/demo:latest";

/// Why there is no engine to test with.
pub const NO_ENGINE: &str = "NEUROPOD_TEST_DOCKER names no engine";

/// The engine of the tests, `unix://…`.
pub fn engine() -> Option<String> {
    std::env::var("NEUROPOD_TEST_DOCKER").ok()
}

/// The engine itself, past everything that is tested.
pub fn docker() -> Docker {
    let host = engine().expect(NO_ENGINE);
    Docker::connect_with_host(&host).expect("the engine of the tests")
}

/// A name that no other test has.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{what}-{}-{n}", std::process::id())
}

/// Whether nothing may be left out.
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true")
}

/// Whether there is an engine. Without one that is said, and in CI it is a failure.
pub fn engine_is_there() -> bool {
    is_given("NEUROPOD_TEST_DOCKER").is_some()
}

/// What a variable names. Without it that is said, and in CI it is a failure.
pub fn is_given(variable: &str) -> Option<String> {
    let given = std::env::var(variable).ok();
    assert!(given.is_some() || !in_ci(), "{variable} is not set");
    if given.is_none() {
        println!("not run: {variable} is not set; `cargo xtask test` sets it");
    }
    given
}
