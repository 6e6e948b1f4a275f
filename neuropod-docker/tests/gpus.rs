//! What a backend tells of the GPUs: by NVIDIA's library where there is one, and else by one that plays it. And what
//! the containers on a real engine have of them.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use neuropod_core::auth::Identity;
use neuropod_core::billing::Prepaid;
use neuropod_core::conformance::orchestrator::{self as conformance, Image};
use neuropod_core::id::DeviceId;
use neuropod_core::memory::MemoryStore;
use neuropod_core::money::price;
use neuropod_core::orchestrator::{Device, Ensured, Fence, LogQuery, Workload};
use neuropod_core::pod::{Phase, Reason};
use neuropod_core::store::Meter;
use neuropod_core::time::SystemClock;
use neuropod_core::{Clock, Launch, Orchestrator, Platform, Store, Time};
use neuropod_docker::{Config, DockerOrchestrator, Gpus};

use tokio::sync::Mutex;

use support::hook::hook_is_there;
use support::nvml;
use support::{IMAGE, engine, engine_is_there, unique};

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

/// What a container that ends at once finds in its environment.
async fn printed(docker: &DockerOrchestrator, devices: &[&str]) -> String {
    let shell = Image {
        name: IMAGE.to_owned(),
        args: ["sh", "-c", "echo $NVIDIA_VISIBLE_DEVICES"]
            .map(str::to_owned)
            .to_vec(),
    };
    let w = Workload {
        devices: devices.iter().copied().map(DeviceId::from).collect(),
        ..conformance::workload(shell)
    };
    let ensured = docker.ensure(&w, &Fence::open()).await;
    assert_eq!(ensured.expect("ensure"), Ensured::Present);
    let follow = LogQuery {
        follow: true,
        ..LogQuery::default()
    };
    let log = docker.logs(w.run, &follow).await.expect("a log");
    let lines: Vec<_> = log.map(|line| line.expect("a line").text).collect().await;
    docker.purge(w.run.pod).await.expect("purged");
    lines.concat()
}

/// Images made for GPUs ask for all of them by that name, so a container that was given none must refuse.
#[tokio::test]
async fn a_container_sees_the_devices_it_was_given_or_void() {
    let Some((docker, _)) = told(nvml::gpus()).await else {
        return;
    };
    if !hook_is_there() {
        return;
    }
    assert_eq!(printed(&docker, &["GPU-1", "GPU-2"]).await, "GPU-1,GPU-2");
    assert_eq!(printed(&docker, &[]).await, "void");
}

#[tokio::test]
async fn what_a_pod_uses_of_its_gpus_is_told_where_it_can_be_measured() {
    let _whole = PLAYED.lock().await;
    let Some((docker, _)) = told(Gpus::by_library(nvml::stand_in())).await else {
        return;
    };
    if !hook_is_there() {
        return;
    }
    let mib = |n: u64| Some((n * neuropod_nvml::USED_MIB) << 20);
    let percent = Some(neuropod_nvml::PERCENT);
    // A part of a GPU tells its memory only.
    for (devices, expected) in [
        (&[0][..], (percent, mib(1))),
        (&[2], (None, mib(1))),
        (&[0, 3], (None, mib(2))),
        (&[], (None, None)),
    ] {
        let ids = devices.iter().map(|&n| neuropod_nvml::DEVICES[n].uuid);
        let w = Workload {
            devices: ids.map(DeviceId::from).collect(),
            ..conformance::workload(sleeps())
        };
        let ensured = docker.ensure(&w, &Fence::open()).await;
        assert_eq!(ensured.expect("ensure"), Ensured::Present);
        let used = docker.usage(w.run).await.expect("usage");
        docker.purge(w.run.pod).await.expect("purged");
        assert_eq!((used.gpu_percent(), used.gpu_memory_bytes()), expected);
        let told: Vec<_> = used.gpus.iter().map(|gpu| gpu.uuid.as_str()).collect();
        let ids = devices.iter().map(|&n| neuropod_nvml::DEVICES[n].uuid);
        assert_eq!(told, ids.collect::<Vec<_>>());
        for (gpu, &n) in used.gpus.iter().zip(devices) {
            let whole = n == 0;
            let total = neuropod_nvml::DEVICES[n].mib << 20;
            assert_eq!(gpu.memory_total_bytes, Some(total));
            assert_eq!(gpu.celsius, whole.then_some(neuropod_nvml::CELSIUS));
            assert_eq!(gpu.milliwatts, whole.then_some(neuropod_nvml::MILLIWATTS));
        }
    }
}

fn sleeps() -> Image {
    Image {
        name: IMAGE.to_owned(),
        args: ["sleep", "1000000"].map(str::to_owned).to_vec(),
    }
}

/// A clock that a test moves on.
#[derive(Debug, Clone)]
struct Ahead(SystemClock, Arc<AtomicU64>);

impl Clock for Ahead {
    fn now(&self) -> Time {
        self.0.now() + Duration::from_secs(self.1.load(Ordering::Relaxed))
    }
}

/// The platform over it: the run ends with a reason, its owner pays until the last time the GPU was found good, and nobody
/// else gets it.
#[tokio::test]
async fn a_pod_that_loses_its_gpu_is_ended_and_not_charged_since() {
    let _broken = PLAYED.lock().await;
    let Some((docker, _)) = told(Gpus::by_library(nvml::stand_in())).await else {
        return;
    };
    if !hook_is_there() {
        return;
    }
    let store = Arc::new(MemoryStore::new());
    let clock = Ahead(SystemClock::new(), Arc::default());
    let platform = Platform::builder()
        .store(store.clone())
        .orchestrator(docker)
        .billing(Prepaid::new(store.clone()))
        .clock(clock.clone())
        .build();
    let platform = platform.await.expect("a platform");
    let me = Identity::local();
    let ask = || Launch::image(IMAGE).gpu("rtx-4050");
    // Everything that is due within a sweep and a half.
    let sweep = async || {
        for _ in 0..9 {
            clock.1.fetch_add(5, Ordering::Relaxed);
            platform.run_until_idle().await.expect("passes");
        }
    };
    let pod = platform.launch(&me, &ask()).await.expect("launched").id;
    sweep().await;
    let running = platform.pod(&me, pod).await.expect("a pod");
    assert_eq!(running.phase(), Phase::Running, "{running:?}");
    let good = clock.now();
    neuropod_nvml::lose_the_first(true);
    sweep().await;
    sweep().await;
    neuropod_nvml::lose_the_first(false);
    let lost = loop {
        let pod = platform.pod(&me, pod).await.expect("a pod");
        if pod.phase() != Phase::Stopping {
            break pod;
        }
        // The engine ends it in its own time.
        tokio::time::sleep(Duration::from_millis(50)).await;
        sweep().await;
    };
    let next = platform.launch(&me, &ask()).await.expect("launched").id;
    sweep().await;
    let waits = platform.pod(&me, next).await.expect("a pod");
    for id in [pod, next] {
        platform.delete(&me, id).await.expect("deleted");
    }
    sweep().await;

    assert_eq!(
        (lost.phase(), lost.reason),
        (Phase::Error, Some(Reason::GpuLost)),
        "{lost:?}"
    );
    assert_eq!(waits.phase(), Phase::Queued, "{waits:?}");
    // The engine's clock does not move with ours, so that this is less than the core's own tests see to the millionth.
    let run = Meter::Run(pod, lost.last_run);
    let paid = store.meters(&[run]).await.expect("what was posted");
    let paid = paid[0].as_ref().expect("it was charged");
    let from = running.run.as_ref().and_then(|run| run.charged_from);
    let most = price(running.terms.run_rate, good.since(from.expect("it ran")));
    assert!(paid.closed && paid.total <= most, "{paid:?} of {most}");
}
