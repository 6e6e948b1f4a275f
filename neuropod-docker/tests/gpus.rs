//! What a backend tells of the GPUs: by NVIDIA's library where there is one, and else by one that plays it.

mod support;

use std::collections::BTreeSet;

use neuropod_core::Orchestrator;
use neuropod_core::orchestrator::Device;
use neuropod_docker::{Config, DockerOrchestrator, Gpus};

use tokio::sync::Mutex;

use support::nvml;
use support::{engine, engine_is_there, unique};

/// What is played is the same for all tests of this process, and one of them breaks it.
static PLAYED: Mutex<()> = Mutex::const_new(());

/// An engine that answers, which a backend asks before it tells its devices.
async fn told(gpus: Gpus) -> Option<(DockerOrchestrator, Vec<Device>)> {
    if !engine_is_there() {
        return None;
    }
    let config = Config {
        host: engine(),
        gpus,
        ..Config::new(unique("gpus"))
    };
    let docker = DockerOrchestrator::connect(config).await;
    let docker = docker.expect("the engine answers");
    let devices = devices(&docker).await;
    Some((docker, devices))
}

async fn devices(docker: &DockerOrchestrator) -> Vec<Device> {
    docker.capacity().await.expect("a capacity").devices
}

#[tokio::test]
async fn every_gpu_is_told_by_its_uuid_and_a_divided_one_by_its_parts() {
    let _whole = PLAYED.lock().await;
    let Some((_, devices)) = told(nvml::gpus()).await else {
        return;
    };
    let ids: BTreeSet<_> = devices.iter().map(|d| d.id.as_str()).collect();
    assert_eq!(ids.len(), devices.len());
    for device in &devices {
        let id = device.id.as_str();
        assert!(id.starts_with("GPU-") || id.starts_with("MIG-"), "{id}");
        assert!(!device.product.is_empty() && device.healthy, "{device:?}");
    }
    if nvml::is_real() {
        return println!("{devices:#?}");
    }
    let known = |d: &Device| (d.id.to_string(), d.product.clone(), d.memory_mib);
    let played = [0, 2, 3].map(|n| &neuropod_nvml::DEVICES[n]);
    let played = played.map(|d| (d.uuid.to_owned(), d.name.to_owned(), d.mib));
    assert_eq!(devices.iter().map(known).collect::<Vec<_>>(), played);
}

/// Only a played GPU can be lost and come back.
#[tokio::test]
async fn a_gpu_that_is_lost_is_told_as_not_healthy_until_it_is_back() {
    let _broken = PLAYED.lock().await;
    let Some((docker, before)) = told(Gpus::by_library(nvml::stand_in())).await else {
        return;
    };
    neuropod_nvml::lose_the_first(true);
    let lost = devices(&docker).await;
    neuropod_nvml::lose_the_first(false);
    let back = devices(&docker).await;
    let mut expected = before.clone();
    expected[0].healthy = false;
    assert_eq!(lost, expected);
    assert_eq!(back, before);
}

#[tokio::test]
async fn without_a_library_there_are_no_gpus() {
    let Some((_, devices)) = told(Gpus::by_library("/nonexistent/libnvidia-ml.so.1")).await else {
        return;
    };
    assert_eq!(devices, []);
}
