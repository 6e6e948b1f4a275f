use std::time::Duration;

use super::*;
use crate::fault::Fault;
use crate::pod::{Phase, Reason};
use crate::scene::Scene;
use crate::{Launch, Store};

/// The engine answers nothing.
fn silent(operation: &str) -> Fault {
    Fault {
        refuse: ["observe", "list", "stop", "remove", "purge", "ensure"].contains(&operation),
        ..Fault::default()
    }
}

async fn pass_time(scene: &Scene) {
    for _ in 0..20 {
        tokio::time::advance(Duration::from_secs(5)).await;
        scene.platform.run_until_idle().await.unwrap();
    }
}

async fn aside(scene: &Scene) -> usize {
    let leases = scene.store.leases(queue::DEVICES).await.unwrap();
    leases.iter().filter(|lease| lease.pod.is_none()).count()
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_given_up_ends_and_its_device_rests_until_a_list_is_clean() {
    let scene = Scene::new().await;
    let admin = Identity::local();
    let id = scene.launch(Launch::image("there").gpu("rtx-4050")).await;
    pass_time(&scene).await;
    let before = scene.pod(id).await;
    assert_eq!(before.phase(), Phase::Running);
    scene.plan(silent);
    pass_time(&scene).await;
    assert!(scene.pod(id).await.run.is_some(), "unknown is not gone");

    let forced = scene.platform.force(&admin, id).await.unwrap();
    assert_eq!(
        (forced.phase(), forced.reason),
        (Phase::Error, Some(Reason::Lost))
    );
    assert_eq!(forced, scene.pod(id).await);
    assert_eq!(aside(&scene).await, 1);
    let again = scene.platform.force(&admin, id).await.unwrap_err();
    assert_eq!(*again.kind(), ErrorKind::InvalidTransition);
    // Another pod does not get the device that may be in use.
    let next = scene.launch(Launch::image("there").gpu("rtx-4050")).await;
    scene.plan(|operation| Fault {
        refuse: operation == "list",
        ..Fault::default()
    });
    pass_time(&scene).await;
    assert_eq!(scene.pod(next).await.phase(), Phase::Queued);
    scene.plan(|_| Fault::default());
    pass_time(&scene).await;
    assert_eq!(scene.pod(next).await.phase(), Phase::Running);
    assert_eq!(aside(&scene).await, 0);
}
