use std::sync::Arc;

use super::*;
use crate::fixture::{launched, opened, running};
use crate::id::{PodId, RunKey};
use crate::memory::MemoryStore;
use crate::orchestrator::{ExitCause, Instance};
use crate::pod::Pod;
use crate::store::Claim;
use crate::{Platform, Store};

fn alive(pods: &[Pod]) -> Alive {
    Alive(pods.iter().map(|pod| (pod.id, open_run(pod))).collect())
}

fn open_run(pod: &Pod) -> Option<OpenRun> {
    pod.run.as_ref().map(OpenRun::of)
}

fn container(pod: &Pod, state: State) -> Found {
    let run = pod.run.as_ref().unwrap();
    Found {
        pod: pod.id,
        instance: Some(Instance {
            run: pod.run_id(run),
            generation: run.generation,
            state,
        }),
    }
}

fn started_at(micros: i64) -> State {
    State::Running {
        started_at: Time::from_micros(micros),
        endpoints: Vec::new(),
    }
}

fn exited() -> State {
    State::Exited {
        started_at: Some(Time::from_micros(100)),
        finished_at: None,
        code: None,
        cause: ExitCause::Ended,
    }
}

#[test]
fn a_recorded_run_agrees_with_a_list_that_shows_it_as_it_started() {
    let pod = running();
    let agrees = |shown: Option<State>| {
        let mut alive = alive(std::slice::from_ref(&pod));
        if let Some(state) = shown {
            assert!(!alive.is_strange(&container(&pod, state)));
        }
        alive.0[&pod.id].as_ref().unwrap().agrees
    };
    assert!(agrees(Some(started_at(100))));
    assert!(!agrees(Some(started_at(101))));
    assert!(!agrees(Some(exited())));
    assert!(!agrees(None));
}

#[test]
fn a_run_that_is_not_recorded_agrees_until_a_list_shows_it_started() {
    let pod = opened();
    let mut alive = alive(std::slice::from_ref(&pod));
    let agrees = |alive: &Alive| alive.0[&pod.id].as_ref().unwrap().agrees;
    assert!(agrees(&alive));
    alive.is_strange(&container(&pod, exited()));
    assert!(agrees(&alive));
    alive.is_strange(&container(&pod, started_at(100)));
    assert!(!agrees(&alive));
}

#[test]
fn what_no_row_accounts_for_is_strange() {
    let (pod, without_run) = (running(), launched());
    let volume = Found {
        pod: pod.id,
        instance: None,
    };
    assert!(!alive(std::slice::from_ref(&without_run)).is_strange(&volume));
    assert!(alive(&[]).is_strange(&volume));
    assert!(alive(&[without_run]).is_strange(&container(&pod, started_at(100))));

    let mut other = running();
    other.run.as_mut().unwrap().key = RunKey::from_bytes([9; 8]);
    assert!(alive(std::slice::from_ref(&pod)).is_strange(&container(&other, started_at(100))));
    other.run = pod.run.clone();
    other.run.as_mut().unwrap().n += 1;
    assert!(alive(&[pod]).is_strange(&container(&other, started_at(100))));
}

#[test]
fn the_more_pods_the_rarer_the_sweep() {
    assert_eq!(every(0), Duration::from_secs(30));
    assert_eq!(every(100_000), Duration::from_secs(240));
}

/// An engine that has lost everything, and more rows than one write or one page takes.
#[tokio::test]
async fn every_run_that_a_list_misses_is_marked_and_woken() {
    let store = Arc::new(MemoryStore::new());
    let pods = u64::try_from(2 * AT_ONCE + 1).unwrap();
    for n in 0..pods {
        let mut pod = running();
        pod.id = PodId::from_bytes(n.to_be_bytes());
        pod.version = 0;
        let changes = Changes {
            pods: vec![pod],
            ..Changes::default()
        };
        store.commit(&changes).await.unwrap();
    }
    let platform = Platform::builder()
        .store(store.clone())
        .build()
        .await
        .unwrap();
    crate::loops::start(&platform.0).await.unwrap();
    let claim = |limit| Claim {
        limit,
        now: platform.0.clock.now(),
        lease: Duration::from_secs(5),
    };
    let work = store.claim(&claim(1)).await.unwrap().remove(0);
    pass(&platform.0, &Claimed::new(work)).await.unwrap();

    let pods = store.all_pods(PodFilter::Alive).await.unwrap();
    let missed = |pod: &Pod| pod.run.as_ref().unwrap().last_seen.is_some();
    assert!(pods.iter().all(missed));
    let woken = store.claim(&claim(u32::MAX)).await.unwrap();
    assert_eq!(woken.len(), pods.len());
}

#[cfg(feature = "testing")]
mod over_a_scene {
    use super::*;
    use crate::Launch;
    use crate::auth::Identity;
    use crate::fault::Fault;
    use crate::id::RunId;
    use crate::scene::{Scene, change};
    use crate::store::EventQuery;

    fn key() -> WorkKey {
        WorkKey::Sweep(BACKEND.to_owned())
    }

    /// A scene with so many pods that run, after its first sweep.
    async fn with_pods(pods: usize) -> (Scene, Vec<PodId>) {
        let scene = Scene::new().await;
        let mut ids = Vec::new();
        for _ in 0..pods {
            ids.push(scene.launch(Launch::image("there")).await);
        }
        // And one that looks at each once more after its start.
        for _ in 0..2 {
            scene.round().await;
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        (scene, ids)
    }

    /// One sweep when it is due, and nothing else.
    async fn swept(scene: &Scene) {
        tokio::time::advance(scene.due(&key()).unwrap()).await;
        let work = Claimed::new(scene.claim(&key()).await);
        pass(scene.core(), &work).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn each_sweep_vouches_for_more_than_the_last() {
        let (scene, _) = with_pods(0).await;
        for _ in 0..2 {
            swept(&scene).await;
            let now = scene.core().clock.now();
            let vouched = Swept {
                rows_at: now,
                listed_at: now,
            };
            assert_eq!(last(scene.core()).await.unwrap(), vouched);
            assert_eq!(scene.due(&key()), Some(EVERY));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_can_not_be_listed_is_asked_again_soon() {
        let (scene, _) = with_pods(0).await;
        scene.plan(|call| Fault {
            refuse: call == "list",
            ..Fault::default()
        });
        swept(&scene).await;
        assert_eq!(scene.due(&key()), Some(AGAIN));
    }

    #[tokio::test(start_paused = true)]
    async fn what_differs_is_written_at_once() {
        let (scene, ids) = with_pods(3).await;
        for id in &ids {
            scene.engine.vanish_containers(*id);
        }
        scene.calls();
        swept(&scene).await;
        let commits = |calls: Vec<_>| calls.iter().filter(|call| **call == "commit").count();
        assert_eq!(commits(scene.calls()), 1);
        for id in ids {
            assert_eq!(scene.due(&WorkKey::Pod(id)), Some(Duration::ZERO));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_with_containers_that_no_run_accounts_for_looks_for_itself() {
        let (scene, ids) = with_pods(1).await;
        let (id, before) = (ids[0], scene.pod(ids[0]).await);
        scene.platform.stop(&Identity::local(), id).await.unwrap();
        for _ in 0..2 {
            scene.round().await;
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        swept(&scene).await;
        assert_eq!(
            scene.due(&WorkKey::Pod(id)),
            None,
            "its volume is no reason"
        );

        for n in 8..10 {
            let key = RunKey::from_bytes([n; 8]);
            let run = RunId {
                pod: id,
                n: u32::from(n),
                key,
            };
            scene.make_container(&before, run, Vec::new()).await;
        }
        swept(&scene).await;
        assert_eq!(scene.due(&WorkKey::Pod(id)), Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_run_is_marked_once_and_only_while_it_is_the_open_one() {
        let (scene, ids) = with_pods(2).await;
        for id in &ids {
            scene.engine.vanish_containers(*id);
        }
        let (store, replaced) = (scene.store.clone(), ids[1]);
        scene.plan(move |call| {
            if call == "list" {
                // After the rows were read.
                change(&store, replaced, |pod| pod.run.as_mut().unwrap().n += 1);
            }
            Fault::default()
        });
        swept(&scene).await;
        let lost = scene.pod(ids[0]).await;
        let seen = async |id| scene.pod(id).await.run.unwrap().last_seen;
        assert!(lost.run.as_ref().unwrap().last_seen.is_some());
        assert_eq!(seen(replaced).await, None);
        swept(&scene).await;
        assert_eq!(scene.pod(ids[0]).await.version, lost.version);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_of_a_tombstone_is_purged_and_of_an_unknown_pod_it_is_told_once() {
        let (scene, ids) = with_pods(1).await;
        let before = scene.pod(ids[0]).await;
        let (gone, unknown) = (PodId::from_bytes([8; 8]), PodId::from_bytes([9; 8]));
        let tombstone = Pod {
            id: gone,
            run: None,
            deleted_at: Some(crate::fixture::NOW),
            version: 0,
            ..launched()
        };
        let changes = Changes {
            pods: vec![tombstone],
            ..Changes::default()
        };
        scene.store.commit(&changes).await.unwrap();
        for pod in [gone, unknown] {
            let run = RunId {
                pod,
                n: 1,
                key: RunKey::from_bytes([9; 8]),
            };
            scene.make_container(&before, run, Vec::new()).await;
        }
        swept(&scene).await;
        assert_eq!(scene.due(&WorkKey::Pod(gone)), Some(Duration::ZERO));
        assert_eq!(scene.due(&WorkKey::Pod(unknown)), None);
        scene.round().await;
        swept(&scene).await;
        let left = scene.engine.inventory().containers;
        let of = |pod| left.iter().filter(move |c| c.instance.run.pod == pod);
        assert_eq!((of(gone).count(), of(unknown).count()), (0, 1));
        let all = EventQuery {
            after: None,
            limit: 1000,
        };
        let events = scene.store.events(&all).await.unwrap().events;
        let told = |kind| events.iter().filter(move |e| e.event.kind == kind);
        let told = told(EventKind::AdminNotice).map(|e| e.event.pod);
        assert_eq!(told.collect::<Vec<_>>(), [Some(unknown)]);
    }

    #[tokio::test(start_paused = true)]
    async fn administrators_are_told_once_that_the_backend_is_silent_and_once_that_it_answers() {
        let (scene, _) = with_pods(1).await;
        scene.plan(|operation| Fault {
            refuse: operation == "list",
            ..Fault::default()
        });
        swept(&scene).await;
        swept(&scene).await;
        scene.plan(|_| Fault::default());
        swept(&scene).await;
        swept(&scene).await;
        let all = EventQuery {
            after: None,
            limit: 1000,
        };
        let events = scene.store.events(&all).await.unwrap().events;
        let notices = events
            .iter()
            .filter(|e| e.event.kind == EventKind::AdminNotice);
        let kinds: Vec<_> = notices.map(|e| e.event.body["kind"].clone()).collect();
        assert_eq!(kinds, ["backendUnreachable", "backendRecovered"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_volume_alone_wakes_a_tombstone_and_no_pod_that_is_alive() {
        let (scene, ids) = with_pods(1).await;
        let id = ids[0];
        let wakes = async |has_container| {
            let mut changes = Changes::default();
            let judged = judge_stranger(scene.core(), id, has_container, &mut changes);
            judged.await.unwrap();
            changes.wakes.len()
        };
        assert_eq!((wakes(false).await, wakes(true).await), (0, 1));
        change(&scene.store, id, |pod| {
            pod.deleted_at = Some(crate::fixture::NOW);
        });
        assert_eq!((wakes(false).await, wakes(true).await), (1, 1));
    }
}
