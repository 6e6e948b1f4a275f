//! What containers on a real engine use, beside what the engine itself says of them.

mod support;

use std::time::{Duration, Instant};

use bollard::models::ContainerStatsResponse;
use bollard::query_parameters::StatsOptionsBuilder;
use futures::StreamExt;
use neuropod_core::Orchestrator;
use neuropod_core::conformance::orchestrator::{self as conformance, Image};
use neuropod_core::orchestrator::{Ensured, Fence, Usage, Workload};
use neuropod_core::pod::Resources;
use neuropod_docker::{Config, DockerOrchestrator};

use support::{IMAGE, docker, engine, engine_is_there, unique};

/// Burns a core, holds 100 MiB, has written 50 MiB on its own disk and 20 MiB on its volume.
const BUSY: &str = "dd if=/dev/zero of=/fifty bs=1M count=50 && dd if=/dev/zero of=/workspace/twenty bs=1M count=20 && sync; \
    dd if=/dev/zero bs=100M count=1 | sleep 1000000 & while :; do :; done";
const MIB: u64 = 1 << 20;
const WITHIN: Duration = Duration::from_secs(60);

fn shell(script: &str) -> Image {
    Image {
        name: IMAGE.to_owned(),
        args: ["sh", "-c", script].map(str::to_owned).to_vec(),
    }
}

fn busy() -> Workload {
    Workload {
        volume: Some(conformance::volume()),
        resources: Resources {
            cpu_milli: 1000,
            memory_bytes: 512 * MIB,
            ..Resources::default()
        },
        ..conformance::workload(shell(BUSY))
    }
}

async fn connected() -> DockerOrchestrator {
    let config = Config {
        host: engine(),
        ..Config::new(unique("usage"))
    };
    DockerOrchestrator::connect(config)
        .await
        .expect("it answers")
}

/// Looks until `wanted`, and answers that look.
async fn until(
    docker: &DockerOrchestrator,
    w: &Workload,
    wanted: impl Fn(&Usage) -> bool,
) -> Usage {
    let began = Instant::now();
    loop {
        let used = docker.usage(w.run).await.expect("usage");
        if wanted(&used) {
            return used;
        }
        assert!(began.elapsed() < WITHIN, "{used:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn stats(w: &Workload) -> ContainerStatsResponse {
    let options = StatsOptionsBuilder::new().stream(false).one_shot(true);
    let name = format!("np-{}-{}", w.run.pod, w.run.n);
    let docker = docker();
    let mut stats = docker.stats(&name, Some(options.build()));
    stats.next().await.expect("an answer").expect("stats")
}

/// Within 10 %.
fn about(told: Option<u64>, expected: u64) -> bool {
    told.is_some_and(|told| told.abs_diff(expected) * 10 <= expected)
}

#[tokio::test]
async fn what_a_busy_container_uses_is_told_and_what_the_engine_says() {
    if !engine_is_there() {
        return;
    }
    let docker = connected().await;
    let w = busy();
    let ensured = docker.ensure(&w, &Fence::open()).await;
    assert_eq!(ensured.expect("ensure"), Ensured::Present);
    let used = until(&docker, &w, |used| {
        about(used.memory_bytes, 100 * MIB)
            && about(used.disk_bytes, 50 * MIB)
            && about(used.volume_bytes, 20 * MIB)
    })
    .await;
    println!("{used:?}");
    assert_eq!(used.memory_limit_bytes, Some(512 * MIB));
    assert_eq!(used.gpus, [], "it was given none");
    assert!(used.rx_bytes.is_some() && used.tx_bytes.is_some());

    // A counter that only grows, read between two looks of the engine's own.
    let cpu = |stats: &ContainerStatsResponse| {
        let cpu = stats.cpu_stats.as_ref().and_then(|c| c.cpu_usage.as_ref());
        cpu.and_then(|c| c.total_usage).expect("CPU time") / 1000
    };
    let engines_first = stats(&w).await;
    let then = docker.usage(w.run).await.expect("usage");
    let engines_then = stats(&w).await;
    let (least, burnt, most) = (cpu(&engines_first), then.cpu_micros, cpu(&engines_then));
    println!("burnt {burnt:?} µs; the engine says {least} and {most}");
    assert!(burnt.is_some_and(|burnt| (least..=most).contains(&burnt)));
    let memory = engines_then.memory_stats.as_ref().expect("memory");
    assert!(then.memory_bytes <= memory.usage, "less the page cache");
    println!(
        "block devices: {:?} {:?}",
        then.read_bytes, then.written_bytes
    );

    docker.stop(w.run, Duration::ZERO).await.expect("stopped");
    let stopped = until(&docker, &w, |used| used.at.is_none()).await;
    assert_eq!(stopped, Usage::default(), "what does not run uses nothing");
    docker.purge(w.run.pod).await.expect("purged");
}

/// A look each second must cost the engine little.
#[tokio::test]
async fn another_look_takes_one_call_and_one_of_the_disk_at_times() {
    if !engine_is_there() {
        return;
    }
    let proxy = support::proxy::Proxy::to(&engine().expect("it is there"));
    let config = Config {
        host: Some(proxy.host()),
        ..Config::new(unique("usage"))
    };
    let docker = DockerOrchestrator::connect(config)
        .await
        .expect("it answers");
    let w = conformance::workload(shell("sleep 1000000"));
    let ensured = docker.ensure(&w, &Fence::open()).await;
    assert_eq!(ensured.expect("ensure"), Ensured::Present);
    until(&docker, &w, |used| used.disk_bytes.is_some()).await;
    let (began, before) = (Instant::now(), proxy.calls());
    for _ in 0..10 {
        docker.usage(w.run).await.expect("usage");
    }
    let calls = proxy.calls() - before;
    // One of the disk in each second that has begun.
    let disks = usize::try_from(began.elapsed().as_secs()).expect("few") + 1;
    println!("10 looks took {calls} calls, {disks} of the disk at most");
    assert!((10..=10 + disks).contains(&calls));
    docker.purge(w.run.pod).await.expect("purged");
}
