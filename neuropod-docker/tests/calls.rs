//! How many calls to the engine a launch takes. Each is a millisecond or so of every user's wait.

mod support;

use std::time::Duration;

use neuropod_core::Orchestrator;
use neuropod_core::id::{Entropy, PodId, RunId, RunKey, Tenant};
use neuropod_core::orchestrator::{Ensured, Fence, VolumeMount, Workload};
use neuropod_core::pod::{Env, Resources};
use neuropod_docker::{Config, DockerOrchestrator};

use support::proxy::Proxy;
use support::{IMAGE, engine, engine_is_there, unique};

fn workload(volume: bool) -> Workload {
    let entropy = Entropy::system();
    Workload {
        run: RunId {
            pod: PodId::random(&entropy),
            n: 1,
            key: RunKey::random(&entropy),
        },
        generation: 1,
        tenant: Tenant::from("tenant"),
        spec_hash: "hash".to_owned(),
        image: IMAGE.to_owned(),
        args: ["sleep", "1000000"].map(str::to_owned).to_vec(),
        env: Env::default(),
        ports: Vec::new(),
        volume: volume.then(|| VolumeMount {
            path: "/workspace".to_owned(),
            size_bytes: 1 << 30,
            id: None,
        }),
        devices: Vec::new(),
        device_request: None,
        resources: Resources::default(),
        disk_bytes: 1 << 30,
        jupyter: None,
        grace: Duration::from_secs(1),
    }
}

#[tokio::test]
async fn a_launch_and_its_first_look_take_four_calls_more_than_create_and_start() {
    if !engine_is_there() {
        return;
    }
    let proxy = Proxy::to(&engine().expect("it is there"));
    let config = Config {
        host: Some(proxy.host()),
        ..Config::new(unique("calls"))
    };
    let docker = DockerOrchestrator::connect(config)
        .await
        .expect("an engine");
    // The engine's time is asked for once a minute.
    let nobody = PodId::random(&Entropy::system());
    docker.observe(nobody).await.expect("nothing");
    for (volume, launch) in [(false, 2), (true, 3)] {
        let w = workload(volume);
        let before = proxy.calls();
        let ensured = docker.ensure(&w, &Fence::open()).await;
        assert_eq!(ensured.expect("ensure"), Ensured::Present);
        let launched = proxy.calls();
        docker.observe(w.run.pod).await.expect("it runs");
        let looked = proxy.calls();
        docker.purge(w.run.pod).await.expect("purged");
        let counts = (launched - before, looked - launched);
        println!("volume {volume}: launch and first look take {counts:?} calls");
        assert_eq!(counts, (launch, 3));
    }
}
