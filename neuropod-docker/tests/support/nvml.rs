//! NVIDIA's library: this machine's, or the one that plays it.

use std::path::{Path, PathBuf};

use neuropod_docker::Gpus;

/// Whether this machine has GPUs of NVIDIA's.
pub fn is_real() -> bool {
    Path::new("/dev/nvidiactl").exists()
}

/// The GPUs of this machine, or those that are played.
pub fn gpus() -> Gpus {
    if is_real() {
        Gpus::of_this_machine()
    } else {
        Gpus::by_library(stand_in())
    }
}

/// The library that plays NVIDIA's: cargo has built it beside the tests that link it.
pub fn stand_in() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a program");
    let built = test.with_file_name("libneuropod_nvml.so");
    assert!(built.exists(), "{} was not built", built.display());
    built
}
