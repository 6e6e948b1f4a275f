//! What is there: of one pod, and of all.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;

use super::{Able, Outside, Program, Subject};
use crate::conformance::{Case, cases};
use crate::id::PodId;
use crate::orchestrator::{State, Workload};

pub(super) fn cases() -> impl IntoIterator<Item = Case<Subject, Able>> {
    cases![
        nothing_is_seen_of_a_pod_that_is_not_there,
        the_backends_time_goes_on,
        a_list_has_every_instance_as_it_is_observed,
        a_list_has_a_volume_that_is_alone,
        a_list_of_two_hundred_with_a_foreign_object_between,
        a_list_of_an_empty_backend_is_empty,
    ]
}

async fn nothing_is_seen_of_a_pod_that_is_not_there(s: Arc<Subject>) -> Able {
    let other = s.workload(Program::Sleeps)?;
    s.start(&other).await;
    let w = s.workload(Program::Sleeps)?;
    let seen = s.observe(w.run.pod).await;
    assert_eq!((seen.instances, seen.volume), (vec![], None));
    Ok(())
}

async fn the_backends_time_goes_on(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    let before = s.observe(w.run.pod).await.at;
    let started_at = s.run(&w).await;
    let after = s.observe(w.run.pod).await.at;
    // A backend that counts in whole seconds tells the beginning of the one in which the run started.
    let one = Duration::from_secs(1);
    assert!(
        before < started_at + one && started_at <= after,
        "{before:?}, {started_at:?}, {after:?}"
    );
    Ok(())
}

async fn a_list_has_every_instance_as_it_is_observed(s: Arc<Subject>) -> Able {
    let all = [
        s.workload(Program::Sleeps)?,
        s.workload(Program::Fails)?,
        s.workload(Program::Sleeps)?,
    ];
    s.start(&all[0]).await;
    s.start(&all[1]).await;
    s.ended(all[1].run).await;
    s.create(&all[2]).await;
    let listed = s.list().await;
    assert_eq!(listed.len(), 3, "{listed:?}");
    for w in &all {
        let seen = s.observe(w.run.pod).await.instances;
        let found = listed.iter().find(|f| f.pod == w.run.pod);
        assert_eq!(found.unwrap().instance.as_ref(), seen.first());
    }
    Ok(())
}

async fn a_list_has_a_volume_that_is_alone(s: Arc<Subject>) -> Able {
    let w = s.with_volume(Program::Sleeps)?;
    s.start(&w).await;
    s.remove(w.run).await;
    let listed = s.list().await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0].pod, w.run.pod);
    assert_eq!(listed[0].instance, None);
    Ok(())
}

async fn eight_at_a_time<F>(
    s: &Arc<Subject>,
    all: &[Workload],
    act: fn(Arc<Subject>, Workload) -> F,
) where
    F: Future<Output = ()>,
{
    let acts = all.iter().map(|w| act(s.clone(), w.clone()));
    let acts: Vec<F> = acts.collect();
    stream::iter(acts)
        .buffer_unordered(8)
        .collect::<Vec<()>>()
        .await;
}

async fn a_list_of_two_hundred_with_a_foreign_object_between(s: Arc<Subject>) -> Able {
    let mut made = Vec::new();
    for _ in 0..200 {
        made.push(s.workload(Program::Sleeps)?);
    }
    // Where nothing foreign can be, the list is as long all the same.
    let foreign = s.fixture.outside(Outside::Foreign(made[100].run)).await;
    eight_at_a_time(&s, &made, |s, w| async move { s.create(&w).await }).await;
    let listed = s.list().await;
    let pods: BTreeSet<PodId> = listed.iter().map(|f| f.pod).collect();
    assert_eq!(pods, made.iter().map(|w| w.run.pod).collect());
    assert_eq!(listed.len(), 200);
    let unstarted = |state: &State| matches!(state, State::Pending { .. });
    assert!(
        listed
            .iter()
            .all(|f| f.instance.as_ref().is_some_and(|i| unstarted(&i.state)))
    );
    eight_at_a_time(&s, &made, |s, w| async move {
        s.stop(w.run, Duration::ZERO).await;
    })
    .await;
    // The network of their tenant may be there.
    assert!(s.list().await.iter().all(|f| f.instance.is_none()));
    assert_eq!(s.fixture.foreign().await, usize::from(foreign.is_ok()));
    Ok(())
}

async fn a_list_of_an_empty_backend_is_empty(s: Arc<Subject>) -> Able {
    assert_eq!(s.list().await, []);
    Ok(())
}
