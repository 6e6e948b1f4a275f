use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::auth::Identity;
use crate::fixture;
use crate::launch::Launch;
use crate::memory::{Behaviour, MemoryOrchestrator, MemoryStore};
use crate::pod::Phase;

fn engine() -> MemoryOrchestrator {
    let builder = MemoryOrchestrator::builder();
    builder.image("demo", Behaviour::default()).build()
}

#[test]
fn a_histogram_counts_up_to_each_bound_and_beyond() {
    let histogram = Histogram::new(&[0.1, 1.0]);
    for millis in [50, 100, 101, 5000] {
        histogram.observe(Duration::from_millis(millis));
    }
    let spread = histogram.spread();
    assert_eq!(spread.at_most, [(0.1, 2), (1.0, 3)]);
    assert_eq!(spread.count, 4);
    assert!((spread.sum - 5.251).abs() < 1e-9, "{spread:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_there_is_counted_by_the_sweep_for_every_replica() {
    let store = Arc::new(MemoryStore::new());
    let engine = engine();
    let replica = async || {
        let builder = Platform::builder().orchestrator(engine.clone());
        builder.store(Arc::clone(&store)).build().await.unwrap()
    };
    let (works, only_answers) = (replica().await, replica().await);
    let before = only_answers.figures().await;
    assert_eq!((before.census, before.store_answers), (None, true));

    let me = Identity::local();
    for _ in 0..3 {
        let launch = Launch::image("demo").gpu("cpu");
        works.launch(&me, &launch).await.unwrap();
    }
    works.run_until_idle().await.unwrap();
    let stopped = works.launch(&me, &Launch::image("demo").gpu("cpu")).await;
    works.stop(&me, stopped.unwrap().id).await.unwrap();
    works.run_until_idle().await.unwrap();
    crate::loops::start(&works.0).await.unwrap();
    works.run_until_idle().await.unwrap();

    let census = only_answers.figures().await.census.unwrap();
    let of = |phase| census.pods.iter().find(|(other, _)| *other == phase);
    assert_eq!(of(Phase::Running), Some(&(Phase::Running, 3)), "{census:?}");
    assert_eq!(of(Phase::Stopped), Some(&(Phase::Stopped, 1)), "{census:?}");
    assert_eq!((census.orphans, census.payers), (0, 1), "{census:?}");

    let done = works.figures().await.done;
    assert_eq!(done.launches.count, 3, "{done:?}");
    assert_eq!(done.lag.count, 3, "{done:?}");
    assert!(done.passes["sweep"].count >= 1 && done.passes["pod"].count >= 4);
    assert_eq!((done.passes_under_way, done.failures), (0, 0));
    assert!(done.commits.written > 0 && done.commit_time.count >= done.commits.written);
    let idle = only_answers.figures().await.done;
    assert_eq!((idle.launches.count, idle.passes["pod"].count), (0, 0));
}

#[tokio::test]
async fn what_no_row_knows_is_an_orphan() {
    let engine = engine();
    let other = Platform::builder().orchestrator(engine.clone());
    let other = other.build().await.unwrap();
    let launch = Launch::image("demo").gpu("cpu");
    other.launch(&Identity::local(), &launch).await.unwrap();
    other.run_until_idle().await.unwrap();

    let emptied = Platform::builder().orchestrator(engine);
    let emptied = emptied.build().await.unwrap();
    emptied.run_until_idle().await.unwrap();
    let census = emptied.figures().await.census.unwrap();
    assert_eq!((census.orphans, census.pods.len()), (1, 0), "{census:?}");
}

#[test]
fn pods_that_wait_are_counted_by_what_they_wait_for() {
    let mut counting = Counting::default();
    let mut pod = fixture::launched();
    pod.queued_at = Some(fixture::NOW);
    counting.pod(&pod);
    counting.pod(&pod);
    let census = counting.end(fixture::NOW);
    assert_eq!(census.waiting, [(pod.spec.gpu.clone(), 2)].into());
    assert_eq!(census.pods, [(Phase::Queued, 2)]);
}
