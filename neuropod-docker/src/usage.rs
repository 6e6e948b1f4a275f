//! What a container uses, by one look at its counters. The sizes of disks are measured beside, since the engine adds up
//! files for them.

mod disks;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bollard::models::{
    ContainerBlkioStats, ContainerMemoryStats, ContainerNetworkStats, ContainerStatsResponse,
};
use bollard::query_parameters::StatsOptionsBuilder;
use futures::StreamExt;
use neuropod_core::Result;
use neuropod_core::id::{DeviceId, PodId, RunId};
use neuropod_core::orchestrator::{State, Usage};

use crate::convert;
use crate::engine::Engine;
use crate::error::{status, unreachable};
use disks::Disks;

/// What was found out about containers that are looked at again and again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usages {
    found: Arc<Mutex<HashMap<RunId, Found>>>,
    disks: Disks,
}

/// A container that ran when it was looked for.
#[derive(Debug, Clone)]
struct Found {
    id: String,
    devices: Vec<DeviceId>,
    has_volume: bool,
}

impl Usages {
    pub(crate) async fn of(&self, engine: &Engine, run: RunId) -> Result<Usage> {
        let Some(found) = self.find(engine, run).await? else {
            return Ok(Usage::default());
        };
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true);
        let mut stats = engine.docker.stats(&found.id, Some(options.build()));
        let stats = match engine.call("docker stats", stats.next()).await? {
            None => None,
            Some(Err(e)) if status(&e) == Some(404) => None,
            Some(Err(e)) => return Err(unreachable("docker stats", e)),
            Some(Ok(stats)) => counted(&stats),
        };
        let Some(usage) = stats else {
            self.forget(run);
            return Ok(Usage::default());
        };
        let gpus = engine.config.gpus.usage(&found.devices).await;
        let volume = found.has_volume.then_some(run.pod);
        let (disk_bytes, volume_bytes) = self.disks.of(engine, &found.id, volume);
        Ok(Usage {
            gpus,
            disk_bytes,
            volume_bytes,
            ..usage
        })
    }

    /// The container of the run, if it runs.
    async fn find(&self, engine: &Engine, run: RunId) -> Result<Option<Found>> {
        if let Some(found) = self.found.lock().expect("no panic while held").get(&run) {
            return Ok(Some(found.clone()));
        }
        let container = engine.of_run(run).await?;
        let running = container.filter(|c| matches!(c.instance.state, State::Running { .. }));
        Ok(running.map(|container| {
            let found = Found {
                devices: convert::devices(&container.inspected),
                has_volume: convert::mounts(&container.inspected, run.pod),
                id: container.id,
            };
            let mut all = self.found.lock().expect("no panic while held");
            all.insert(run, found.clone());
            found
        }))
    }

    /// It does not run any more.
    fn forget(&self, run: RunId) {
        self.forget_all(|other| other == run);
    }

    /// Nothing is left of the pod.
    pub(crate) fn forget_pod(&self, pod: PodId) {
        self.forget_all(|run| run.pod == pod);
    }

    fn forget_all(&self, which: impl Fn(RunId) -> bool) {
        let mut all = self.found.lock().expect("no panic while held");
        all.retain(|run, found| {
            let stays = !which(*run);
            if !stays {
                self.disks.forget(&found.id);
            }
            stays
        });
    }
}

/// `None` for a container that does not run: the engine has no time then, and zeros for all.
fn counted(stats: &ContainerStatsResponse) -> Option<Usage> {
    let at = convert::time(stats.read.as_ref())?;
    let memory = stats.memory_stats.as_ref();
    let cpu = stats.cpu_stats.as_ref().and_then(|c| c.cpu_usage.as_ref());
    let networks = stats.networks.as_ref();
    let bytes = |of: fn(&ContainerNetworkStats) -> Option<u64>| {
        networks.and_then(|networks| networks.values().map(of).sum())
    };
    let blocks = stats.blkio_stats.as_ref();
    Some(Usage {
        at: Some(at),
        cpu_micros: cpu.and_then(|c| c.total_usage).map(|nanos| nanos / 1000),
        memory_bytes: memory.and_then(working_set),
        memory_limit_bytes: memory.and_then(|memory| memory.limit),
        rx_bytes: bytes(|n| n.rx_bytes),
        tx_bytes: bytes(|n| n.tx_bytes),
        read_bytes: blocks.and_then(|b| moved(b, "read")),
        written_bytes: blocks.and_then(|b| moved(b, "write")),
        ..Usage::default()
    })
}

/// Bytes to or from all block devices. Where the kernel does not count them there is no entry at all.
fn moved(blocks: &ContainerBlkioStats, which: &str) -> Option<u64> {
    let entries = blocks.io_service_bytes_recursive.as_ref()?;
    let is = |op: &Option<String>| op.as_ref().is_some_and(|op| op.eq_ignore_ascii_case(which));
    let counted: Vec<u64> = (entries.iter().filter(|entry| is(&entry.op)))
        .filter_map(|entry| entry.value)
        .collect();
    (!counted.is_empty()).then(|| counted.iter().sum())
}

/// What could not be taken away at once: without the part of the page cache that nobody used of late. Its name
/// differs between the two versions of control groups.
fn working_set(memory: &ContainerMemoryStats) -> Option<u64> {
    let stats = memory.stats.as_ref();
    let names = ["total_inactive_file", "inactive_file"];
    let cold = stats.and_then(|s| names.iter().find_map(|name| s.get(*name)));
    Some(memory.usage?.saturating_sub(cold.copied().unwrap_or(0)))
}
