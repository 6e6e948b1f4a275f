//! [`KubernetesOrchestrator`]: the contract of [`Orchestrator`] over a cluster.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryFutureExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use neuropod_core::Result;
use neuropod_core::id::{PodId, RunId};
use neuropod_core::orchestrator::{
    Capacity, Ensured, Fence, Found, Instance, Interactive, LogLine, LogQuery, Orchestrator, Seen,
    Usage, Workload,
};

use crate::cluster::Cluster;
use crate::config::Config;
use crate::exec::Terminal;
use crate::ready::Ready;
use crate::{expose, labels, launch, log, observe, remove, usage, watch};

/// Runs containers on a Kubernetes cluster.
///
/// A Pod is `np-<pod>-<run>` and carries the installation, pod, run, key and generation as labels; `np-<pod>` are its
/// claim, service, ingress and network policy, which belong to the pod and outlive its runs. Nothing without this
/// installation's label is ever touched. A finalizer keeps a Pod that has ended until its end is recorded.
///
/// ```no_run
/// # async fn connect(store: std::sync::Arc<dyn neuropod_core::Store>) -> neuropod_core::Result<()> {
/// use neuropod_core::Platform;
/// use neuropod_k8s::{Config, KubernetesOrchestrator};
///
/// let cluster = KubernetesOrchestrator::connect(Config {
///     namespace: "pods".to_owned(),
///     public_host: "node1.example.com".to_owned(), // where the nodes' ports are reached
///     ..Config::new(store.installation().await?)
/// });
/// let platform = Platform::builder().orchestrator(cluster.await?).store(store).build().await?;
/// # drop(platform);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct KubernetesOrchestrator {
    cluster: Cluster,
    ready: Ready,
}

impl KubernetesOrchestrator {
    /// Connects, and asks the cluster whether it is there.
    ///
    /// # Errors
    /// `Unreachable` if it does not answer, or none was found.
    pub async fn connect(config: Config) -> Result<Self> {
        let cluster = Cluster::connect(config).await?;
        cluster.ping().await?;
        Ok(Self {
            cluster,
            ready: Ready::default(),
        })
    }

    /// Whether the cluster answers.
    ///
    /// # Errors
    /// `Unreachable` if not.
    pub async fn ping(&self) -> Result<()> {
        self.cluster.ping().await.map(drop)
    }

    async fn instance(&self, pod: &Pod) -> Result<Option<Instance>> {
        let Some((run, generation)) = labels::run_of(&pod.metadata) else {
            return Ok(None);
        };
        let reached = self.reached(run.pod, pod).await?;
        let config = &self.cluster.config;
        let endpoints = || expose::endpoints(config, run.pod, pod, reached.as_ref());
        let state = observe::state(pod, endpoints);
        Ok(Some(Instance {
            run,
            generation,
            state,
        }))
    }

    /// How the pod is reached, where its service has to be asked for it.
    async fn reached(&self, id: PodId, pod: &Pod) -> Result<Option<expose::Reached>> {
        let cluster = &self.cluster;
        if !expose::needs_service(&cluster.config, pod) {
            return Ok(None);
        }
        let known = cluster
            .reached
            .lock()
            .expect("no panic while held")
            .get(&id)
            .cloned();
        if known.is_some() {
            return Ok(known);
        }
        let (api, name) = (cluster.services(), labels::name(id));
        let service = cluster
            .found("kubernetes get service", api.get(&name))
            .await?;
        let service = service.filter(|service| labels::ours(&cluster.config, &service.metadata));
        let reached = service.and_then(|service| expose::reached(&cluster.config, &service));
        if let Some(reached) = &reached {
            cluster
                .reached
                .lock()
                .expect("no panic while held")
                .insert(id, reached.clone());
        }
        Ok(reached)
    }
}

#[async_trait]
impl Orchestrator for KubernetesOrchestrator {
    async fn ensure(&self, workload: &Workload, fence: &Fence) -> Result<Ensured> {
        launch::ensure(&self.cluster, workload, fence).await
    }

    /// The grace is the one that the run was ensured with: a cluster can't change it afterwards.
    async fn stop(&self, run: RunId, _grace: Duration) -> Result<()> {
        match self.cluster.of_run(run).await? {
            Some(pod) => remove::stop(&self.cluster, &pod).await,
            None => Ok(()),
        }
    }

    async fn remove(&self, run: RunId) -> Result<()> {
        self.cluster
            .tried
            .lock()
            .expect("no panic while held")
            .remove(&run);
        match self.cluster.of_run(run).await? {
            Some(pod) => remove::pod(&self.cluster, &pod).await,
            None => Ok(()),
        }
    }

    async fn purge(&self, pod: PodId) -> Result<()> {
        self.cluster
            .tried
            .lock()
            .expect("no panic while held")
            .retain(|run| run.pod != pod);
        remove::purge(&self.cluster, pod).await
    }

    async fn observe(&self, pod: PodId) -> Result<Seen> {
        let cluster = &self.cluster;
        let (claims, name) = (cluster.claims(), labels::name(pod));
        let (pods, claim) = tokio::try_join!(
            cluster.all("kubernetes list pods", cluster.pods(), Some(pod)),
            cluster.found("kubernetes get claim", claims.get_metadata(&name)),
        )?;
        let looks = pods.iter().map(|pod| async move {
            let mut instance = self.instance(pod).await?;
            if let Some(instance) = &mut instance {
                self.ready.look(pod, &mut instance.state).await;
            }
            Ok(instance)
        });
        let instances: Result<Vec<_>> = join_all(looks).await.into_iter().collect();
        let volume = claim.map(|claim| claim.metadata);
        let volume = volume.filter(|claim| {
            labels::ours(&cluster.config, claim) && claim.deletion_timestamp.is_none()
        });
        Ok(Seen {
            at: cluster.now().await?,
            instances: instances?.into_iter().flatten().collect(),
            volume: volume.and_then(|claim| claim.uid),
        })
    }

    async fn list(&self) -> Result<BoxStream<'static, Result<Found>>> {
        let cluster = &self.cluster;
        let meta = |meta: ObjectMeta| labels::pod_of(&meta);
        // Before what they belong to: what is being made is no reason to do anything.
        let (claims, services, ingresses, policies) = tokio::try_join!(
            cluster
                .all("kubernetes list claims", cluster.claims(), None)
                .map_ok(|all| {
                    all.into_iter()
                        .filter_map(|o| meta(o.metadata))
                        .collect::<Vec<_>>()
                }),
            cluster.all("kubernetes list services", cluster.services(), None),
            cluster
                .all("kubernetes list ingresses", cluster.ingresses(), None)
                .map_ok(|all| {
                    all.into_iter()
                        .filter_map(|o| meta(o.metadata))
                        .collect::<Vec<_>>()
                }),
            cluster
                .all("kubernetes list policies", cluster.policies(), None)
                .map_ok(|all| {
                    all.into_iter()
                        .filter_map(|o| meta(o.metadata))
                        .collect::<Vec<_>>()
                }),
        )?;
        {
            let mut reached = cluster.reached.lock().expect("no panic while held");
            for service in &services {
                if let (Some(pod), Some(found)) = (
                    labels::pod_of(&service.metadata),
                    expose::reached(&cluster.config, service),
                ) {
                    reached.insert(pod, found);
                }
            }
        }
        let pods = cluster
            .all("kubernetes list pods", cluster.pods(), None)
            .await?;
        let there: HashSet<_> = pods
            .iter()
            .filter_map(|pod| pod.metadata.uid.as_deref())
            .collect();
        self.ready.keep(|uid| there.contains(uid));
        let mut found = Vec::with_capacity(pods.len());
        for pod in &pods {
            if let Some(mut instance) = self.instance(pod).await? {
                self.ready.told(pod, &mut instance.state);
                found.push(Found {
                    pod: instance.run.pod,
                    instance: Some(instance),
                });
            }
        }
        let mut seen: HashSet<PodId> = found.iter().map(|f| f.pod).collect();
        let services = services.into_iter().filter_map(|o| meta(o.metadata));
        let alone = claims
            .into_iter()
            .chain(services)
            .chain(ingresses)
            .chain(policies);
        found.extend(alone.filter(|pod| seen.insert(*pod)).map(|pod| Found {
            pod,
            instance: None,
        }));
        Ok(stream::iter(found.into_iter().map(Ok)).boxed())
    }

    async fn watch(&self) -> Result<BoxStream<'static, PodId>> {
        watch::watch(&self.cluster).await
    }

    async fn logs(
        &self,
        run: RunId,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine>>> {
        log::stream(&self.cluster, run, query).await
    }

    async fn usage(&self, run: RunId) -> Result<Usage> {
        usage::usage(&self.cluster, run).await
    }

    async fn capacity(&self) -> Result<Capacity> {
        self.ping().await?;
        self.cluster.freshness.check()?;
        let mut caveats = vec![
            "A cluster limits processes for all pods of a node alike: its kubelets' podPidsLimit."
                .to_owned(),
            "Pods are kept apart by network policies, which only some network plugins enforce."
                .to_owned(),
            "Pods reach whatever the cluster lets pods reach, in its own network too.".to_owned(),
            "A log does not tell standard error apart, and has no more than its last file."
                .to_owned(),
            "Jupyter is not started beside the image's program.".to_owned(),
        ];
        if self.cluster.config.exposure == crate::Exposure::NodePort {
            caveats.push(
                "Ports of pods are published on every node: whoever reaches one reaches the pods."
                    .to_owned(),
            );
        }
        Ok(Capacity {
            places_itself: true,
            disk_limit: true,
            caveats,
            ..Capacity::default()
        })
    }

    fn interactive(&self) -> Option<Arc<dyn Interactive>> {
        Some(Arc::new(Terminal(self.cluster.clone())))
    }
}
