//! How many calls to the engine a launch and a list take. Each of a launch is a millisecond or so of a user's wait.

mod support;

use bollard::query_parameters::RestartContainerOptionsBuilder;
use futures::StreamExt;
use neuropod_core::Orchestrator;
use neuropod_core::conformance::orchestrator::{self as conformance, Image};
use neuropod_core::id::{Entropy, PodId};
use neuropod_core::orchestrator::{Ensured, Fence, Instance, Workload};
use neuropod_docker::{Config, DockerOrchestrator};

use support::proxy::Proxy;
use support::{IMAGE, engine, engine_is_there, unique};

/// A program that runs until it is told to end.
fn workload(volume: bool) -> Workload {
    let sleeps = Image {
        name: IMAGE.to_owned(),
        args: ["sleep", "1000000"].map(str::to_owned).to_vec(),
    };
    Workload {
        volume: volume.then(conformance::volume),
        ..conformance::workload(sleeps)
    }
}

/// A backend whose calls are counted, and which has asked for the engine's time, as it does once a minute.
async fn counted(installation: &str) -> (DockerOrchestrator, Proxy) {
    let proxy = Proxy::to(&engine().expect("it is there"));
    let config = Config {
        host: Some(proxy.host()),
        ..Config::new(installation)
    };
    let docker = DockerOrchestrator::connect(config).await;
    let docker = docker.expect("an engine");
    let nobody = PodId::random(&Entropy::system());
    docker.observe(nobody).await.expect("nothing");
    (docker, proxy)
}

async fn start(docker: &DockerOrchestrator, w: &Workload) {
    let ensured = docker.ensure(w, &Fence::open()).await;
    assert_eq!(ensured.expect("ensure"), Ensured::Present);
}

async fn instances(docker: &DockerOrchestrator) -> Vec<Instance> {
    let list = docker.list().await.expect("a list");
    let found = list.map(|found| found.expect("all of it").instance);
    found.filter_map(std::future::ready).collect().await
}

#[tokio::test]
async fn a_launch_and_its_first_look_take_three_calls_more_than_create_and_start() {
    if !engine_is_there() {
        return;
    }
    let (docker, proxy) = counted(&unique("calls")).await;
    // The first of its owner has a network made, and all that a first run can have takes four calls before it runs.
    let first = workload(true);
    let before = proxy.calls();
    start(&docker, &first).await;
    assert_eq!(proxy.calls() - before, 4);
    // A volume is found out about once: before the launch, or when first looked for.
    for (volume, expected) in [(false, (2, 3)), (true, (3, 2))] {
        let w = workload(volume);
        let before = proxy.calls();
        start(&docker, &w).await;
        let launched = proxy.calls();
        let seen = docker.observe(w.run.pod).await.expect("it runs");
        let looked = proxy.calls();
        docker.purge(w.run.pod).await.expect("purged");
        let counts = (launched - before, looked - launched);
        println!("volume {volume}: launch and first look take {counts:?} calls");
        assert_eq!(counts, expected);
        assert_eq!(seen.volume.is_some(), volume);
    }
    docker.purge(first.run.pod).await.expect("purged");
}

#[tokio::test]
async fn a_list_of_what_runs_on_takes_three_calls_however_many_there_are() {
    if !engine_is_there() {
        return;
    }
    let (docker, proxy) = counted(&unique("calls")).await;
    let all: Vec<_> = (0..20).map(|_| workload(false)).collect();
    for w in &all {
        start(&docker, w).await;
    }
    let first = instances(&docker).await;
    let before = proxy.calls();
    let again = instances(&docker).await;
    let calls = proxy.calls() - before;
    println!("a list of {} takes {calls} calls", again.len());
    assert_eq!((again.len(), calls), (20, 3));
    assert!(again.iter().all(|instance| first.contains(instance)));
    for w in &all {
        docker.purge(w.run.pod).await.expect("purged");
    }
}

/// Somebody who knows nothing of us starts a container anew between two lists: it is another start, with another time.
#[tokio::test]
async fn a_list_tells_a_start_it_has_not_seen() {
    if !engine_is_there() {
        return;
    }
    let (docker, _proxy) = counted(&unique("calls")).await;
    let w = workload(false);
    start(&docker, &w).await;
    let first = instances(&docker).await;
    assert_eq!(instances(&docker).await, first);
    let name = format!("np-{}-{}", w.run.pod, w.run.n);
    let at_once = RestartContainerOptionsBuilder::new().t(0).build();
    let outside = support::docker();
    let restarted = outside.restart_container(&name, Some(at_once));
    restarted.await.expect("restarted");
    let then = instances(&docker).await;
    assert_eq!(
        then,
        docker.observe(w.run.pod).await.expect("it runs").instances
    );
    assert_ne!(then, first);
    docker.purge(w.run.pod).await.expect("purged");
    assert_eq!(instances(&docker).await, []);
}
