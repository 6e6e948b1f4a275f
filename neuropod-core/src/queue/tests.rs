//! Who gets a device or a host port, and who waits.

use std::collections::BTreeSet;

use super::*;
use crate::claimed::Claimed;
use crate::fault::Fault;
use crate::fixture::{NOW, at, launched};
use crate::id::PodId;
use crate::orchestrator::Device;
use crate::pod::Reason;
use crate::pricing::PriceList;
use crate::scene::{Scene, change};
use crate::{Launch, Settings};

const SECOND: Duration = Duration::from_secs(1);

fn there() -> Launch {
    Launch::image("there")
}

fn on_a_device() -> Launch {
    there().gpu("rtx-4050")
}

fn queue() -> WorkKey {
    WorkKey::Queue(GpuId::from("rtx-4050"))
}

/// A scene whose host ports are these.
async fn with_ports(port_range: (u16, u16)) -> Scene {
    Scene::with(Settings {
        port_range,
        ..Settings::default()
    })
    .await
}

/// A pod that waits for a device although one is free.
async fn waiting(scene: &Scene) -> PodId {
    let id = scene.launch(on_a_device()).await;
    change(&scene.store, id, |pod| life::queue(pod, NOW));
    id
}

async fn position_of(scene: &Scene, id: PodId) -> Option<u32> {
    position(scene.core(), &scene.pod(id).await).await.unwrap()
}

async fn ports_of(scene: &Scene, id: PodId) -> Vec<u16> {
    let pod = scene.pod(id).await;
    pod.ports.iter().map(|p| p.host).collect()
}

#[test]
fn a_device_is_free_if_it_works_fits_and_is_nobodys() {
    let device = |id: &str, product: &str, healthy| Device {
        id: DeviceId::from(id),
        product: product.to_owned(),
        memory_mib: 6144,
        healthy,
    };
    let product = "NVIDIA GeForce RTX 4050";
    let capacity = Capacity {
        devices: vec![
            device("free", product, true),
            device("broken", product, false),
            device("other", "RTX 4090", true),
            device("leased", product, true),
            device("aside", product, true),
        ],
        ..Capacity::default()
    };
    let lease = |device: &str, until| Lease {
        resource: format!("device/{device}"),
        pod: None,
        until,
    };
    let leases = [lease("leased", None), lease("aside", Some(at(10)))];
    let entry = &PriceList::seed().gpus[&GpuId::from("rtx-4050")];
    let free = |now| free_devices(entry, &capacity, &leases, now);
    assert_eq!(free(at(9)), [DeviceId::from("free")]);
    assert_eq!(free(at(10)), ["free", "aside"].map(DeviceId::from));
}

#[test]
fn a_port_that_somebody_else_had_is_nobodys_for_ten_minutes() {
    let mut pod = launched();
    pod.ports = vec![PortLease {
        container: 8080,
        host: 20_001,
    }];
    let aside = LeaseChange::SetAside {
        resource: "port/20001".to_owned(),
        pod: pod.id,
        until: Some(NOW + 600 * SECOND),
    };
    assert_eq!(set_aside(&pod, NOW).collect::<Vec<_>>(), [aside]);
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_free_device_waits_and_says_so() {
    let scene = Scene::new().await;
    let first = scene.launch(on_a_device()).await;
    scene.round().await;
    assert_eq!(scene.pod(first).await.devices, [DeviceId::from("GPU-1")]);
    let mut places = Vec::new();
    for place in 1..=2 {
        let id = scene.launch(on_a_device()).await;
        scene.round().await;
        let pod = scene.pod(id).await;
        assert_eq!((&pod.run, pod.reason), (&None, Some(Reason::NoCapacity)));
        assert_eq!(scene.due(&queue()), Some(Duration::ZERO));
        assert_eq!(scene.due(&WorkKey::Pod(id)), None, "the queue is served");
        places.push((position_of(&scene, id).await, Some(place)));
        tokio::time::advance(SECOND).await;
    }
    assert!(places.iter().all(|(is, should)| is == should), "{places:?}");
    assert_eq!(position_of(&scene, first).await, None);
}

#[tokio::test(start_paused = true)]
async fn who_needs_no_device_does_not_wait() {
    let scene = Scene::new().await;
    let id = scene.launch(there()).await;
    scene.round().await;
    let pod = scene.pod(id).await;
    assert_eq!((pod.run.is_some(), pod.devices), (true, Vec::new()));
    assert_eq!(position_of(&scene, id).await, None);
}

#[tokio::test(start_paused = true)]
async fn nobody_overtakes_who_waits() {
    let scene = Scene::new().await;
    let first = waiting(&scene).await;
    tokio::time::advance(SECOND).await;
    let second = scene.launch(on_a_device()).await;
    scene.round().await;
    let waits = |pod: Pod| (pod.queued_at.is_some(), pod.run.is_some());
    assert_eq!(waits(scene.pod(second).await), (true, false));
    scene.round().await;
    assert_eq!(waits(scene.pod(first).await), (false, true));
    assert_eq!(waits(scene.pod(second).await), (true, false));
    assert_eq!(position_of(&scene, second).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_was_not_served_is_served_again_soon() {
    let scene = Scene::new().await;
    let id = waiting(&scene).await;
    let served = async || {
        let wakes = vec![Wake {
            key: queue(),
            at: scene.core().clock.now(),
        }];
        let changes = Changes {
            wakes,
            ..Changes::default()
        };
        scene.core().commit(changes).await.unwrap();
        let work = Claimed::new(scene.claim(&queue()).await);
        let product = GpuId::from("rtx-4050");
        pass(scene.core(), &product, &work).await.unwrap();
        scene.due(&queue())
    };
    scene.plan(|call| Fault {
        refuse: call == "leases",
        ..Fault::default()
    });
    assert_eq!(served().await, Some(3 * SECOND));

    let store = scene.store.clone();
    scene.plan(move |call| {
        if call == "leases" {
            change(&store, id, |pod| pod.updated_at = pod.updated_at + SECOND);
        }
        Fault::default()
    });
    assert_eq!(served().await, Some(Duration::ZERO), "somebody was quicker");

    scene.plan(|_| Fault::default());
    assert_eq!(served().await, None);
    assert_eq!(scene.pod(id).await.devices.len(), 1);
}

/// A device that was broken works again, or a new one is there.
#[tokio::test(start_paused = true)]
async fn a_queue_in_which_somebody_waits_is_served_again_without_being_told() {
    let scene = Scene::new().await;
    scene.launch(on_a_device()).await;
    scene.round().await;
    scene.launch(on_a_device()).await;
    scene.round().await;
    scene.round().await;
    assert_eq!(scene.due(&queue()), Some(LOOK_AGAIN));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_somebody_took_first_is_a_conflict() {
    let scene = Scene::new().await;
    let has_it = scene.launch(on_a_device()).await;
    scene.round().await;
    let id = scene.launch(on_a_device().port(8080)).await;
    let pod = scene.pod(id).await;
    let device = scene.pod(has_it).await.devices;
    let opened = open(scene.core(), &pod, device.clone(), Changes::default(), None).await;
    assert_eq!(*opened.unwrap_err().kind(), ErrorKind::Conflict);

    scene.plan(|call| Fault {
        refuse: call == "commit",
        ..Fault::default()
    });
    let opened = open(scene.core(), &pod, device, Changes::default(), None).await;
    assert_eq!(*opened.unwrap_err().kind(), ErrorKind::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn every_published_port_has_a_host_port_of_its_own_while_there_are_any() {
    let scene = with_ports((20_000, 20_003)).await;
    let mut taken = BTreeSet::new();
    for ask in [there().port(1).port(2), there().port(1), there().port(1)] {
        let id = scene.launch(ask).await;
        scene.round().await;
        taken.extend(ports_of(&scene, id).await);
    }
    assert_eq!(taken, (20_000..=20_003).collect());

    let late = scene.launch(there().port(1)).await;
    scene.round().await;
    assert_eq!(scene.pod(late).await.run, None);
    assert_eq!(scene.due(&WorkKey::Pod(late)), Some(3 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_pod_keeps_its_host_ports() {
    let scene = Scene::new().await;
    let id = scene.launch(there().port(8080)).await;
    scene.round().await;
    let first = ports_of(&scene, id).await;
    assert_eq!(first.len(), 1);
    let pod = scene.pod(id).await;
    let again = Pod { run: None, ..pod };
    open(scene.core(), &again, Vec::new(), Changes::default(), None)
        .await
        .unwrap();
    assert_eq!(ports_of(&scene, id).await, first);
}
