use super::*;
use crate::fixture::{at, running};
use crate::id::DeviceId;
use crate::orchestrator::GpuUsage;

const MINUTE: Duration = Duration::from_secs(60);

/// Of a minute ago, and now: so much more of each.
fn between(cpu_seconds: u64, bytes: u64) -> (Usage, Usage) {
    let before = Usage {
        cpu_micros: Some(7_000_000),
        rx_bytes: Some(1000),
        tx_bytes: Some(2000),
        ..Usage::default()
    };
    let now = Usage {
        cpu_micros: Some(7_000_000 + cpu_seconds * 1_000_000),
        tx_bytes: Some(2000 + bytes),
        ..before.clone()
    };
    (before, now)
}

fn gpu(percent: Option<u32>) -> GpuUsage {
    GpuUsage {
        percent,
        ..GpuUsage::unknown(DeviceId::from("a"))
    }
}

#[test]
fn what_computes_or_talks_is_used_and_what_can_not_be_measured_is_not_idle() {
    let of = |(before, now): (Usage, Usage)| used(&before, &now, MINUTE);
    assert_eq!(of(between(5, 100_000)), Used::ByNothing, "an open page");
    assert_eq!(of(between(6, 0)), Used::By(Signal::Cpu));
    assert_eq!(of(between(0, 4096 * 60)), Used::By(Signal::Network));

    let with = |change: &dyn Fn(&mut Usage)| {
        let (before, mut now) = between(0, 0);
        change(&mut now);
        used(&before, &now, MINUTE)
    };
    assert_eq!(with(&|u| u.gpus = vec![gpu(Some(4))]), Used::ByNothing);
    let busy = vec![gpu(Some(0)), gpu(Some(5))];
    assert_eq!(with(&|u| u.gpus = busy.clone()), Used::By(Signal::Gpu));
    assert_eq!(with(&|u| u.cpu_milli = Some(100)), Used::By(Signal::Cpu));
    assert_eq!(with(&|u| u.gpus = vec![gpu(None)]), Used::Unknown);
    assert_eq!(with(&|u| u.rx_bytes = None), Used::Unknown);
    assert_eq!(with(&|u| u.cpu_micros = None), Used::Unknown);
    let anew = with(&|u| u.cpu_micros = Some(0));
    assert_eq!(anew, Used::Unknown, "another container");
}

#[test]
fn only_a_span_that_was_seen_quiet_stops_a_pod() {
    let mut pod = running();
    pod.idle_stop = Some(MINUTE);
    pod.last_activity = Some(Activity {
        signal: Signal::Network,
        at: at(100),
    });
    assert_eq!(pod.idle_stop_at(), Some(at(160)));
    let weighed = |used, quiet_since, now| {
        let next = weigh(&pod, MINUTE, used, at(quiet_since), at(now));
        match next {
            Some(Next::Write(after)) => Some((after.reason, after.last_activity, after.message)),
            _ => None,
        }
    };
    assert_eq!(weighed(Used::ByNothing, 90, 159), None);
    let unseen = weighed(Used::ByNothing, 110, 169);
    assert_eq!(unseen, None, "nobody looked before");
    assert_eq!(weighed(Used::Unknown, 90, 1000), None);
    let (reason, _, message) = weighed(Used::ByNothing, 90, 160).unwrap();
    assert_eq!(reason, Some(Reason::Idle));
    let message = message.unwrap();
    assert!(message.contains("1 min: "), "{message}");
    assert!(message.contains("its network"), "{message}");
    let (reason, last, _) = weighed(Used::By(Signal::Gpu), 90, 160).unwrap();
    assert_eq!(reason, None);
    let gpu = Activity {
        signal: Signal::Gpu,
        at: at(160),
    };
    assert_eq!(last, Some(gpu));
}

#[cfg(feature = "testing")]
mod over_a_scene {
    use super::*;
    use crate::fault::Fault;
    use crate::pod::Phase;
    use crate::scene::Scene;
    use crate::store::EventQuery;
    use crate::{Launch, Store};

    async fn minutes(scene: &Scene, n: u32) {
        for _ in 0..n * 12 {
            tokio::time::advance(Duration::from_secs(5)).await;
            scene.platform.run_until_idle().await.unwrap();
        }
    }

    fn ask(image: &str) -> Launch {
        Launch::image(image).idle_stop(10 * MINUTE)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_used_is_stopped_and_what_trains_is_not() {
        let scene = Scene::new().await;
        let quiet = scene.launch(ask("quiet")).await;
        let trains = scene.launch(ask("busy")).await;
        // Of which nothing is known.
        let unknown = scene.launch(ask("there")).await;
        let kept = scene.launch(Launch::image("quiet")).await;
        minutes(&scene, 9).await;
        for id in [quiet, trains, unknown, kept] {
            assert_eq!(scene.pod(id).await.phase(), Phase::Running);
        }
        let started = scene.pod(quiet).await.last_activity.unwrap();
        assert_eq!(started.signal, Signal::Start);
        let from = Some(scene.store.newest().await.unwrap());

        minutes(&scene, 3).await;
        let stopped = scene.pod(quiet).await;
        assert_eq!(
            (stopped.phase(), stopped.reason),
            (Phase::Stopped, Some(Reason::Idle))
        );
        let trained = scene.pod(trains).await;
        assert_eq!(trained.last_activity.unwrap().signal, Signal::Cpu);
        for id in [trains, unknown, kept] {
            assert_eq!(scene.pod(id).await.phase(), Phase::Running);
        }
        // That one is used is no news.
        let query = EventQuery {
            after: from,
            limit: 100,
        };
        let events = scene.store.events(&query).await.unwrap().events;
        assert!(!events.is_empty());
        assert!(events.iter().all(|event| event.event.pod == Some(quiet)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_keeps_a_pod() {
        let scene = Scene::new().await;
        let me = Identity::local();
        let id = scene.launch(ask("quiet")).await;
        for _ in 0..4 {
            minutes(&scene, 6).await;
            let pod = scene.platform.heartbeat(&me, id).await.unwrap();
            assert_eq!(pod.last_activity.unwrap().signal, Signal::Heartbeat);
            let again = scene.platform.heartbeat(&me, id).await.unwrap();
            assert_eq!(again.version, pod.version, "it is known already");
        }
        assert_eq!(scene.pod(id).await.phase(), Phase::Running);
        minutes(&scene, 12).await;
        let message = scene.pod(id).await.message.unwrap();
        assert!(message.contains("a heartbeat"), "{message}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_does_not_measure_stops_nothing() {
        let scene = Scene::new().await;
        let id = scene.launch(ask("quiet")).await;
        minutes(&scene, 8).await;
        let mut refusals = 3;
        scene.plan(move |call| {
            let refuse = call == "usage" && refusals > 0;
            refusals -= i32::from(refuse);
            Fault {
                refuse,
                ..Fault::default()
            }
        });
        minutes(&scene, 9).await;
        let pod = scene.pod(id).await;
        assert_eq!(pod.phase(), Phase::Running, "some of it was not seen");
        minutes(&scene, 8).await;
        assert_eq!(scene.pod(id).await.reason, Some(Reason::Idle));
    }
}
