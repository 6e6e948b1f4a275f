//! Passes over one pod: what they do about what comes in between, and when they look again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::auth::Identity;
use crate::fault::Fault;
use crate::id::{DeviceId, RunKey};
use crate::pod::{Phase, Reason};
use crate::scene::{Scene, change};
use crate::store::EventQuery;
use crate::{Launch, Orchestrator, Settings, Store};

const SECOND: Duration = Duration::from_secs(1);

fn there() -> Launch {
    Launch::image("there")
}

fn on_a_device() -> Launch {
    there().gpu("rtx-4050")
}

/// Counts the looks at the backend since a container was asked for; 0 for any other call.
fn looks_after_ensure() -> impl FnMut(&'static str) -> u32 {
    let (mut asked, mut looks) = (false, 0);
    move |call| {
        asked |= call == "ensure";
        let is_look = asked && call == "observe";
        looks += u32::from(is_look);
        if is_look { looks } else { 0 }
    }
}

fn containers(scene: &Scene) -> Vec<RunId> {
    let inventory = scene.engine.inventory();
    inventory
        .containers
        .iter()
        .map(|c| c.instance.run)
        .collect()
}

/// The kinds of all events so far, in order.
async fn events(scene: &Scene) -> Vec<EventKind> {
    let all = EventQuery {
        after: None,
        limit: 1000,
    };
    let page = scene.store.events(&all).await.unwrap();
    page.events.iter().map(|e| e.event.kind).collect()
}

#[tokio::test(start_paused = true)]
async fn a_row_that_somebody_changed_is_read_again_in_the_same_pass() {
    let scene = Scene::new().await;
    let id = scene.launch(there()).await;
    let store = scene.store.clone();
    let mut look = looks_after_ensure();
    scene.plan(move |call| {
        // What this look shows is to be recorded.
        if look(call) == 1 {
            change(&store, id, |pod| pod.updated_at = pod.updated_at + SECOND);
        }
        Fault::default()
    });
    scene.round().await;
    assert!(scene.pod(id).await.run.unwrap().started_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_goes_on_after_a_conflict_still_renews_its_lease() {
    let scene = Scene::new().await;
    let id = scene.launch(there()).await;
    let piece = scene.claim(&WorkKey::Pod(id)).await;
    let work = Arc::new(Claimed::new(piece.clone()));
    let renewed = Arc::new(AtomicBool::new(false));
    let (store, held, count) = (scene.store.clone(), work.clone(), renewed.clone());
    let mut look = looks_after_ensure();
    scene.plan(move |call| {
        match look(call) {
            1 => change(&store, id, |pod| pod.updated_at = pod.updated_at + SECOND),
            2 => count.store(held.renew(&piece), Ordering::Relaxed),
            _ => {}
        }
        Fault::default()
    });
    pass(scene.core(), id, &work).await.unwrap();
    assert!(renewed.load(Ordering::Relaxed));
}

/// When the work of a launch is due after its pass, given a hint at each call of `operation`.
async fn due_when_hinted_at(operation: &'static str) -> Option<Duration> {
    let scene = Scene::new().await;
    let id = scene.launch(there()).await;
    let key = WorkKey::Pod(id);
    let work = Arc::new(Claimed::new(scene.claim(&key).await));
    let hinted = work.clone();
    scene.plan(move |call| {
        assert!(call != operation || hinted.hint());
        Fault::default()
    });
    pass(scene.core(), id, &work).await.unwrap();
    scene.due(&key)
}

#[tokio::test(start_paused = true)]
async fn only_a_hint_that_the_last_look_may_have_missed_makes_a_pass_due_again() {
    assert_eq!(due_when_hinted_at("ensure").await, Some(SECOND / 2));
    assert_eq!(due_when_hinted_at("observe").await, Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_never_wins_gives_others_their_turn() {
    let scene = Scene::new().await;
    let id = scene.launch(there()).await;
    let store = scene.store.clone();
    scene.plan(move |call| {
        if call == "observe" {
            change(&store, id, |pod| pod.updated_at = pod.updated_at + SECOND);
        }
        Fault::default()
    });
    scene.round().await;
    assert!(scene.pod(id).await.run.unwrap().started_at.is_none());
    assert_eq!(scene.due(&WorkKey::Pod(id)), Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_answer_is_asked_again_in_three_seconds() {
    let scene = Scene::new().await;
    let id = scene.launch(there()).await;
    scene.plan(|call| Fault {
        refuse: call == "ensure",
        ..Fault::default()
    });
    scene.round().await;
    assert_eq!(scene.due(&WorkKey::Pod(id)), Some(3 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_another_has_by_now_is_theirs_to_finish() {
    let scene = Scene::new().await;
    let key = WorkKey::Pod(scene.launch(there()).await);
    let late = Claimed::new(scene.claim(&key).await);
    tokio::time::advance(scene.core().settings.lease).await;
    let work = Claimed::new(scene.claim(&key).await);
    finish(scene.core(), &late, None).await.unwrap();
    assert!(scene.due(&key).is_some(), "it goes on");

    let mut first = true;
    scene.plan(move |_| Fault {
        refuse: std::mem::take(&mut first),
        ..Fault::default()
    });
    let unknown = finish(scene.core(), &work, None).await.unwrap_err();
    assert_eq!(*unknown.kind(), ErrorKind::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn a_late_pass_leaves_what_it_wrote_to_another_one() {
    let scene = Scene::new().await;
    let key = WorkKey::Pod(scene.launch(there()).await);
    let late = Claimed::new(scene.claim(&key).await);
    tokio::time::advance(scene.core().settings.lease).await;
    let work = Claimed::new(scene.claim(&key).await);
    finish(scene.core(), &work, None).await.unwrap();
    assert_eq!(scene.due(&key), None);
    finish(scene.core(), &late, None).await.unwrap();
    assert_eq!(scene.due(&key), Some(LOOK_AGAIN));
}

/// Otherwise it would try again and again to write what only the holder of the lease may.
#[tokio::test(start_paused = true)]
async fn a_late_pass_ends_when_its_last_write_is_refused() {
    let scene = Scene::new().await;
    let id = scene.launch(there()).await;
    let key = WorkKey::Pod(id);
    let late = Claimed::new(scene.claim(&key).await);
    tokio::time::advance(scene.core().settings.lease).await;
    let work = Claimed::new(scene.claim(&key).await);
    finish(scene.core(), &work, None).await.unwrap();
    scene.calls();
    pass(scene.core(), id, &late).await.unwrap();
    let looks = scene.calls().iter().filter(|c| **c == "observe").count();
    assert_eq!(looks, 1);
    assert_eq!(scene.due(&key), Some(LOOK_AGAIN));
}

/// Whoever finished the work has not seen it, and the late pass may die now.
#[tokio::test(start_paused = true)]
async fn what_a_late_pass_writes_is_looked_at_although_it_never_ends() {
    let scene = Scene::new().await;
    let id = scene.launch(there()).await;
    let key = WorkKey::Pod(id);
    let late = Claimed::new(scene.claim(&key).await);
    tokio::time::advance(scene.core().settings.lease).await;
    let work = Claimed::new(scene.claim(&key).await);
    finish(scene.core(), &work, None).await.unwrap();
    write_anything(&scene, &late, id).await;
    assert_eq!(scene.due(&key), Some(scene.core().settings.lease));
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_ends_has_looked_at_what_it_wrote_and_at_nothing_else() {
    let scene = Scene::new().await;
    let id = scene.launch(there()).await;
    let key = WorkKey::Pod(id);
    let work = Claimed::new(scene.claim(&key).await);
    write_anything(&scene, &work, id).await;
    write_anything(&scene, &work, id).await;
    finish(scene.core(), &work, None).await.unwrap();
    assert_eq!(scene.due(&key), None);

    let wake = |scene: &Scene| Changes {
        wakes: vec![Wake {
            key: key.clone(),
            at: scene.core().clock.now(),
        }],
        ..Changes::default()
    };
    scene.store.commit(&wake(&scene)).await.unwrap();
    let work = Claimed::new(scene.claim(&key).await);
    write_anything(&scene, &work, id).await;
    scene.store.commit(&wake(&scene)).await.unwrap();
    finish(scene.core(), &work, None).await.unwrap();
    assert_eq!(scene.due(&key), Some(Duration::ZERO), "woken by another");
}

async fn write_anything(scene: &Scene, work: &Claimed, id: PodId) {
    let pod = scene.pod(id).await;
    let written = write(scene.core(), work, &pod, pod.clone(), Changes::default());
    written.await.unwrap();
}

/// Nobody else looks at it then.
#[tokio::test(start_paused = true)]
async fn a_pod_that_waits_is_looked_at_when_its_time_is_up() {
    let scene = Scene::new().await;
    scene.launch(there().gpu("rtx-4050")).await;
    scene.round().await;
    let id = scene.launch(on_a_device()).await;
    let deadline = scene.core().clock.now() + 60 * SECOND;
    change(&scene.store, id, |pod| {
        pod.deadlines.stop_after = Some(deadline);
    });
    scene.round().await;
    assert_eq!(scene.pod(id).await.phase(), Phase::Queued);
    assert_eq!(scene.due(&WorkKey::Pod(id)), Some(60 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_launch_is_two_commits_and_one_look_and_a_later_run_looks_first() {
    let scene = Scene::new().await;
    let id = scene.launch(there()).await;
    let passed = async || {
        let work = Claimed::new(scene.claim(&WorkKey::Pod(id)).await);
        scene.calls();
        pass(scene.core(), id, &work).await.unwrap();
        let mut calls = scene.calls();
        calls.retain(|call| ["commit", "ensure", "observe"].contains(call));
        calls
    };
    // Opened, made, seen, recorded.
    assert_eq!(passed().await, ["commit", "ensure", "observe", "commit"]);

    let local = Identity::local();
    scene.platform.stop(&local, id).await.unwrap();
    for _ in 0..2 {
        scene.round().await;
        tokio::time::advance(SECOND).await;
    }
    scene.platform.start(&local, id).await.unwrap();
    let later = passed().await;
    let ensure = later.iter().position(|call| *call == "ensure").unwrap();
    let opened = later.iter().position(|call| *call == "commit").unwrap();
    assert!(later[opened..ensure].contains(&"observe"), "{later:?}");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_pulled_is_asked_for_every_second_until_it_is_refused() {
    let scene = Scene::new().await;
    let id = scene.launch(Launch::image("missing/image")).await;
    scene.round().await;
    assert_eq!(scene.due(&WorkKey::Pod(id)), Some(SECOND));
    for _ in 0..2 {
        tokio::time::advance(SECOND).await;
        scene.round().await;
    }
    let pod = scene.pod(id).await;
    assert_eq!(
        (pod.run, pod.reason, pod.ended_generation),
        (None, Some(Reason::ImagePull), 1)
    );
}

#[tokio::test(start_paused = true)]
async fn only_a_host_port_that_somebody_else_has_is_set_aside() {
    let scene = Scene::with(Settings {
        port_range: (20_000, 20_000),
        ..Settings::default()
    })
    .await;
    let holder = async || {
        let leases = scene.store.leases("port/").await.unwrap();
        leases[0].pod
    };
    let id = scene.launch(there().port(8080)).await;
    scene.round().await;
    let before = scene.pod(id).await;
    let foreign = RunId {
        pod: PodId::from_bytes([9; 8]),
        n: 1,
        key: RunKey::from_bytes([9; 8]),
    };
    // The port is its own when another run of it meets an obstacle of another kind.
    scene.platform.stop(&Identity::local(), id).await.unwrap();
    for _ in 0..2 {
        scene.round().await;
        tokio::time::advance(SECOND).await;
    }
    let device = vec![DeviceId::from("GPU-1")];
    scene.make_container(&before, foreign, device).await;
    change(&scene.store, id, |pod| {
        pod.spec.gpu = "rtx-4050".into();
        pod.spec.devices = 1;
    });
    scene.platform.start(&Identity::local(), id).await.unwrap();
    scene.round().await;
    assert_eq!(scene.pod(id).await.reason, Some(Reason::GpuAdmission));
    assert_eq!(holder().await, Some(id));

    scene.engine.remove(foreign).await.unwrap();
    scene.engine.occupy_port(20_000, true);
    tokio::time::advance(5 * SECOND).await;
    scene.round().await;
    assert_eq!(holder().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_leaves_nothing_behind() {
    let scene = Scene::new().await;
    let id = scene.launch(on_a_device().port(8080)).await;
    scene.round().await;
    scene.platform.delete(&Identity::local(), id).await.unwrap();
    for _ in 0..2 {
        scene.round().await;
        tokio::time::advance(SECOND).await;
    }
    assert!(scene.pod(id).await.is_tombstone());
    let left = scene.engine.inventory();
    assert_eq!((left.containers, left.volumes), (Vec::new(), Vec::new()));
    assert_eq!(scene.store.leases("").await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_gone_at_once_is_not_made_again_in_the_same_pass() {
    let scene = Scene::new().await;
    let id = scene.launch(there()).await;
    let engine = scene.engine.clone();
    scene.plan(move |call| {
        if call == "observe" {
            engine.vanish_containers(id);
        }
        Fault::default()
    });
    scene.round().await;
    assert_eq!(scene.engine.inventory().ran.len(), 1);
    assert_eq!(scene.due(&WorkKey::Pod(id)), Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_start_is_looked_at_once_more_and_then_when_its_ports_may_answer() {
    let scene = Scene::new().await;
    let ask = there().port(8080).stop_after(60 * SECOND);
    let id = scene.launch(ask).await;
    let key = WorkKey::Pod(id);
    scene.round().await;
    assert_eq!(scene.due(&key), Some(SECOND / 2));
    assert_eq!(scene.pod(id).await.run.unwrap().ready_at, None);
    for _ in 0..10 {
        tokio::time::advance(SECOND / 2).await;
        scene.round().await;
    }
    assert!(scene.pod(id).await.run.unwrap().ready_at.is_some());
    assert_eq!(scene.due(&key), Some(55 * SECOND), "its deadline is next");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_nobody_wishes_any_more_is_stopped_in_the_pass_that_records_it() {
    let scene = Scene::new().await;
    let id = scene.launch(there()).await;
    let store = scene.store.clone();
    let mut look = looks_after_ensure();
    scene.plan(move |call| {
        if look(call) == 1 {
            change(&store, id, |pod| {
                wish::stop(pod, Reason::User, crate::fixture::NOW);
            });
        }
        Fault::default()
    });
    scene.round().await;
    assert_eq!(scene.due(&WorkKey::Pod(id)), Some(SECOND));
    tokio::time::advance(SECOND).await;
    scene.round().await;
    assert_eq!(containers(&scene), []);
}

#[tokio::test(start_paused = true)]
async fn a_container_of_another_run_is_removed_and_the_open_one_is_left() {
    let scene = Scene::new().await;
    let id = scene.launch(there()).await;
    scene.round().await;
    let pod = scene.pod(id).await;
    let open = pod.run_id(pod.run.as_ref().unwrap());
    let stray = RunId {
        n: 9,
        key: RunKey::from_bytes([9; 8]),
        ..open
    };
    scene.make_container(&pod, stray, Vec::new()).await;
    tokio::time::advance(SECOND).await;
    scene.round().await;
    assert_eq!(containers(&scene), [open]);

    // By a row from before it was opened it looks like a stray.
    let old = Pod {
        run: None,
        ..pod.clone()
    };
    remove_stray(scene.core(), &old, open).await.unwrap();
    assert_eq!(containers(&scene), [open]);
}

#[tokio::test(start_paused = true)]
async fn only_who_frees_a_device_wakes_the_queue() {
    let scene = Scene::new().await;
    for (ask, wakes) in [(there(), false), (on_a_device(), true)] {
        let gpu = ask.gpu.clone();
        let id = scene.launch(ask).await;
        scene.round().await;
        scene.platform.stop(&Identity::local(), id).await.unwrap();
        let queue = WorkKey::Queue(gpu);
        assert_eq!(scene.due(&queue), None);
        for _ in 0..2 {
            scene.round().await;
            tokio::time::advance(SECOND).await;
        }
        let pod = scene.pod(id).await;
        assert_eq!((pod.run, pod.devices), (None, Vec::new()));
        assert_eq!(scene.due(&queue).is_some(), wakes);
    }
    // One that never had a device, and only drops its hold.
    let id = scene.launch(there()).await;
    change(&scene.store, id, |pod| {
        pod.hold = crate::fixture::launched().hold;
        assert!(wish::stop(pod, Reason::User, crate::fixture::NOW));
    });
    scene.round().await;
    assert_eq!(scene.pod(id).await.hold, None);
    assert_eq!(scene.due(&WorkKey::Queue("cpu".into())), None);
}

#[tokio::test(start_paused = true)]
async fn what_another_run_may_do_better_is_closed_and_tried_again() {
    let scene = Scene::new().await;
    let neighbour = scene.launch(there()).await;
    scene.round().await;
    let neighbour = scene.pod(neighbour).await;
    let foreign = RunId {
        pod: PodId::from_bytes([9; 8]),
        n: 1,
        key: RunKey::from_bytes([9; 8]),
    };
    let device = vec![DeviceId::from("GPU-1")];
    scene.make_container(&neighbour, foreign, device).await;

    let id = scene.launch(on_a_device()).await;
    scene.round().await;
    let pod = scene.pod(id).await;
    assert_eq!(
        (pod.run, pod.reason, pod.tries),
        (None, Some(Reason::GpuAdmission), 1)
    );
    assert_eq!(scene.due(&WorkKey::Pod(id)), Some(5 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn an_event_tells_what_a_user_can_see_and_nothing_else() {
    let scene = Scene::new().await;
    let id = scene.launch(there()).await;
    let before = scene.pod(id).await;
    let told = async |after: Pod| {
        let heard = events(&scene).await.len();
        let before = scene.pod(id).await;
        commit(scene.core(), &before, after, Changes::default())
            .await
            .unwrap();
        events(&scene).await[heard..].to_vec()
    };
    let tried = Pod { tries: 1, ..before };
    assert_eq!(told(tried).await, []);
    let mut told_so = scene.pod(id).await;
    told_so.message = Some("It waits.".to_owned());
    assert_eq!(told(told_so).await, [EventKind::PodUpdate]);
}
