use std::collections::BTreeMap;

use super::*;
use crate::Launch;
use crate::id::DeviceId;
use crate::memory::{Behaviour, MemoryOrchestrator};
use crate::orchestrator::{GpuUsage, Usage};
use crate::scene::Scene;

const LIMITS: Limits = Limits {
    cpu_milli: 2000,
    memory_bytes: 1000,
    disk_bytes: 10,
    volume_bytes: 20,
};

fn at(seconds: u64) -> Time {
    Time::EPOCH + Duration::from_secs(seconds)
}

fn counted(seconds: u64, cpu_micros: u64, rx: u64) -> Usage {
    Usage {
        at: Some(at(seconds)),
        cpu_micros: Some(cpu_micros),
        rx_bytes: Some(rx),
        ..Usage::default()
    }
}

#[test]
fn rates_are_what_was_counted_in_between_and_unknown_without_a_look_before() {
    let first = point(None, &counted(10, 5_000_000, 100), &LIMITS, at(1)).unwrap();
    assert_eq!((first.cpu_cores, first.rx_per_second), (None, None));
    let before = counted(10, 5_000_000, 100);
    let then = point(Some(&before), &counted(12, 6_000_000, 300), &LIMITS, at(3)).unwrap();
    assert_eq!((then.cpu_cores, then.cpu_percent), (Some(0.5), Some(25.0)));
    assert_eq!(then.rx_per_second, Some(100.0));
    assert_eq!((then.tx_per_second, then.disk_bytes), (None, None));
    assert_eq!(then.memory_limit_bytes, Some(1000), "its own, if no other");

    let anew = point(Some(&before), &counted(12, 1, 300), &LIMITS, at(3)).unwrap();
    assert_eq!(anew.cpu_cores, None, "a counter that fell began anew");
    let twice = point(Some(&before), &before, &LIMITS, at(3)).unwrap();
    assert_eq!(twice.cpu_cores, None, "no time has passed");
    assert_eq!(
        point(Some(&before), &Usage::default(), &LIMITS, at(3)),
        None
    );
}

#[test]
fn an_average_is_of_what_is_known() {
    let gpu = |percent| GpuUsage {
        percent,
        ..GpuUsage::unknown(DeviceId::from("GPU-1"))
    };
    let points = [
        Point {
            cpu_cores: Some(1.0),
            gpus: vec![gpu(Some(10))],
            ..Point::default()
        },
        Point {
            cpu_cores: Some(2.0),
            memory_bytes: Some(7),
            gpus: vec![gpu(Some(31))],
            ..Point::default()
        },
        Point {
            gpus: vec![gpu(None)],
            ..Point::default()
        },
    ];
    let average = average(&points, at(60));
    assert_eq!((average.at, average.cpu_cores), (at(60), Some(1.5)));
    assert_eq!((average.memory_bytes, average.disk_bytes), (Some(7), None));
    assert_eq!(average.gpu_percent(), Some(21));
    assert_eq!(super::average(&[], at(0)), Point::default());
}

#[test]
fn buckets_begin_at_from_and_one_without_points_is_not_there() {
    let of = |seconds, cores| Point {
        at: at(seconds),
        cpu_cores: Some(cores),
        ..Point::default()
    };
    let points = [
        of(9, 9.0),
        of(10, 1.0),
        of(14, 3.0),
        of(20, 5.0),
        of(25, 9.0),
    ];
    let found = buckets(&points, at(10), at(25), Duration::from_secs(5));
    let found: Vec<_> = found.iter().map(|p| (p.at, p.cpu_cores.unwrap())).collect();
    assert_eq!(found, [(at(10), 2.0), (at(20), 5.0)]);
}

#[test]
fn a_ring_keeps_ten_minutes_and_tells_each_minute_that_ended() {
    let mut ring = ring::Ring::default();
    let mut minutes = BTreeMap::new();
    for second in 30..1000 {
        let point = Point {
            at: at(second),
            cpu_cores: Some((second / 60) as f64),
            ..Point::default()
        };
        minutes.extend(ring.push(point).map(|m| (m.at, m.cpu_cores)));
    }
    assert_eq!(ring.points().count(), 600);
    assert_eq!(ring.points().next().unwrap().at, at(400));
    assert_eq!(minutes.len(), 16);
    assert!(
        (minutes.iter()).all(|(at, cores)| *cores == Some((at.as_micros() / 60_000_000) as f64))
    );
    assert_eq!(ring.end().unwrap().at, at(960));
    assert_eq!(ring.end(), None);
}

#[test]
fn a_span_has_a_step_that_fits_and_is_refused_if_it_has_too_many() {
    let hours = |n: u64| Some(at(1_000_000) - Duration::from_secs(n * 3600));
    let ask = |from, step: Option<u64>| {
        let query = MetricsQuery {
            from,
            to: Some(at(1_000_000)),
            step: step.map(Duration::from_secs),
        };
        span(&query, at(0)).map(|(_, _, step)| step.as_secs())
    };
    assert_eq!(ask(None, None).unwrap(), 1);
    assert_eq!(ask(hours(1), None).unwrap(), 60);
    assert_eq!(ask(hours(24 * 7), None).unwrap(), 1020);
    assert_eq!(ask(hours(25), Some(60)).unwrap(), 60);
    for (from, step) in [(hours(26), Some(60)), (None, Some(0)), (hours(0), None)] {
        let error = ask(from, step).unwrap_err();
        assert_eq!(*error.kind(), crate::ErrorKind::Invalid, "{error}");
    }
}

fn uses(cores: u64) -> Behaviour {
    Behaviour {
        usage: Usage {
            cpu_milli: Some(cores * 1000),
            memory_bytes: Some(100),
            ..Usage::default()
        },
        ..Behaviour::default()
    }
}

/// A pod that runs, on a replica whose engine is looked at.
async fn running() -> (Scene, PodId) {
    let scene = Scene::new().await;
    let pod = scene.launch(Launch::image("there")).await;
    scene.platform.run_until_idle().await.unwrap();
    scene.calls();
    (scene, pod)
}

fn looks(scene: &Scene) -> usize {
    let calls = scene.calls().into_iter();
    calls.filter(|call| *call == "usage").count()
}

async fn seconds(n: u64) {
    for _ in 0..n * 10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_measured_once_a_second_however_many_watch_it_and_not_at_all_if_nobody_does() {
    let (scene, pod) = running().await;
    let me = Identity::local();
    seconds(60).await;
    assert_eq!(looks(&scene), 0, "nobody watches");

    let mut watches = Vec::new();
    for _ in 0..100 {
        watches.push(scene.platform.watch_usage(&me, pod).await.unwrap());
    }
    seconds(60).await;
    let looked = looks(&scene);
    assert!((59..=62).contains(&looked), "{looked} looks in a minute");
    assert!(watches.iter().all(|watch| watch.latest().is_some()));
    assert_eq!(scene.core().metrics.len(), 1);

    watches.clear();
    seconds(10).await;
    scene.calls();
    seconds(600).await;
    assert_eq!(
        scene.calls(),
        [""; 0],
        "no work for a pod that nobody watches"
    );
    assert_eq!(scene.core().metrics.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_stops_uses_nothing_and_is_measured_again_once_it_runs() {
    let (scene, pod) = running().await;
    let me = Identity::local();
    let mut watch = scene.platform.watch_usage(&me, pod).await.unwrap();
    let first = watch.next().await.expect("it runs");
    assert_eq!(first.cpu_cores, None, "a first look has no rate");
    scene.platform.stop(&me, pod).await.unwrap();
    scene.platform.run_until_idle().await.unwrap();
    while watch.next().await.is_some() {}
    assert_eq!(watch.latest(), None);
    assert_eq!(scene.platform.usage(&me, pod).await.unwrap(), None);
    scene.platform.start(&me, pod).await.unwrap();
    scene.platform.run_until_idle().await.unwrap();
    assert!(watch.next().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn who_asks_again_and_again_sees_seconds_and_later_on_minutes() {
    let engine = MemoryOrchestrator::builder().image("busy", uses(1)).build();
    let platform = Platform::builder()
        .orchestrator(engine)
        .build()
        .await
        .unwrap();
    let me = Identity::local();
    let launched = platform
        .launch(&me, &Launch::image("busy").gpu("cpu"))
        .await;
    let pod = launched.unwrap().id;
    platform.run_until_idle().await.unwrap();
    let ask = async |query| platform.usage_over_time(&me, pod, &query).await.unwrap();
    assert_eq!(ask(MetricsQuery::default()).await.points, []);
    let began = platform.clock().now();
    for _ in 0..6 {
        seconds(30).await;
        ask(MetricsQuery::default()).await;
    }
    let live = ask(MetricsQuery::default()).await;
    assert_eq!(live.step, Duration::from_secs(1));
    assert!(
        (175..=182).contains(&live.points.len()),
        "{}",
        live.points.len()
    );
    assert!(live.points.iter().all(|p| p.cpu_cores == Some(1.0)));

    // Nobody asks any more, and the seconds are forgotten.
    seconds(120).await;
    let later = MetricsQuery {
        from: Some(began - Duration::from_secs(60)),
        to: Some(began + Duration::from_secs(600)),
        step: Some(Duration::from_secs(60)),
    };
    let found = ask(later).await.points;
    assert!((4..=6).contains(&found.len()), "{found:?}");
    assert!(
        found
            .iter()
            .all(|p| p.cpu_cores == Some(1.0) && p.memory_bytes == Some(100))
    );
    tokio::time::advance(KEPT).await;
    assert_eq!(ask(later).await.points, [], "minutes are kept for a week");
}

#[tokio::test(start_paused = true)]
async fn a_single_look_has_rates_since_the_one_before() {
    let (scene, pod) = running().await;
    let me = Identity::local();
    scene.platform.usage(&me, pod).await.unwrap().unwrap();
    scene.platform.usage(&me, pod).await.unwrap().unwrap();
    assert_eq!(looks(&scene), 2);
    let watch = scene.platform.watch_usage(&me, pod).await.unwrap();
    seconds(3).await;
    scene.calls();
    let known = scene.platform.usage(&me, pod).await.unwrap();
    assert_eq!((known, looks(&scene)), (watch.latest(), 0), "it is known");
}
