//! What a container may do on this host, by the items of a benchmark that others check theirs by.

mod support;

use std::collections::BTreeSet;

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::InspectContainerOptions;
use neuropod_core::Orchestrator;
use neuropod_core::conformance::orchestrator::{self as conformance, Image};
use neuropod_core::id::DeviceId;
use neuropod_core::orchestrator::{Fence, Jupyter, PortMap, Workload};
use neuropod_core::pod::{Env, Proto, Secret};
use neuropod_docker::{Config, DockerOrchestrator};

use support::cis::{self, ITEMS, OTHERS};
use support::{IMAGE, docker, engine, engine_is_there, unique};

fn plain() -> Workload {
    conformance::workload(Image {
        name: IMAGE.to_owned(),
        args: ["sleep", "1000000"].map(str::to_owned).to_vec(),
    })
}

/// All that a user can ask for.
fn workloads() -> Vec<Workload> {
    let mut asked = plain();
    asked.env = Env([("PRIVILEGED".to_owned(), "true".to_owned())].into());
    asked.volume = Some(conformance::volume());
    asked.ports = vec![
        PortMap {
            container: 22,
            host: Some(24_022),
            proto: Proto::Tcp,
        },
        PortMap {
            container: 80,
            host: Some(24_080),
            proto: Proto::Http,
        },
    ];
    asked.jupyter = Some(Jupyter {
        port: 8888,
        token: Secret::new("token"),
    });
    let mut command = plain();
    command.args = Vec::new();
    // No such device is here: it is refused, and its container can be looked at all the same.
    let mut device = plain();
    device.devices = vec![DeviceId::from("GPU-00000000-dead-beef-0000-000000000000")];
    vec![plain(), asked, command, device]
}

async fn inspected(backend: &DockerOrchestrator, w: &Workload) -> ContainerInspectResponse {
    let ensured = backend.ensure(w, &Fence::open()).await;
    assert_eq!(ensured.is_err(), !w.devices.is_empty(), "{ensured:?}");
    let name = format!("np-{}-{}", w.run.pod, w.run.n);
    let none = None::<InspectContainerOptions>;
    let seen = docker().inspect_container(&name, none).await;
    seen.expect("it is there")
}

#[tokio::test]
async fn every_container_keeps_the_benchmark() {
    if !engine_is_there() {
        return;
    }
    let config = Config {
        host: engine(),
        ..Config::new(unique("hardening"))
    };
    let backend = DockerOrchestrator::connect(config)
        .await
        .expect("an engine");
    for w in workloads() {
        let mut seen = inspected(&backend, &w).await;
        backend.purge(w.run.pod).await.expect("purged");
        assert_eq!(cis::broken(&seen), [""; 0]);
        // And each item is looked at.
        let kept = seen.host_config.clone();
        for item in &ITEMS {
            let host = seen.host_config.get_or_insert_default();
            (item.broken)(host);
            let noticed = cis::broken(&seen)
                .iter()
                .any(|b| b.starts_with(&format!("{}:", item.number)));
            assert!(noticed, "{}: {}", item.number, item.demands);
            seen.host_config.clone_from(&kept);
        }
    }
    for item in &ITEMS {
        println!("{}: {}", item.number, item.demands);
    }
    for (number, why) in OTHERS {
        println!("{number} is left out: {why}");
    }
}

#[test]
fn every_item_of_the_section_is_kept_or_left_out_for_a_reason() {
    let checked = ITEMS.iter().map(|item| item.number);
    let all: BTreeSet<_> = checked.chain(OTHERS.map(|(number, _)| number)).collect();
    let section: Vec<_> = (1..=32).map(|n| format!("5.{n}")).collect();
    assert_eq!(all, section.iter().map(String::as_str).collect());
}
