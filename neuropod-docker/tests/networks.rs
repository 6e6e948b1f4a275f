//! Each owner's pods have a network of their own on a real engine: how it is made, how it goes, and what others have.

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use bollard::Docker;
use bollard::models::{Ipam, IpamConfig, Network, NetworkCreateRequest};
use bollard::query_parameters::ListNetworksOptions;
use futures::TryStreamExt;
use futures::future::join_all;
use neuropod_core::conformance::orchestrator::{self as conformance, Image};
use neuropod_core::id::Tenant;
use neuropod_core::orchestrator::{Ensured, Fence, Found, State, Workload};
use neuropod_core::{ErrorKind, Orchestrator, RetryCause};
use neuropod_docker::{Config, DockerOrchestrator};

use support::{IMAGE, docker, engine, engine_is_there, unique};

/// A pod of this owner that sleeps.
fn pod_of(owner: &str) -> Workload {
    let sleeps = Image {
        name: IMAGE.to_owned(),
        args: ["sleep", "1000000"].map(str::to_owned).to_vec(),
    };
    Workload {
        tenant: Tenant::from(owner),
        ..conformance::workload(sleeps)
    }
}

/// A backend of this installation whose networks come from a pool that no other test has.
async fn backend(installation: &str, pool: &str) -> DockerOrchestrator {
    let config = Config {
        host: engine(),
        network_pool: pool.parse().expect("a pool"),
        ..Config::new(installation)
    };
    DockerOrchestrator::connect(config)
        .await
        .expect("an engine")
}

async fn start(backend: &DockerOrchestrator, w: &Workload) {
    let ensured = backend.ensure(w, &Fence::open()).await;
    assert_eq!(ensured.expect("ensure"), Ensured::Present);
    let seen = backend.observe(w.run.pod).await.expect("seen").instances;
    assert!(matches!(seen[0].state, State::Running { .. }), "{seen:?}");
}

/// The networks of this installation, and everything that the engine says of them.
async fn networks(docker: &Docker, installation: &str) -> Vec<Network> {
    let all = docker.list_networks(None::<ListNetworksOptions>).await;
    let ours = |n: &Network| {
        let labels = n.labels.as_ref();
        labels
            .and_then(|l| l.get("neuropod.io/instance"))
            .map(String::as_str)
            == Some(installation)
    };
    all.expect("networks").into_iter().filter(ours).collect()
}

fn subnet(network: &Network) -> String {
    let config = network.ipam.as_ref().and_then(|ipam| ipam.config.as_ref());
    let subnet = config.and_then(|all| all.first()?.subnet.clone());
    subnet.expect("a subnet")
}

/// Somebody else's network.
async fn foreign(docker: &Docker, name: &str, subnet: &str) {
    let addresses = IpamConfig {
        subnet: Some(subnet.to_owned()),
        ..IpamConfig::default()
    };
    let made = docker.create_network(NetworkCreateRequest {
        name: name.to_owned(),
        ipam: Some(Ipam {
            config: Some(vec![addresses]),
            ..Ipam::default()
        }),
        ..NetworkCreateRequest::default()
    });
    made.await.expect("a foreign network");
}

/// The engine's own pools end at about thirty networks.
#[tokio::test(flavor = "multi_thread")]
async fn forty_owners_at_once_have_forty_networks_and_others_networks_are_passed_over() {
    if !engine_is_there() {
        return;
    }
    let (docker, installation) = (docker(), unique("forty"));
    let others =
        std::env::var("NEUROPOD_FOREIGN_NETWORKS").map_or(20, |n| n.parse().expect("a number"));
    let names: Vec<_> = (0..others).map(|_| unique("np-user")).collect();
    for (i, name) in names.iter().enumerate() {
        foreign(&docker, name, &format!("10.77.{i}.0/25")).await;
    }
    let (one, two) = (
        backend(&installation, "10.77.0.0/18").await,
        backend(&installation, "10.77.0.0/18").await,
    );
    let pods: Vec<_> = (0..40).map(|i| pod_of(&format!("owner {i}"))).collect();
    // Two servers of one installation, which know nothing of each other.
    let started = pods.iter().enumerate().map(|(i, w)| {
        let backend = if i % 2 == 0 { &one } else { &two };
        start(backend, w)
    });
    join_all(started).await;
    let made = networks(&docker, &installation).await;
    let subnets: BTreeSet<_> = made.iter().map(subnet).collect();
    assert_eq!((made.len(), subnets.len()), (40, 40), "{subnets:?}");
    let options = made[0].options.as_ref().expect("options");
    let bridge = options.get("com.docker.network.bridge.name");
    assert_eq!(bridge, made[0].name.as_ref());
    let purged = pods.iter().map(|w| one.purge(w.run.pod));
    for purged in join_all(purged).await {
        purged.expect("purged");
    }
    assert_eq!(networks(&docker, &installation).await.len(), 0);
    for name in names {
        docker
            .remove_network(&name)
            .await
            .expect("it is still there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_make_the_network_of_an_owner_once() {
    if !engine_is_there() {
        return;
    }
    let (docker, installation) = (docker(), unique("once"));
    for _ in 0..2 {
        let pool = "10.78.0.0/16";
        let (one, two) = (
            backend(&installation, pool).await,
            backend(&installation, pool).await,
        );
        let pods = [pod_of("owner"), pod_of("owner")];
        tokio::join!(start(&one, &pods[0]), start(&two, &pods[1]));
        assert_eq!(networks(&docker, &installation).await.len(), 1);
        one.purge(pods[0].run.pod).await.expect("purged");
        assert_eq!(networks(&docker, &installation).await.len(), 1, "in use");
        one.purge(pods[1].run.pod).await.expect("purged");
        assert_eq!(networks(&docker, &installation).await.len(), 0);
        // The other one still takes the network for there.
        start(&two, &pods[1]).await;
        two.purge(pods[1].run.pod).await.expect("purged");
    }
    assert_eq!(networks(&docker, &installation).await.len(), 0);
}

#[tokio::test]
async fn a_network_goes_with_the_last_of_what_its_owner_has() {
    if !engine_is_there() {
        return;
    }
    let (docker, installation) = (docker(), unique("last"));
    let backend = backend(&installation, "10.79.0.0/24").await;
    let (first, mut second) = (pod_of("owner"), pod_of("owner"));
    second.volume = Some(conformance::volume());
    start(&backend, &first).await;
    start(&backend, &second).await;
    backend.remove(second.run).await.expect("removed");
    // A volume alone: its pod may start again.
    backend.purge(first.run.pod).await.expect("purged");
    assert_eq!(networks(&docker, &installation).await.len(), 1);
    backend.purge(second.run.pod).await.expect("purged");
    assert_eq!(networks(&docker, &installation).await.len(), 0);

    // One of whose last pod nothing tells any more is listed, as the pod's that it was made for.
    start(&backend, &first).await;
    let third = pod_of("owner");
    start(&backend, &third).await;
    backend.purge(first.run.pod).await.expect("purged");
    let list = async || -> Vec<Found> {
        let list = backend.list().await.expect("a list");
        list.try_collect().await.expect("all of it")
    };
    assert_eq!(list().await.len(), 1, "the container alone");
    backend.remove(third.run).await.expect("removed");
    let left = Found {
        pod: first.run.pod,
        instance: None,
    };
    assert_eq!(list().await, [left]);
    backend.purge(first.run.pod).await.expect("purged");
    assert_eq!(list().await, []);
    assert_eq!(networks(&docker, &installation).await.len(), 0);
}

/// Somebody removes a network while its owner's pods are stopped, or while one is about to start.
#[tokio::test]
async fn a_network_that_is_gone_is_made_anew() {
    if !engine_is_there() {
        return;
    }
    let (docker, installation) = (docker(), unique("anew"));
    let backend = backend(&installation, "10.80.0.0/24").await;
    let w = pod_of("owner");
    let (removed, of) = (AtomicBool::new(false), installation.clone());
    let fence = Fence::new(move || {
        let (again, docker) = (removed.swap(true, Ordering::Relaxed), docker.clone());
        let installation = of.clone();
        Box::pin(async move {
            if !again {
                let made = &networks(&docker, &installation).await[0];
                let id = made.id.as_deref().expect("an id");
                docker.remove_network(id).await.expect("nobody is in it");
            }
            Ok(true)
        })
    });
    let ensured = backend.ensure(&w, &fence).await;
    assert_eq!(ensured.expect("ensure"), Ensured::Present);
    let seen = backend.observe(w.run.pod).await.expect("seen").instances;
    assert!(matches!(seen[0].state, State::Running { .. }), "{seen:?}");
    backend.purge(w.run.pod).await.expect("purged");
}

#[tokio::test]
async fn a_foreign_network_of_the_name_is_told_and_left_alone() {
    if !engine_is_there() {
        return;
    }
    let (docker, installation) = (docker(), unique("name"));
    let first = backend(&installation, "10.81.0.0/24").await;
    let w = pod_of("owner");
    start(&first, &w).await;
    let name = networks(&docker, &installation).await[0]
        .name
        .clone()
        .expect("a name");
    first.purge(w.run.pod).await.expect("purged");
    foreign(&docker, &name, "10.82.0.0/24").await;
    let second = backend(&installation, "10.81.0.0/24").await;
    for (backend, w) in [(&second, pod_of("owner")), (&first, pod_of("owner"))] {
        let refused = backend.ensure(&w, &Fence::open()).await.unwrap_err();
        assert_eq!(
            *refused.kind(),
            ErrorKind::Retry(RetryCause::NameTaken),
            "{refused:?}"
        );
        assert!(refused.to_string().contains(&name), "{refused}");
        backend.purge(w.run.pod).await.expect("purged");
    }
    docker
        .remove_network(&name)
        .await
        .expect("it is still there");
    // It is no longer in the way.
    start(&second, &w).await;
    second.purge(w.run.pod).await.expect("purged");
}

#[tokio::test]
async fn a_pool_that_is_used_up_is_named() {
    if !engine_is_there() {
        return;
    }
    let backend = backend(&unique("full"), "10.83.0.0/24").await;
    let pods = [pod_of("one"), pod_of("two"), pod_of("three")];
    start(&backend, &pods[0]).await;
    start(&backend, &pods[1]).await;
    let refused = backend.ensure(&pods[2], &Fence::open()).await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Retry(RetryCause::NoNetwork));
    assert!(
        refused.message().contains("10.83.0.0/24") && refused.is_retryable(),
        "{refused:?}"
    );
    backend.purge(pods[0].run.pod).await.expect("purged");
    start(&backend, &pods[2]).await;
    for w in &pods {
        backend.purge(w.run.pod).await.expect("purged");
    }
}
