//! Ends and deletes: the evidence of a run until it is recorded, and everything of a pod.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Resource};
use neuropod_core::id::PodId;
use neuropod_core::orchestrator::State;
use neuropod_core::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::error::{status, unreachable};
use crate::labels::{EVIDENCE, name, ours};
use crate::observe::{self, is_placed};

/// So long a node may take to end what is deleted, before it is deleted without asking the node.
const BY_THE_NODE: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What has run ends and stays; what never ran is removed.
pub(crate) async fn stop(cluster: &Cluster, there: &Pod) -> Result<()> {
    match observe::state(there, Vec::new) {
        // Its node ends it within its grace and keeps its log, which a deletion would not.
        State::Running { .. } => {
            let patch = json!({"spec": {"activeDeadlineSeconds": 1}});
            cluster
                .change("kubernetes stop pod", there, patch)
                .await
                .map(drop)
        }
        State::Exited {
            started_at: Some(_),
            ..
        } => Ok(()),
        // Its node may be starting it just now: if so, that stays to be seen.
        _ if is_placed(there) => delete(cluster, there, Some(1)).await.map(drop),
        _ => pod(cluster, there).await,
    }
}

/// Deletes a Pod; returns when it is gone.
pub(crate) async fn pod(cluster: &Cluster, there: &Pod) -> Result<()> {
    delete(cluster, there, Some(1)).await?;
    let others = there
        .metadata
        .finalizers
        .iter()
        .flatten()
        .filter(|f| *f != EVIDENCE);
    let patch = json!({"metadata": {"finalizers": others.collect::<Vec<_>>()}});
    cluster
        .change("kubernetes release pod", there, patch)
        .await?;
    let (mut deadline, mut forced) = (Instant::now() + BY_THE_NODE, false);
    let (api, called) = (
        cluster.pods(),
        there.metadata.name.clone().unwrap_or_default(),
    );
    loop {
        let found = cluster
            .found("kubernetes get pod", api.get_metadata(&called))
            .await?;
        if found.is_none_or(|found| found.metadata.uid != there.metadata.uid) {
            return Ok(());
        }
        if Instant::now() > deadline {
            if forced {
                let stays = "A pod that was deleted is still there.";
                return Err(Error::unreachable(stays)
                    .during("kubernetes delete pod")
                    .with("pod", called));
            }
            delete(cluster, there, Some(0)).await?;
            (deadline, forced) = (Instant::now() + BY_THE_NODE, true);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn delete(cluster: &Cluster, there: &Pod, grace: Option<u32>) -> Result<()> {
    const OPERATION: &str = "kubernetes delete pod";
    let params = DeleteParams {
        grace_period_seconds: grace,
        preconditions: Some(Preconditions {
            uid: there.metadata.uid.clone(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let (api, called) = (
        cluster.pods(),
        there.metadata.name.clone().unwrap_or_default(),
    );
    match cluster
        .call(OPERATION, api.delete(&called, &params))
        .await?
    {
        Ok(_) => Ok(()),
        // Gone, or another one by now.
        Err(e) if matches!(status(&e), Some(404 | 409)) => Ok(()),
        Err(e) => Err(unreachable(OPERATION, e)),
    }
}

/// Deletes everything of a pod.
pub(crate) async fn purge(cluster: &Cluster, of: PodId) -> Result<()> {
    let pods = cluster
        .all("kubernetes list pods", cluster.pods(), Some(of))
        .await?;
    futures::future::try_join_all(pods.iter().map(|there| pod(cluster, there))).await?;
    cluster
        .reached
        .lock()
        .expect("no panic while held")
        .remove(&of);
    tokio::try_join!(
        object(cluster, "kubernetes delete claim", cluster.claims(), of),
        beside(cluster, of),
    )?;
    Ok(())
}

/// Deletes what leads to a pod.
pub(crate) async fn beside(cluster: &Cluster, of: PodId) -> Result<()> {
    tokio::try_join!(
        object(cluster, "kubernetes delete service", cluster.services(), of),
        object(
            cluster,
            "kubernetes delete ingress",
            cluster.ingresses(),
            of
        ),
        object(cluster, "kubernetes delete policy", cluster.policies(), of),
    )?;
    Ok(())
}

/// Deletes the pod's object of that kind, if it is ours; returns when it is gone.
pub(crate) async fn object<K>(
    cluster: &Cluster,
    operation: &'static str,
    api: Api<K>,
    of: PodId,
) -> Result<()>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    let called = name(of);
    let deadline = Instant::now() + BY_THE_NODE;
    let mut asked = None;
    loop {
        let Some(there) = cluster.found(operation, api.get_metadata(&called)).await? else {
            return Ok(());
        };
        if !ours(&cluster.config, &there.metadata) {
            return Ok(());
        }
        if asked != there.metadata.uid {
            let preconditions = Preconditions {
                uid: there.metadata.uid.clone(),
                resource_version: None,
            };
            let params = DeleteParams {
                preconditions: Some(preconditions),
                ..DeleteParams::background()
            };
            match cluster
                .call(operation, api.delete(&called, &params))
                .await?
            {
                Ok(_) => asked = there.metadata.uid,
                Err(e) if matches!(status(&e), Some(404 | 409)) => {}
                Err(e) => return Err(unreachable(operation, e)),
            }
        } else if Instant::now() > deadline {
            let stays = "Something of a pod that was deleted is still there.";
            return Err(Error::unreachable(stays)
                .during(operation)
                .with("name", called));
        } else {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
