//! Deleting: one run by its number and key, or all of a pod.

use std::sync::Arc;

use super::subject::next;
use super::{Able, Program, Subject};
use crate::conformance::{Case, cases};
use crate::id::{Entropy, RunId, RunKey};

pub(super) fn cases() -> impl IntoIterator<Item = Case<Subject, Able>> {
    cases![
        remove_of_nothing_does_nothing,
        remove_takes_what_ended,
        remove_takes_what_runs_and_keeps_the_volume,
        remove_takes_that_run_only,
        remove_with_another_key_takes_nothing,
        purge_leaves_nothing,
        purge_of_nothing_does_nothing,
        purge_leaves_other_pods_alone,
    ]
}

async fn remove_of_nothing_does_nothing(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    s.remove(w.run).await;
    s.absent(w.run).await;
    Ok(())
}

async fn remove_takes_what_ended(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Succeeds)?;
    s.start(&w).await;
    s.ended(w.run).await;
    s.remove(w.run).await;
    s.absent(w.run).await;
    s.remove(w.run).await;
    Ok(())
}

async fn remove_takes_what_runs_and_keeps_the_volume(s: Arc<Subject>) -> Able {
    let w = s.with_volume(Program::IgnoresTerm)?;
    s.start(&w).await;
    let volume = s.volume(w.run.pod).await;
    s.remove(w.run).await;
    s.absent(w.run).await;
    assert_eq!(s.volume(w.run.pod).await, volume);
    Ok(())
}

async fn remove_takes_that_run_only(s: Arc<Subject>) -> Able {
    let first = s.workload(Program::Sleeps)?;
    let second = next(&first);
    s.start(&first).await;
    let started_at = s.run(&second).await;
    s.remove(first.run).await;
    s.absent(first.run).await;
    assert_eq!(s.running(second.run).await, started_at);
    Ok(())
}

async fn remove_with_another_key_takes_nothing(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    let started_at = s.run(&w).await;
    let key = RunKey::random(&Entropy::system());
    s.remove(RunId { key, ..w.run }).await;
    assert_eq!(s.running(w.run).await, started_at);
    Ok(())
}

async fn purge_leaves_nothing(s: Arc<Subject>) -> Able {
    let first = s.with_volume(Program::Succeeds)?;
    let (second, third) = (next(&first), next(&next(&first)));
    let pod = first.run.pod;
    s.start(&first).await;
    s.ended(first.run).await;
    s.start(&second).await;
    s.create(&third).await;
    s.purge(pod).await;
    let seen = s.observe(pod).await;
    assert_eq!((seen.instances, seen.volume), (vec![], None));
    assert_eq!(s.fixture.left(pod).await, [""; 0]);
    assert!(s.list().await.iter().all(|found| found.pod != pod));
    Ok(())
}

async fn purge_of_nothing_does_nothing(s: Arc<Subject>) -> Able {
    let w = s.with_volume(Program::Sleeps)?;
    s.purge(w.run.pod).await;
    s.start(&w).await;
    s.purge(w.run.pod).await;
    s.purge(w.run.pod).await;
    s.absent(w.run).await;
    Ok(())
}

async fn purge_leaves_other_pods_alone(s: Arc<Subject>) -> Able {
    let (mine, other) = (
        s.with_volume(Program::Sleeps)?,
        s.with_volume(Program::Sleeps)?,
    );
    s.start(&mine).await;
    let started_at = s.run(&other).await;
    let volume = s.volume(other.run.pod).await;
    s.purge(mine.run.pod).await;
    assert_eq!(s.running(other.run).await, started_at);
    assert_eq!(s.volume(other.run.pod).await, volume);
    Ok(())
}
