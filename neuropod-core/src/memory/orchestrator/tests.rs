//! What the simulation promises beyond the contract: its own clock, repeatability, and what its history says.

use std::time::Duration;

use futures::StreamExt;

use super::*;
use crate::error::{ErrorKind, RetryCause};
use crate::id::{DeviceId, RunKey, Tenant};
use crate::orchestrator::{ExitCause, State};
use crate::pod::{Env, Resources};

const SECOND: Duration = Duration::from_secs(1);

fn workload(pod: u8, n: u32) -> Workload {
    Workload {
        run: RunId {
            pod: PodId::from_bytes([pod; 8]),
            n,
            key: RunKey::from_bytes([n as u8; 8]),
        },
        generation: 1,
        tenant: Tenant::from("tenant"),
        spec_hash: "spec".to_owned(),
        image: "there".to_owned(),
        args: Vec::new(),
        env: Env::default(),
        ports: Vec::new(),
        volume: None,
        devices: Vec::new(),
        device_request: None,
        resources: Resources::default(),
        disk_bytes: 0,
        jupyter: None,
        grace: SECOND,
    }
}

fn engine() -> MemoryOrchestrator {
    let gpu = Device {
        id: DeviceId::from("GPU-1"),
        product: "RTX 4090".to_owned(),
        memory_mib: 24_564,
        healthy: true,
    };
    MemoryOrchestrator::builder()
        .clock(SystemClock::anchored(Time::from_micros(1_000_000)))
        .image("there", Behaviour::default())
        .devices([gpu])
        .build()
}

async fn state(engine: &MemoryOrchestrator, run: RunId) -> Option<State> {
    let seen = engine.observe(run.pod).await.unwrap();
    let mut found = seen.instances.into_iter().filter(|i| i.run == run);
    found.next().map(|i| i.state)
}

#[tokio::test(start_paused = true)]
async fn a_pull_takes_its_time_and_shows_progress() {
    let engine = engine();
    let mut workload = workload(1, 1);
    workload.image = "unheard/of:1".to_owned();
    let mut steps = Vec::new();
    for _ in 0..3 {
        steps.push(engine.ensure(&workload, &Fence::open()).await.unwrap());
        tokio::time::advance(SECOND).await;
    }
    let total = Some(1 << 30);
    let half = Ensured::Pulling {
        done: 1 << 29,
        total,
    };
    assert_eq!(
        steps,
        [Ensured::Pulling { done: 0, total }, half, Ensured::Present]
    );
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_at_the_instant_it_was_due_and_hinted_then() {
    let brief = Behaviour {
        runs_for: Some(SECOND * 3),
        code: 3,
        ..Behaviour::default()
    };
    let engine = MemoryOrchestrator::builder()
        .clock(SystemClock::anchored(Time::EPOCH))
        .image("there", brief)
        .build();
    let workload = workload(1, 1);
    engine.ensure(&workload, &Fence::open()).await.unwrap();
    let mut watch = engine.watch().await.unwrap();
    let waited = tokio::time::Instant::now();
    assert_eq!(watch.next().await, Some(workload.run.pod));
    assert_eq!(waited.elapsed(), SECOND * 3);

    tokio::time::advance(SECOND * 60).await;
    assert_eq!(
        state(&engine, workload.run).await,
        Some(State::Exited {
            started_at: Some(Time::EPOCH),
            finished_at: Some(Time::EPOCH + SECOND * 3),
            code: Some(3),
            cause: ExitCause::Ended,
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_device_serves_one_container_and_is_free_when_that_ended() {
    let engine = engine();
    let (mut first, mut second, mut third) = (workload(1, 1), workload(2, 1), workload(3, 1));
    for workload in [&mut first, &mut second, &mut third] {
        workload.devices = vec![DeviceId::from("GPU-1")];
    }
    engine.ensure(&first, &Fence::open()).await.unwrap();
    let refused = engine.ensure(&second, &Fence::open()).await.unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::Retry(RetryCause::GpuAdmission));
    let ended = ExitCause::Retry(RetryCause::GpuAdmission);
    assert!(matches!(
        state(&engine, second.run).await,
        Some(State::Exited { started_at: None, cause, .. }) if cause == ended
    ));
    engine.stop(first.run, SECOND).await.unwrap();
    assert_eq!(
        engine.ensure(&third, &Fence::open()).await.unwrap(),
        Ensured::Present
    );
}

#[cfg(feature = "testing")]
#[tokio::test(start_paused = true)]
async fn the_inventory_remembers_every_start_and_its_true_end() {
    let engine = engine();
    let mut workload = workload(1, 1);
    workload.devices = vec![DeviceId::from("GPU-1")];
    engine.ensure(&workload, &Fence::open()).await.unwrap();
    tokio::time::advance(SECOND).await;
    engine.restart_engine(false);
    let unobserved = state(&engine, workload.run).await;
    assert!(matches!(
        unobserved,
        Some(State::Exited {
            finished_at: None,
            cause: ExitCause::EngineRestart,
            ..
        })
    ));
    engine.restart_containers(workload.run.pod);
    tokio::time::advance(SECOND).await;
    engine.vanish_containers(workload.run.pod);
    let started = Time::from_micros(1_000_000);
    let ran = |from: Time, until: Time| Ran {
        run: workload.run,
        devices: workload.devices.clone(),
        started_at: from,
        finished_at: Some(until),
    };
    let inventory = engine.inventory();
    assert!(inventory.containers.is_empty());
    assert_eq!(
        inventory.ran,
        [
            ran(started, started + SECOND),
            ran(started + SECOND, started + SECOND * 2)
        ]
    );
}

#[cfg(feature = "testing")]
#[tokio::test(start_paused = true)]
async fn a_followed_log_breaks_when_the_engine_goes_away() {
    let engine = engine();
    let workload = workload(1, 1);
    engine.ensure(&workload, &Fence::open()).await.unwrap();
    use crate::orchestrator::LogQuery;
    let query = LogQuery {
        follow: true,
        ..LogQuery::default()
    };
    let mut log = engine.logs(workload.run, &query).await.unwrap();
    let (line, ()) = tokio::join!(log.next(), async { engine.unreachable(true) });
    assert_eq!(line.unwrap().unwrap_err().kind(), &ErrorKind::Unreachable);
    assert!(log.next().await.is_none());
}
