//! [`DockerOrchestrator`]: the contract of [`Orchestrator`] over one engine.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::try_join_all;
use futures::stream::{self, BoxStream};
use neuropod_core::Result;
use neuropod_core::id::{PodId, RunId};
use neuropod_core::orchestrator::{
    Capacity, Ensured, Fence, Found, LogLine, LogQuery, Orchestrator, Seen, Usage, Workload,
};

use crate::config::Config;
use crate::convert::{self, POD};
use crate::engine::{Engine, VolumeThere, Which};
use crate::launch::{self, Starts};
use crate::pull::Pulls;
use crate::ready::Ready;
use crate::stop::{self, Stops};
use crate::usage::Usages;
use crate::{jupyter, log, network, watch};

/// Runs containers on one Docker engine.
///
/// A container is `np-<pod>-<run>` and carries the installation, pod, run, key and generation as labels; a volume is
/// `np-<pod>`; a tenant's network is `np-<hash>`, a bridge of that name. Nothing without this installation's label is
/// ever touched. A line of a log longer than 1 MiB is cut.
///
/// ```no_run
/// # async fn connect(store: std::sync::Arc<dyn neuropod_core::Store>) -> neuropod_core::Result<()> {
/// use neuropod_core::Platform;
/// use neuropod_docker::{Config, DockerOrchestrator};
///
/// let docker = DockerOrchestrator::connect(Config {
///     bind: "0.0.0.0".to_owned(), // pods can be reached from other machines, under this name
///     public_host: "gpu1.example.com".to_owned(),
///     ..Config::new(store.installation().await?)
/// });
/// let platform = Platform::builder().orchestrator(docker.await?).store(store).build().await?;
/// # drop(platform);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct DockerOrchestrator {
    engine: Engine,
    pulls: Pulls,
    starts: Starts,
    stops: Stops,
    ready: Ready,
    usages: Usages,
}

impl DockerOrchestrator {
    /// Connects, and asks the engine whether it is there.
    ///
    /// # Errors
    /// `Unreachable` if it does not answer.
    pub async fn connect(config: Config) -> Result<Self> {
        let docker = Self {
            engine: Engine::new(config)?,
            pulls: Pulls::default(),
            starts: Starts::default(),
            stops: Stops::default(),
            ready: Ready::default(),
            usages: Usages::default(),
        };
        docker.engine.now().await?;
        network::look_after(&docker.engine).await?;
        Ok(docker)
    }

    /// Whether the engine answers.
    ///
    /// # Errors
    /// `Unreachable` if not.
    pub async fn ping(&self) -> Result<()> {
        self.engine.ping().await
    }

    async fn delete(&self, id: &str) -> Result<()> {
        self.ready.forget(id);
        self.engine.delete(id).await
    }
}

#[async_trait]
impl Orchestrator for DockerOrchestrator {
    async fn ensure(&self, workload: &Workload, fence: &Fence) -> Result<Ensured> {
        launch::ensure(&self.engine, &self.pulls, &self.starts, workload, fence).await
    }

    async fn stop(&self, run: RunId, grace: Duration) -> Result<()> {
        self.pulls.leave(run);
        match self.engine.of_run(run).await? {
            Some(container) => stop::stop(&self.engine, &self.stops, container, grace).await,
            None => Ok(()),
        }
    }

    async fn remove(&self, run: RunId) -> Result<()> {
        self.pulls.leave(run);
        match self.engine.of_run(run).await? {
            Some(container) => self.delete(&container.id).await,
            None => Ok(()),
        }
    }

    async fn purge(&self, pod: PodId) -> Result<()> {
        self.pulls.leave_all(pod);
        self.usages.forget_pod(pod);
        let mut was_in = HashSet::new();
        for container in self.engine.listed(Which::OfPod(pod)).await? {
            was_in.extend(container.labels.as_ref().and_then(convert::network));
            self.delete(&container.id.unwrap_or_default()).await?;
        }
        let volumes = self.engine.volumes(Which::OfPod(pod)).await?;
        let name = convert::volume_name(pod);
        for volume in volumes.iter().filter(|v| v.name == name) {
            was_in.extend(convert::network(&volume.labels));
            self.engine.delete_volume(pod).await?;
        }
        network::leave(&self.engine, pod, &was_in).await
    }

    async fn observe(&self, pod: PodId) -> Result<Seen> {
        let mut containers = self.engine.containers(Which::OfPod(pod)).await?;
        // After the containers: what they have is there.
        let volume = self.engine.volume_with(pod, &containers).await?;
        let engine = &self.engine;
        let looks = containers.iter_mut().map(|c| async {
            self.ready.look(c).await;
            jupyter::look(engine, c).await
        });
        try_join_all(looks).await?;
        Ok(Seen {
            at: self.engine.now().await?,
            instances: containers.into_iter().map(|c| c.instance).collect(),
            volume: match volume {
                VolumeThere::Ours(id) => Some(id),
                VolumeThere::Foreign | VolumeThere::No => None,
            },
        })
    }

    async fn list(&self) -> Result<BoxStream<'static, Result<Found>>> {
        // Before what may be in them: a network that is being joined is no reason to do anything.
        let networks = network::look_after(&self.engine).await?;
        let volumes = self.engine.volumes(Which::All).await?;
        let (instances, mut used) = self.engine.instances().await?;
        let mut found: Vec<Found> = instances
            .into_iter()
            .map(|instance| Found {
                pod: instance.run.pod,
                instance: Some(instance),
            })
            .collect();
        let with_container: HashSet<PodId> = found.iter().map(|f| f.pod).collect();
        used.extend(volumes.iter().filter_map(|v| convert::network(&v.labels)));
        let volumes = volumes.iter().filter_map(|v| v.labels.get(POD));
        let volumes = volumes.filter_map(|pod| pod.parse().ok());
        let unused = networks.into_iter().filter(|n| !used.contains(&n.name));
        let alone = volumes.chain(unused.map(|n| n.pod));
        found.extend(
            alone
                .filter(|pod| !with_container.contains(pod))
                .map(|pod| Found {
                    pod,
                    instance: None,
                }),
        );
        Ok(stream::iter(found.into_iter().map(Ok)).boxed())
    }

    async fn watch(&self) -> Result<BoxStream<'static, PodId>> {
        watch::watch(&self.engine, self.pulls.ended()).await
    }

    async fn logs(
        &self,
        run: RunId,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine>>> {
        log::stream(&self.engine, run, query).await
    }

    async fn usage(&self, run: RunId) -> Result<Usage> {
        self.usages.of(&self.engine, run).await
    }

    async fn capacity(&self) -> Result<Capacity> {
        self.ping().await?;
        let Engine {
            config,
            guard,
            disk,
            ..
        } = &self.engine;
        let mut caveats = [
            disk.caveat(),
            "Pods reach every other machine that the engine's host reaches, in its local network too.",
        ]
        .map(str::to_owned)
        .to_vec();
        caveats.extend(guard.caveats());
        if config.publishes_widely() {
            caveats.push(format!(
                "Ports of pods are published on {}: whoever reaches that address reaches the pods.",
                config.bind
            ));
        }
        Ok(Capacity {
            devices: config.gpus.devices().await,
            needs_host_ports: true,
            disk_limit: disk.is_kept(),
            caveats,
            ..Capacity::default()
        })
    }
}
