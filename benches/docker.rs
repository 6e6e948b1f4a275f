//! What a launch adds to the two calls that any program makes to have a container: create and start. On a real
//! engine, which `NEUROPOD_TEST_DOCKER` names. Both are in a network of their own, and have a GPU where
//! `NEUROPOD_TEST_GPU_RECORDS` says that the engine takes requests for them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, DeviceRequest, HostConfig, Mount, MountType, MountVolumeOptions,
    NetworkCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptions, ListContainersOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveVolumeOptions,
};
use futures::StreamExt;
use neuropod_benches::counted::Counted;
use neuropod_benches::databases::Folder;
use neuropod_benches::jupyterhub::Hub;
use neuropod_benches::report::{Limit, figure, heading, median};
use neuropod_benches::{Scale, process};
use neuropod_core::auth::Identity;
use neuropod_core::id::{Entropy, PodId};
use neuropod_core::orchestrator::Device;
use neuropod_core::pod::Resources;
use neuropod_core::store::Store;
use neuropod_core::{Launch, Platform, Result};
use neuropod_docker::{Config, DockerOrchestrator, Gpus};
use neuropod_store::SqlStore;

/// The image that `cargo xtask up` and `cargo xtask test` make.
const IMAGE: &str = "neuropod/demo";

/// Enough for the pods of a round and the one that stands there: each has one alone.
const GPUS: u32 = 11;

/// Whether the engine takes requests for GPUs.
fn has_gpus() -> bool {
    std::env::var_os("NEUROPOD_TEST_GPU_RECORDS").is_some()
}

fn gpu(n: u32) -> String {
    format!("GPU-{MARK}-{n}")
}

#[tokio::main]
async fn main() -> Result<()> {
    heading("Launches on Docker");
    let Ok(host) = std::env::var("NEUROPOD_TEST_DOCKER") else {
        println!("  not measured: NEUROPOD_TEST_DOCKER names no engine");
        return Ok(());
    };
    let device = if has_gpus() {
        "a GPU and"
    } else {
        "no GPU, since NEUROPOD_TEST_GPU_RECORDS names no hook that takes it, but"
    };
    println!("  each with {device} a network of its tenant");
    let (rounds, times) = Scale::asked().of((10, 10), (1, 2));
    let folder = Folder::new();
    let docker = Docker::connect_with_host(&host).expect("the address of an engine");
    let serving = Serving::new(&folder, &host).await?;
    let (standing, _) = serving.launch().await?;
    make_network(&docker).await;
    let mut hub = hub(&folder, &host).await;
    let mut hub_took = Vec::new();
    let (mut raw, mut ours) = (Spent::default(), Spent::default());
    // By turns, so that both meet the same engine.
    for _ in 0..rounds {
        let cpu = process::cpu();
        for n in 0..times {
            raw.took.push(create_and_start(&docker, n).await);
        }
        raw.cpu += process::cpu() - cpu;
        let cpu = process::cpu();
        let mut launched = Vec::new();
        for _ in 0..times {
            let (id, took) = serving.launch().await?;
            launched.push(id);
            ours.took.push(took);
        }
        ours.cpu += process::cpu() - cpu;
        for _ in 0..times {
            if let Some(hub) = &mut hub {
                hub_took.push(hub.launch().await);
            }
        }
        remove_raw(&docker).await;
        serving.delete(&launched).await?;
    }
    serving.delete(&[standing]).await?;
    serving.end().await;
    let removed = docker.remove_network(MARK).await;
    removed.expect("nothing is left in it");
    let calls = calls(&host, times).await?;

    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let each = |spent: &Spent| millis(spent.cpu) / spent.took.len() as f64;
    let (raw_took, ours_took) = (millis(median(&raw.took)), millis(median(&ours.took)));
    figure("raw: create and start, median", raw_took, "ms", Limit::None);
    figure(
        "launch until it is recorded, median",
        ours_took,
        "ms",
        Limit::None,
    );
    figure("  added", ours_took - raw_took, "ms", Limit::AtMost(5.0));
    if hub.is_some() {
        let took = millis(median(&hub_took));
        let what = "JupyterHub's launch until it serves, median";
        figure(what, took, "ms", Limit::None);
        figure("  added", took - raw_took, "ms", Limit::None);
    }
    figure(
        "raw: CPU time of this process",
        each(&raw),
        "ms",
        Limit::None,
    );
    let added = each(&ours) - each(&raw);
    figure("  added by a launch", added, "ms", Limit::AtMost(1.0));
    figure("calls of the engine", calls as f64, "", Limit::AtMost(4.0));
    Ok(())
}

/// JupyterHub, if it is to be compared with.
async fn hub(folder: &Folder, host: &str) -> Option<Hub> {
    let Some(installed) = std::env::var_os("NEUROPOD_BENCH_JUPYTERHUB") else {
        println!("  beside no JupyterHub: NEUROPOD_BENCH_JUPYTERHUB does not say where one is");
        return None;
    };
    Some(Hub::start(Path::new(&installed), &folder.0, host, MARK).await)
}

/// The fewest calls of the engine that a launch took: what was there before it may still be looked at meanwhile.
async fn calls(host: &str, launches: u32) -> Result<u64> {
    let folder = Folder::new();
    let counted = Counted::before(host).await;
    let serving = Serving::new(&folder, counted.host()).await?;
    // The tenant's network stands as long as this does.
    let (standing, _) = serving.launch().await?;
    let mut fewest = u64::MAX;
    for _ in 0..launches {
        let before = counted.calls();
        let (id, _) = serving.launch().await?;
        fewest = fewest.min(counted.calls() - before);
        serving.delete(&[id]).await?;
    }
    serving.delete(&[standing]).await?;
    serving.end().await;
    Ok(fewest)
}

#[derive(Debug, Default)]
struct Spent {
    took: Vec<Duration>,
    cpu: Duration,
}

/// What marks the containers that were made without the platform.
const MARK: &str = "np-bench-raw";

async fn make_network(docker: &Docker) {
    let made = docker.create_network(NetworkCreateRequest {
        name: MARK.to_owned(),
        driver: Some("bridge".to_owned()),
        ..NetworkCreateRequest::default()
    });
    made.await.expect("addresses are free");
}

/// Creates and starts what a launch creates: a container with limits, a device, a network and a new volume.
async fn create_and_start(docker: &Docker, n: u32) -> Duration {
    let began = Instant::now();
    let mark = Some([(MARK.to_owned(), String::new())].into());
    let volume = Mount {
        target: Some("/workspace".to_owned()),
        source: Some(format!("{MARK}-{}", PodId::random(&Entropy::system()))),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            labels: mark.clone(),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    };
    let limits = Resources::default();
    let memory = i64::try_from(limits.memory_bytes).ok();
    let body = ContainerCreateBody {
        image: Some(IMAGE.to_owned()),
        labels: mark,
        host_config: Some(HostConfig {
            memory,
            memory_swap: memory,
            nano_cpus: Some(i64::from(limits.cpu_milli) * 1_000_000),
            pids_limit: Some(limits.pids.into()),
            mounts: Some(vec![volume]),
            network_mode: Some(MARK.to_owned()),
            device_requests: has_gpus().then(|| {
                vec![DeviceRequest {
                    driver: Some("nvidia".to_owned()),
                    device_ids: Some(vec![gpu(n)]),
                    capabilities: Some(vec![vec!["gpu".to_owned()]]),
                    ..DeviceRequest::default()
                }]
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let made = docker.create_container(None::<CreateContainerOptions>, body);
    let id = made.await.expect("the engine has the demo image").id;
    let started = docker.start_container(&id, None).await;
    started.expect("the demo image can be started");
    began.elapsed()
}

async fn remove_raw(docker: &Docker) {
    let filters = [("label", vec![MARK])].into();
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    let there = docker.list_containers(Some(options)).await;
    for id in there
        .expect("the engine lists")
        .into_iter()
        .filter_map(|c| c.id)
    {
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        let removed = docker.remove_container(&id, Some(options)).await;
        removed.expect("what was made can be removed");
    }
    let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
    let volumes = docker.list_volumes(Some(options)).await;
    let volumes = volumes.expect("the engine lists").volumes;
    for volume in volumes.unwrap_or_default() {
        let removed = docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>);
        removed.await.expect("what was made can be removed");
    }
}

/// A platform whose loops run.
#[derive(Debug)]
struct Serving {
    platform: Platform,
    store: Arc<dyn Store>,
    end: tokio::sync::oneshot::Sender<()>,
    loops: tokio::task::JoinHandle<()>,
}

impl Serving {
    async fn new(folder: &Folder, host: &str) -> Result<Self> {
        let store: Arc<dyn Store> = Arc::new(SqlStore::open(&folder.url()).await?);
        let config = Config {
            host: Some(host.to_owned()),
            gpus: Gpus::listed((0..if has_gpus() { GPUS } else { 0 }).map(|n| Device {
                id: gpu(n).as_str().into(),
                product: "RTX 4050".to_owned(),
                memory_mib: 6141,
                healthy: true,
            })),
            ..Config::new(store.installation().await?)
        };
        let platform = Platform::builder()
            .store(store.clone())
            .orchestrator(DockerOrchestrator::connect(config).await?)
            .build()
            .await?;
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let driven = platform.clone();
        let loops = tokio::spawn(async move { driven.run(async { drop(ended.await) }).await });
        Ok(Self {
            platform,
            store,
            end,
            loops,
        })
    }

    /// Launches, and waits until the container is recorded as started.
    async fn launch(&self) -> Result<(PodId, Duration)> {
        let mut hints = self.store.changed().await?;
        let began = Instant::now();
        let launch = Launch::image(IMAGE).gpu(if has_gpus() { "rtx-4050" } else { "cpu" });
        let id = self.platform.launch(&Identity::local(), &launch).await?.id;
        loop {
            let pod = self.store.pod(id).await?;
            let run = pod.and_then(|pod| pod.run);
            if run.is_some_and(|run| run.started_at.is_some()) {
                return Ok((id, began.elapsed()));
            }
            hints.next().await;
        }
    }

    /// Deletes these pods, and waits until nothing of them is left.
    async fn delete(&self, pods: &[PodId]) -> Result<()> {
        let mut hints = self.store.changed().await?;
        for id in pods {
            self.platform.delete(&Identity::local(), *id).await?;
        }
        for id in pods {
            while self
                .store
                .pod(*id)
                .await?
                .is_some_and(|pod| !pod.is_tombstone())
            {
                hints.next().await;
            }
        }
        Ok(())
    }

    async fn end(self) {
        let _ = self.end.send(());
        let _ = self.loops.await;
    }
}
