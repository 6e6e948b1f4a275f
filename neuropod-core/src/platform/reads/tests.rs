//! How far a look at the backend is ahead of the row.

use std::time::Duration;

use crate::Launch;
use crate::auth::Identity;
use crate::fault::Fault;
use crate::pod::{Phase, Pod};
use crate::scene::Scene;
use crate::store::WorkKey;

/// Of a pod of [`Scene`]'s image.
const UNTIL_PORTS_ANSWER: Duration = Duration::from_secs(5);

fn answers(pod: &Pod) -> Vec<bool> {
    let run = pod.run.as_ref().unwrap();
    run.endpoints.iter().map(|e| e.ready).collect()
}

#[tokio::test(start_paused = true)]
async fn a_port_that_answers_is_shown_before_it_is_written_down() {
    let scene = Scene::new().await;
    let id = scene.launch(Launch::image("there").port(8080)).await;
    scene.round().await;
    assert_eq!(answers(&scene.pod(id).await), [false]);

    tokio::time::advance(UNTIL_PORTS_ANSWER).await;
    let shown = scene.platform.refresh(&Identity::local(), id).await;
    assert_eq!(answers(&shown.unwrap()), [true]);
    assert_eq!(answers(&scene.pod(id).await), [false]);
    assert_eq!(scene.due(&WorkKey::Pod(id)), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn no_port_is_shown_of_a_run_whose_start_is_not_written_down() {
    let scene = Scene::new().await;
    let id = scene.launch(Launch::image("there").port(8080)).await;
    scene.plan(|call| Fault {
        refuse: call == "observe",
        ..Fault::default()
    });
    scene.round().await;
    scene.plan(|_| Fault::default());
    tokio::time::advance(UNTIL_PORTS_ANSWER).await;
    assert_eq!(scene.engine.inventory().containers.len(), 1);

    let shown = scene
        .platform
        .refresh(&Identity::local(), id)
        .await
        .unwrap();
    assert_eq!(
        (shown.phase(), answers(&shown)),
        (Phase::Provisioning, vec![])
    );
}
