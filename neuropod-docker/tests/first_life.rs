//! One life of a container on a real engine: `NEUROPOD_TEST_DOCKER` names it, and `cargo xtask test` has put the demo
//! image there. Without an engine it says so, and fails in CI.

use std::time::Duration;

use futures::StreamExt;
use neuropod_core::Orchestrator;
use neuropod_core::id::{Entropy, PodId, RunId, RunKey, Tenant};
use neuropod_core::orchestrator::{Ensured, Fence, LogQuery, State, VolumeMount, Workload};
use neuropod_core::pod::{Env, Resources};
use neuropod_docker::{Config, DockerOrchestrator};

#[tokio::test]
async fn a_run_starts_ends_stays_and_is_purged() {
    let Ok(host) = std::env::var("NEUROPOD_TEST_DOCKER") else {
        assert!(
            std::env::var("CI").is_err(),
            "NEUROPOD_TEST_DOCKER names no engine"
        );
        println!("not run: NEUROPOD_TEST_DOCKER names no engine");
        return;
    };
    let config = Config {
        host: Some(host),
        ..Config::new("first-life")
    };
    let engine = DockerOrchestrator::connect(config).await.unwrap();
    let entropy = Entropy::system();
    let run = RunId {
        pod: PodId::random(&entropy),
        n: 1,
        key: RunKey::random(&entropy),
    };
    let workload = Workload {
        run,
        generation: 1,
        tenant: Tenant::from("t"),
        spec_hash: "h".into(),
        image: "neuropod/demo:latest".into(),
        args: ["sh", "-c", "echo hello; exec sleep 60"]
            .map(str::to_owned)
            .into(),
        env: Env::default(),
        ports: Vec::new(),
        volume: Some(VolumeMount {
            path: "/workspace".into(),
            size_bytes: 1,
            id: None,
        }),
        devices: Vec::new(),
        device_request: None,
        resources: Resources {
            cpu_milli: 500,
            memory_bytes: 64 << 20,
            pids: 64,
        },
        disk_bytes: 0,
        jupyter: None,
        grace: Duration::from_secs(1),
    };
    let shut = Fence::new(|| Box::pin(async { Ok(false) }));
    assert_eq!(
        engine.ensure(&workload, &shut).await.unwrap(),
        Ensured::Fenced
    );
    let ensured = engine.ensure(&workload, &Fence::open()).await.unwrap();
    assert_eq!(ensured, Ensured::Present);
    let seen = engine.observe(run.pod).await.unwrap();
    assert!(seen.volume.is_some());
    assert_eq!(seen.instances.len(), 1);
    assert!(
        matches!(seen.instances[0].state, State::Running { .. }),
        "{seen:?}"
    );
    let follow = LogQuery {
        follow: true,
        ..LogQuery::default()
    };
    let mut log = engine.logs(run, &follow).await.unwrap();
    assert_eq!(log.next().await.unwrap().unwrap().text, "hello");
    engine.stop(run, Duration::from_secs(1)).await.unwrap();
    // The followed log ends with the container.
    assert!(log.next().await.is_none());
    let seen = engine.observe(run.pod).await.unwrap();
    let ended = |s: &State| {
        matches!(
            s,
            State::Exited {
                started_at: Some(_),
                finished_at: Some(_),
                ..
            }
        )
    };
    assert!(ended(&seen.instances[0].state), "{seen:?}");
    assert_eq!(
        engine.ensure(&workload, &Fence::open()).await.unwrap(),
        Ensured::Present
    );
    engine.purge(run.pod).await.unwrap();
    let seen = engine.observe(run.pod).await.unwrap();
    assert!(
        seen.instances.is_empty() && seen.volume.is_none(),
        "{seen:?}"
    );
}
