//! One step nearer to a running Pod.
//!
//! A Pod can't be created without being started, so it is created behind a scheduling gate: no scheduler touches it until
//! the gate is taken away, which is done to that very object and only after its fence has let it.

use futures::{StreamExt, TryFutureExt};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{PostParams, WatchEvent, WatchParams};
use kube::{Api, Resource};
use neuropod_core::orchestrator::{Ensured, ExitCause, Fence, State, Workload};
use neuropod_core::{Error, ErrorKind, Refusal, Result, RetryCause};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::cluster::Cluster;
use crate::error::{not_made, status, unreachable};
use crate::labels::{HASH, MADE_BY, label, names, ours, pod_of};
use crate::manifest::REFUSED;
use crate::observe::{self, is_gated, is_leaving, is_placed, is_unschedulable};
use crate::{expose, image, manifest, remove};

const TAKEN: &str = "The names that the pod could have on the cluster are taken by something else.";

pub(crate) async fn ensure(cluster: &Cluster, w: &Workload, fence: &Fence) -> Result<Ensured> {
    image::check(&w.image)?;
    find_volume(cluster, w).await?;
    let first = cluster
        .tried
        .lock()
        .expect("no panic while held")
        .insert(w.run);
    let (pod, companions) = if first {
        // What is beside the Pod waits for nothing, and the Pod starts only behind its gate.
        let (pod, companions) = tokio::join!(create(cluster, w), companions(cluster, w));
        (pod?, companions)
    } else {
        let pod = create(cluster, w).await?;
        // Its gate was taken away when everything else was there.
        let companions = match is_gated(&pod) {
            true => companions(cluster, w).await,
            false => Ok(()),
        };
        (pod, companions)
    };
    if let Err(error) = companions {
        return Err(undo(cluster, w, &pod, error).await);
    }
    if let Some(ensured) = standing(&pod)? {
        return Ok(ensured);
    }
    if !w.devices.is_empty() && w.device_request.is_none() {
        let error = Error::new(
            ErrorKind::Retry(RetryCause::GpuAdmission),
            "A cluster places GPUs itself: none can be asked for by its UUID.",
        );
        return Err(undo(cluster, w, &pod, error).await);
    }
    let started = if is_gated(&pod) {
        if !fence.holds().await? {
            return Ok(Ensured::Fenced);
        }
        match open(cluster, &pod).await? {
            Some(started) => started,
            None => return Ok(Ensured::Fenced),
        }
    } else {
        pod
    };
    until_started(cluster, w, started).await
}

/// What a Pod that is there comes to; `None` if it has not started.
fn standing(pod: &Pod) -> Result<Option<Ensured>> {
    let cause = match observe::state(pod, Vec::new) {
        State::Pending { .. } => return Ok(None),
        State::Exited {
            started_at: None,
            cause,
            ..
        } => cause,
        _ => return Ok(Some(Ensured::Present)),
    };
    let kind = match cause {
        ExitCause::Retry(cause) => ErrorKind::Retry(cause),
        ExitCause::Refused(refusal) => ErrorKind::Refused(refusal),
        // Somebody has ended it before it began.
        _ => return Ok(Some(Ensured::Present)),
    };
    Err(Error::new(kind, "The cluster could not start the pod."))
}

/// A later run's volume must be the one that the pod had.
async fn find_volume(cluster: &Cluster, w: &Workload) -> Result<()> {
    let Some(id) = w.volume.as_ref().and_then(|v| v.id.as_ref()) else {
        return Ok(());
    };
    match claim(cluster, w).await? {
        Some(there) if !ours(&cluster.config, &there.metadata) => Err(name_taken()),
        Some(there)
            if there.metadata.uid.as_ref() == Some(id)
                && there.metadata.deletion_timestamp.is_none() =>
        {
            Ok(())
        }
        _ => Err(Error::new(
            ErrorKind::Refused(Refusal::VolumeLost),
            "The pod's volume is gone, or is not the one it had.",
        )),
    }
}

async fn claim(cluster: &Cluster, w: &Workload) -> Result<Option<PersistentVolumeClaim>> {
    let (api, name) = (cluster.claims(), crate::labels::name(w.run.pod));
    cluster.found("kubernetes get claim", api.get(&name)).await
}

fn name_taken() -> Error {
    Error::new(ErrorKind::Retry(RetryCause::NameTaken), TAKEN)
}

/// A new Pod, or the one that is there. A name that something else has gives way to the next one.
async fn create(cluster: &Cluster, w: &Workload) -> Result<Pod> {
    const OPERATION: &str = "kubernetes create pod";
    let api = cluster.pods();
    for name in names(w.run) {
        let pod = manifest::pod(&cluster.config, w, &name);
        loop {
            match cluster
                .call(OPERATION, api.create(&PostParams::default(), &pod))
                .await?
            {
                Ok(made) => return Ok(made),
                Err(e) if status(&e) == Some(409) => {}
                Err(e) => return Err(not_made(OPERATION, e)),
            }
            let there = cluster.found("kubernetes get pod", api.get(&name)).await?;
            match there {
                Some(there) if !cluster.is_run(&there, w.run) => break,
                // Another specification of this run is no reason for a second Pod.
                Some(there) if label(&there.metadata, HASH) != Some(&w.spec_hash) => {
                    return Err(name_taken());
                }
                Some(there) => return Ok(there),
                // Gone since.
                None => {}
            }
        }
    }
    Err(name_taken())
}

/// Makes what a pod has beside its runs: volume, service, ingress, policy.
async fn companions(cluster: &Cluster, w: &Workload) -> Result<()> {
    let config = &cluster.config;
    let new_volume = w.volume.as_ref().filter(|volume| volume.id.is_none());
    let claim = new_volume.map(|volume| manifest::claim(config, w, volume));
    let service = async {
        let made = make(
            cluster,
            "kubernetes create service",
            cluster.services(),
            expose::service(config, w),
        )
        .await?;
        if let Some(reached) = made.and_then(|service| expose::reached(config, &service)) {
            cluster
                .reached
                .lock()
                .expect("no panic while held")
                .insert(w.run.pod, reached);
        }
        Ok(())
    };
    tokio::try_join!(
        make(cluster, "kubernetes create claim", cluster.claims(), claim).map_ok(drop),
        service,
        make(
            cluster,
            "kubernetes create ingress",
            cluster.ingresses(),
            expose::ingress(config, w)
        )
        .map_ok(drop),
        make(
            cluster,
            "kubernetes create policy",
            cluster.policies(),
            expose::policy(config, w)
        )
        .map_ok(drop),
    )?;
    Ok(())
}

/// Makes an object unless the pod has it already; one of somebody else's is left alone, and is in the way.
async fn make<K>(
    cluster: &Cluster,
    operation: &'static str,
    api: Api<K>,
    object: Option<K>,
) -> Result<Option<K>>
where
    K: Resource + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let Some(object) = object else {
        return Ok(None);
    };
    loop {
        let params = PostParams::default();
        let made = api.create(&params, &object);
        // A service that is there has its port, which is looked at before its name.
        let refused = match cluster.call(operation, made).await? {
            Ok(made) => return Ok(Some(made)),
            Err(e) if status(&e) == Some(409) => None,
            Err(e) => Some(not_made(operation, e)),
        };
        if let Some(refused) = &refused
            && *refused.kind() != ErrorKind::Retry(RetryCause::PortTaken)
        {
            return Err(refused.clone());
        }
        let name = object.meta().name.clone().unwrap_or_default();
        match (cluster.found(operation, api.get(&name)).await?, refused) {
            (Some(there), _) if is_the_pods(cluster, there.meta(), object.meta()) => {
                // One that is being deleted is gone soon: the next look makes another.
                if there.meta().deletion_timestamp.is_some() {
                    let leaving = "Something of the pod's former life is still being deleted.";
                    return Err(Error::unreachable(leaving).during(operation));
                }
                return Ok(Some(there));
            }
            (_, Some(refused)) => return Err(refused),
            (Some(_), None) => return Err(name_taken()),
            (None, None) => {}
        }
    }
}

fn is_the_pods(cluster: &Cluster, there: &ObjectMeta, wanted: &ObjectMeta) -> bool {
    ours(&cluster.config, there) && pod_of(there) == pod_of(wanted)
}

/// Takes back what was made for a run that can't start. A port that is taken, or a device that is not there, stays to be
/// seen, as on other backends.
async fn undo(cluster: &Cluster, w: &Workload, pod: &Pod, error: Error) -> Error {
    let mark = match error.kind() {
        ErrorKind::Retry(RetryCause::PortTaken) => Some(observe::PORT_TAKEN),
        ErrorKind::Retry(RetryCause::GpuAdmission) => Some(observe::NO_DEVICE),
        ErrorKind::Refused(_) | ErrorKind::Retry(_) => None,
        _ => return error,
    };
    if !is_gated(pod) {
        return error;
    }
    let undone = match mark {
        Some(mark) => {
            let patch = json!({"metadata": {"annotations": {REFUSED: mark}}});
            cluster
                .change("kubernetes annotate pod", pod, patch)
                .await
                .map(drop)
        }
        None => discard(cluster, w, pod).await,
    };
    undone.err().unwrap_or(error)
}

/// Removes the Pod of a run that never started, and the claim that was made for it: nothing was ever written to it.
async fn discard(cluster: &Cluster, w: &Workload, pod: &Pod) -> Result<()> {
    remove::pod(cluster, pod).await?;
    let first = w.volume.as_ref().is_some_and(|volume| volume.id.is_none());
    if let Some(claim) = if first {
        claim(cluster, w).await?
    } else {
        None
    } && label(&claim.metadata, MADE_BY) == Some(&w.run.key.to_string())
    {
        remove::object(
            cluster,
            "kubernetes delete claim",
            cluster.claims(),
            w.run.pod,
        )
        .await?;
    }
    if w.run.n == 1 {
        remove::beside(cluster, w.run.pod).await?;
    }
    Ok(())
}

/// Takes the gate away. `None` if the Pod is gone, is another one by now, or is being deleted.
async fn open(cluster: &Cluster, pod: &Pod) -> Result<Option<Pod>> {
    let patch = json!({"spec": {"schedulingGates": null}});
    let opened = cluster.change("kubernetes start pod", pod, patch).await?;
    Ok(opened.filter(|pod| !is_leaving(pod)))
}

/// Until it has started, can't, or takes so long that its image is being pulled.
async fn until_started(cluster: &Cluster, w: &Workload, mut pod: Pod) -> Result<Ensured> {
    const OPERATION: &str = "kubernetes watch pod";
    let deadline = tokio::time::Instant::now() + cluster.config.start_within;
    let name = pod.metadata.name.clone().unwrap_or_default();
    let only = format!("metadata.name={name}");
    let params = WatchParams::default().fields(&only).disable_bookmarks();
    let api = cluster.pods();
    loop {
        let version = pod.metadata.resource_version.clone().unwrap_or_default();
        let mut events = cluster
            .done(OPERATION, api.watch(&params, &version))
            .await?
            .boxed();
        loop {
            if let Some(ensured) = standing(&pod)? {
                return Ok(ensured);
            }
            if let Some((refusal, words)) = observe::refusal(&pod) {
                discard(cluster, w, &pod).await?;
                let message = format!("The node can't start it: {words}");
                return Err(Error::new(ErrorKind::Refused(refusal), message));
            }
            // It waits for its turn, and is there.
            if is_unschedulable(&pod) {
                return Ok(Ensured::Present);
            }
            match tokio::time::timeout_at(deadline, events.next()).await {
                Err(_) if !is_placed(&pod) => return Ok(Ensured::Present),
                Err(_) => {
                    return Ok(Ensured::Pulling {
                        done: 0,
                        total: None,
                    });
                }
                Ok(Some(Ok(WatchEvent::Added(seen) | WatchEvent::Modified(seen)))) => {
                    if seen.metadata.uid != pod.metadata.uid {
                        return Ok(Ensured::Fenced);
                    }
                    pod = seen;
                }
                Ok(Some(Ok(WatchEvent::Deleted(_)))) => return Ok(Ensured::Fenced),
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(e))) => return Err(unreachable(OPERATION, e)),
                Ok(None) => break,
            }
        }
        match cluster.found("kubernetes get pod", api.get(&name)).await? {
            Some(there) if there.metadata.uid == pod.metadata.uid => pod = there,
            _ => return Ok(Ensured::Fenced),
        }
    }
}
