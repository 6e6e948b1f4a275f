//! What a run uses, as the kubelet of its node measures it.

use neuropod_core::Result;
use neuropod_core::id::RunId;
use neuropod_core::orchestrator::{State, Usage};
use neuropod_core::time::Time;
use serde::Deserialize;

use crate::cluster::Cluster;
use crate::error::{status, unreachable};
use crate::observe;

/// The kubelet's summary: what of it is used here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Summary {
    pods: Vec<OfPod>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OfPod {
    pod_ref: PodRef,
    containers: Vec<OfContainer>,
    network: Network,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodRef {
    uid: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OfContainer {
    cpu: Cpu,
    memory: Memory,
    rootfs: Disk,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Cpu {
    time: Option<String>,
    usage_nano_cores: Option<u64>,
    usage_core_nano_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Memory {
    working_set_bytes: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Disk {
    used_bytes: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Network {
    rx_bytes: Option<u64>,
    tx_bytes: Option<u64>,
}

pub(crate) async fn usage(cluster: &Cluster, run: RunId) -> Result<Usage> {
    const OPERATION: &str = "kubernetes stats";
    let Some(pod) = cluster.of_run(run).await? else {
        return Ok(Usage::default());
    };
    let State::Running { started_at, .. } = observe::state(&pod, Vec::new) else {
        return Ok(Usage::default());
    };
    let node = pod
        .spec
        .as_ref()
        .and_then(|s| s.node_name.as_deref())
        .unwrap_or_default();
    let request =
        http::Request::get(format!("/api/v1/nodes/{node}/proxy/stats/summary")).body(Vec::new());
    let request = request
        .map_err(|e| neuropod_core::Error::internal("A request could not be made.").caused_by(e))?;
    let summary: Summary = match cluster
        .call(OPERATION, cluster.client.request(request))
        .await?
    {
        Ok(summary) => summary,
        // The node is gone, or may not be asked: nothing can be measured.
        Err(e) if matches!(status(&e), Some(403 | 404)) => Summary::default(),
        Err(e) => return Err(unreachable(OPERATION, e)),
    };
    let uid = pod.metadata.uid.unwrap_or_default();
    let measured = summary
        .pods
        .into_iter()
        .find(|of| of.pod_ref.uid == uid)
        .unwrap_or_default();
    let limits = pod
        .spec
        .as_ref()
        .and_then(|s| s.containers.first()?.resources.as_ref()?.limits.as_ref());
    let limit = limits.and_then(|limits| limits.get("memory")?.0.parse().ok());
    let now = cluster.now().await?;
    Ok(of(measured, limit, started_at, now))
}

/// The first figures after a start are zero, which is not what it uses.
fn of(measured: OfPod, memory_limit: Option<u64>, started_at: Time, now: Time) -> Usage {
    let container = measured.containers.into_iter().next().unwrap_or_default();
    let some = |figure: Option<u64>| figure.filter(|&figure| figure > 0);
    let at: Option<Time> = container.cpu.time.and_then(|time| time.parse().ok());
    let fresh = at.is_some_and(|at| at >= started_at);
    let at = at.filter(|_| fresh).unwrap_or(now);
    Usage {
        at: Some(at),
        cpu_micros: some(container.cpu.usage_core_nano_seconds)
            .filter(|_| fresh)
            .map(|nanos| nanos / 1000),
        cpu_milli: container
            .cpu
            .usage_nano_cores
            .filter(|_| fresh)
            .map(|nanos| nanos / 1_000_000),
        memory_bytes: some(container.memory.working_set_bytes),
        memory_limit_bytes: memory_limit,
        disk_bytes: container.rootfs.used_bytes,
        rx_bytes: some(measured.network.rx_bytes),
        tx_bytes: some(measured.network.tx_bytes),
        ..Usage::default()
    }
}
