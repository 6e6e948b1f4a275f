//! What a container uses, by one look at its counters.

use bollard::models::{ContainerMemoryStats, ContainerNetworkStats, ContainerStatsResponse};
use bollard::query_parameters::StatsOptionsBuilder;
use futures::StreamExt;
use neuropod_core::Result;
use neuropod_core::id::RunId;
use neuropod_core::orchestrator::{State, Usage};

use crate::convert;
use crate::engine::Engine;
use crate::error::{status, unreachable};
use crate::gpu::GpuUsage;

pub(crate) async fn usage(engine: &Engine, run: RunId) -> Result<Usage> {
    let container = engine.of_run(run).await?;
    let running = container.filter(|c| matches!(c.instance.state, State::Running { .. }));
    let Some(container) = running else {
        return Ok(Usage::default());
    };
    let devices = convert::devices(&container.inspected);
    let gpu = engine.config.gpus.usage(devices).await;
    let options = StatsOptionsBuilder::new().stream(false).one_shot(true);
    let mut stats = engine.docker.stats(&container.id, Some(options.build()));
    match engine.call("docker stats", stats.next()).await? {
        None => Ok(Usage::default()),
        Some(Err(e)) if status(&e) == Some(404) => Ok(Usage::default()),
        Some(Err(e)) => Err(unreachable("docker stats", e)),
        Some(Ok(stats)) => Ok(of(stats, gpu)),
    }
}

fn of(stats: ContainerStatsResponse, gpu: GpuUsage) -> Usage {
    // The engine has no time, and zeros for all, where the container ended in between.
    let Some(at) = convert::time(stats.read.as_ref()) else {
        return Usage::default();
    };
    let memory = stats.memory_stats.unwrap_or_default();
    let cpu = stats.cpu_stats.and_then(|c| c.cpu_usage);
    let networks = stats.networks;
    let bytes = |of: fn(&ContainerNetworkStats) -> Option<u64>| {
        let networks = networks.as_ref()?;
        networks.values().map(of).sum()
    };
    Usage {
        at: Some(at),
        cpu_micros: cpu.and_then(|c| c.total_usage).map(|nanos| nanos / 1000),
        memory_bytes: working_set(&memory),
        memory_limit_bytes: memory.limit,
        rx_bytes: bytes(|n| n.rx_bytes),
        tx_bytes: bytes(|n| n.tx_bytes),
        gpu_percent: gpu.percent,
        gpu_memory_bytes: gpu.memory_bytes,
        ..Usage::default()
    }
}

/// What could not be taken away at once: without the part of the page cache that nobody used of late. Its name
/// differs between the two versions of control groups.
fn working_set(memory: &ContainerMemoryStats) -> Option<u64> {
    let stats = memory.stats.as_ref();
    let names = ["total_inactive_file", "inactive_file"];
    let cold = stats.and_then(|s| names.iter().find_map(|name| s.get(*name)));
    Some(memory.usage?.saturating_sub(cold.copied().unwrap_or(0)))
}
