//! The calls to the engine, each with its own deadline. What is absent is `None`; what is unknown is an error.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;

use bollard::Docker;
use bollard::errors::Error as DockerError;
use bollard::models::{ContainerInspectResponse, ContainerSummary, Volume};
use bollard::query_parameters::{
    InspectContainerOptions, InspectContainerOptionsBuilder, InspectNetworkOptions,
    ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptions, WaitContainerOptionsBuilder,
};
use futures::{StreamExt, TryStreamExt, stream};
use neuropod_core::id::{PodId, RunId};
use neuropod_core::orchestrator::Instance;
use neuropod_core::time::Time;
use neuropod_core::{Error, Result};

use crate::config::Config;
use crate::connection;
use crate::convert::{self, INSTANCE, KEY, NETWORK, POD};
use crate::df;
use crate::disk::DiskLimit;
use crate::error::{status, unreachable};
use crate::guard::Guard;
use crate::known::Known;
use crate::network::Networks;
use crate::time::{EngineTime, wall};

/// So many containers are inspected at the same time.
const AT_ONCE: usize = 16;

/// One engine, as one installation sees it.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) docker: Docker,
    address: Arc<str>,
    pub(crate) config: Arc<Config>,
    pub(crate) known: Known,
    pub(crate) disk: DiskLimit,
    pub(crate) networks: Networks,
    pub(crate) guard: Guard,
    time: EngineTime,
}

/// Which containers or volumes of this installation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which<'a> {
    All,
    OfPod(PodId),
    OfRun(RunId),
    /// Of the tenant whose network has this name.
    InNetwork(&'a str),
}

/// A container of ours: what the engine says, and what that means.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) inspected: ContainerInspectResponse,
    pub(crate) instance: Instance,
}

/// The volume by a pod's name.
#[derive(Debug, PartialEq)]
pub(crate) enum VolumeThere {
    No,
    /// With its identity.
    Ours(String),
    Foreign,
}

impl Engine {
    pub(crate) fn new(config: Config) -> Result<Self> {
        let address = connection::address(config.host.as_deref());
        let docker = connection::connect(&address);
        Ok(Self {
            docker: docker.map_err(|e| unreachable("docker connect", e))?,
            address: address.into(),
            config: Arc::new(config),
            known: Known::default(),
            disk: DiskLimit::default(),
            networks: Networks::default(),
            guard: Guard::default(),
            time: EngineTime::default(),
        })
    }

    pub(crate) async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = T>,
    ) -> Result<T> {
        tokio::time::timeout(self.config.deadline, call)
            .await
            .map_err(|_| Error::unreachable("The Docker engine took too long.").during(operation))
    }

    /// What must succeed.
    pub(crate) async fn done<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, DockerError>>,
    ) -> Result<T> {
        let answer = self.call(operation, call).await?;
        answer.map_err(|e| unreachable(operation, e))
    }

    /// What is absent is `None`.
    pub(crate) async fn found<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, DockerError>>,
    ) -> Result<Option<T>> {
        match self.call(operation, call).await? {
            Ok(found) => Ok(Some(found)),
            Err(e) if status(&e) == Some(404) => Ok(None),
            Err(e) => Err(unreachable(operation, e)),
        }
    }

    pub(crate) async fn ping(&self) -> Result<()> {
        self.done("docker ping", self.docker.ping()).await.map(drop)
    }

    /// The engine's time of day; whoever asks it learns on the way what its storage can.
    pub(crate) async fn now(&self) -> Result<Time> {
        if let Some(now) = self.time.now() {
            return Ok(now);
        }
        let before = wall();
        let info = self.done("docker info", self.docker.info()).await?;
        self.disk.learn(&info);
        let told = info.system_time.and_then(|t| t.parse().ok());
        let told = told.ok_or_else(|| Error::unreachable("The Docker engine tells no time."))?;
        self.time.compare(before, told, wall());
        Ok(told)
    }

    pub(crate) async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>> {
        let none = None::<InspectContainerOptions>;
        let call = self.docker.inspect_container(id, none);
        self.found("docker inspect", call).await
    }

    /// The bytes on a container's own disk, which the engine adds up.
    pub(crate) async fn size(&self, id: &str) -> Result<Option<u64>> {
        let size = InspectContainerOptionsBuilder::new().size(true).build();
        let call = self.docker.inspect_container(id, Some(size));
        let seen = self.found("docker inspect --size", call).await?;
        let size = seen.and_then(|seen| seen.size_rw);
        Ok(size.and_then(|size| u64::try_from(size).ok()))
    }

    /// The bytes on each volume, by its name, which the engine adds up.
    pub(crate) async fn sizes_of_volumes(&self) -> Result<HashMap<String, u64>> {
        self.call("docker system df", df::sizes(&self.address))
            .await?
    }

    /// A filter for what carries these labels beside ours.
    pub(crate) fn filters(&self, which: Which<'_>) -> HashMap<String, Vec<String>> {
        let mut labels = vec![format!("{INSTANCE}={}", self.config.installation)];
        match which {
            Which::All => {}
            Which::OfPod(pod) => labels.push(format!("{POD}={pod}")),
            Which::OfRun(run) => {
                labels.push(format!("{POD}={}", run.pod));
                labels.push(format!("{KEY}={}", run.key));
            }
            Which::InNetwork(name) => labels.push(format!("{NETWORK}={name}")),
        }
        HashMap::from([("label".to_owned(), labels)])
    }

    pub(crate) async fn listed(&self, which: Which<'_>) -> Result<Vec<ContainerSummary>> {
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&self.filters(which))
            .build();
        let call = self.docker.list_containers(Some(options));
        self.done("docker ps", call).await
    }

    async fn ids(&self, which: Which<'_>) -> Result<Vec<String>> {
        let listed = self.listed(which).await?;
        Ok(listed.into_iter().filter_map(|c| c.id).collect())
    }

    pub(crate) async fn volumes(&self, which: Which<'_>) -> Result<Vec<Volume>> {
        let options = ListVolumesOptionsBuilder::new().filters(&self.filters(which));
        let call = self.docker.list_volumes(Some(options.build()));
        let listed = self.done("docker volume ls", call).await?;
        Ok(listed.volumes.unwrap_or_default())
    }

    /// Every container, each looked at now.
    pub(crate) async fn containers(&self, which: Which<'_>) -> Result<Vec<Container>> {
        let ids = self.ids(which).await?;
        self.inspect_all(ids).await
    }

    /// Every instance of this installation, and the networks that they are in. What runs on since it was inspected is
    /// not inspected again.
    pub(crate) async fn instances(&self) -> Result<(Vec<Instance>, HashSet<String>)> {
        let listed = self.listed(Which::All).await?;
        let (mut instances, mut others) = (Vec::with_capacity(listed.len()), Vec::new());
        for container in &listed {
            match self.known.running(container) {
                Some(instance) => instances.push(instance),
                None => others.extend(container.id.clone()),
            }
        }
        let labels = listed.iter().filter_map(|c| c.labels.as_ref());
        let networks = labels.filter_map(convert::network).collect();
        let there: HashSet<_> = listed.into_iter().filter_map(|c| c.id).collect();
        self.known.keep(|id| there.contains(id));
        let others = self.inspect_all(others).await?;
        instances.extend(others.into_iter().map(|c| c.instance));
        Ok((instances, networks))
    }

    async fn inspect_all(&self, ids: Vec<String>) -> Result<Vec<Container>> {
        let inspects = ids.into_iter().map(|id| {
            let engine = self.clone();
            async move { Ok((engine.inspect(&id).await?, id)) }
        });
        let inspected = stream::iter(inspects).buffered(AT_ONCE);
        let inspected: Vec<_> = inspected.try_collect::<Vec<_>>().await?;
        let mut all = Vec::with_capacity(inspected.len());
        for (inspected, id) in inspected {
            if let Some(inspected) = inspected {
                all.extend(self.container(id, inspected).await?);
            }
        }
        Ok(all)
    }

    /// What the engine says about a container, understood; `None` if it is not ours.
    pub(crate) async fn container(
        &self,
        id: String,
        inspected: ContainerInspectResponse,
    ) -> Result<Option<Container>> {
        let engine_started = if convert::may_be_unobserved(&inspected) {
            self.started().await?
        } else {
            None
        };
        let Some(instance) = convert::instance(&self.config, &inspected, engine_started) else {
            return Ok(None);
        };
        self.known.inspected(&id, &inspected, &instance);
        Ok(Some(Container {
            id,
            inspected,
            instance,
        }))
    }

    /// The container of exactly that run.
    pub(crate) async fn of_run(&self, run: RunId) -> Result<Option<Container>> {
        let mut all = self.containers(Which::OfRun(run)).await?.into_iter();
        Ok(all.find(|c| c.instance.run == run))
    }

    /// When the engine started: it makes its default network anew each time. Earlier than that where containers
    /// outlived a restart, and unknown where there is no such network.
    async fn started(&self) -> Result<Option<Time>> {
        let none = None::<InspectNetworkOptions>;
        let call = self.docker.inspect_network("bridge", none);
        let network = self.found("docker network inspect", call).await?;
        let created = network.and_then(|n| n.created);
        Ok(created.and_then(|created| created.parse().ok()))
    }

    /// Deletes a container and what volumes without a name its image made; returns when it is gone.
    pub(crate) async fn delete(&self, id: &str) -> Result<()> {
        self.known.forget(id);
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true);
        let call = self.docker.remove_container(id, Some(options.build()));
        match self.call("docker rm", call).await? {
            Ok(()) => Ok(()),
            Err(e) if status(&e) == Some(404) => Ok(()),
            // Another removal of it is under way.
            Err(e) if status(&e) == Some(409) => {
                let removed = WaitContainerOptionsBuilder::new().condition("removed");
                let wait = self.docker.wait_container(id, Some(removed.build()));
                let all = wait.map(drop).collect::<Vec<()>>();
                self.call("docker wait", all).await.map(drop)
            }
            Err(e) => Err(unreachable("docker rm", e)),
        }
    }

    pub(crate) async fn volume(&self, pod: PodId) -> Result<VolumeThere> {
        let name = convert::volume_name(pod);
        let call = self.docker.inspect_volume(&name);
        let found: Option<Volume> = self.found("docker volume inspect", call).await?;
        Ok(match found {
            None => VolumeThere::No,
            Some(volume) => convert::volume(&self.config, &volume),
        })
    }

    /// The volume of a pod with these containers.
    pub(crate) async fn volume_with(
        &self,
        pod: PodId,
        containers: &[Container],
    ) -> Result<VolumeThere> {
        let mut known = containers.iter().filter_map(|c| self.known.volume(&c.id));
        if let Some(identity) = known.next() {
            return Ok(VolumeThere::Ours(identity));
        }
        let there = self.volume(pod).await?;
        if let VolumeThere::Ours(identity) = &there {
            for container in containers
                .iter()
                .filter(|c| convert::mounts(&c.inspected, pod))
            {
                self.known.has_volume(&container.id, identity);
            }
        }
        Ok(there)
    }

    pub(crate) async fn delete_volume(&self, pod: PodId) -> Result<()> {
        let name = convert::volume_name(pod);
        let none = None::<RemoveVolumeOptions>;
        let call = self.docker.remove_volume(&name, none);
        self.found("docker volume rm", call).await.map(drop)
    }
}
