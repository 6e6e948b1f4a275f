//! The last question before a start: a late create never runs, and a late start finds its container gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::subject::shut;
use super::{Able, Program, Subject};
use crate::conformance::{Case, cases};
use crate::error::{Error, ErrorKind};
use crate::orchestrator::{Ensured, Fence, State, Workload};

pub(super) fn cases() -> impl IntoIterator<Item = Case<Subject, Able>> {
    cases![
        a_closed_fence_leaves_it_unstarted,
        what_was_left_unstarted_starts_behind_an_open_fence,
        a_fence_that_fails_starts_nothing,
        the_fence_is_asked_when_the_container_is_there,
        a_fence_is_not_asked_about_what_runs,
        removed_while_the_fence_is_asked_it_never_runs,
        stopped_while_the_fence_is_asked_it_never_runs,
        made_anew_while_the_fence_is_asked_it_stays_unstarted,
    ]
}

/// A fence that lets `first` happen, then says yes.
fn after<F>(first: impl Fn() -> F + Send + Sync + 'static) -> Fence
where
    F: Future<Output = ()> + Send + 'static,
{
    Fence::new(move || {
        let first = first();
        Box::pin(async {
            first.await;
            Ok(true)
        })
    })
}

async fn a_closed_fence_leaves_it_unstarted(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    s.create(&w).await;
    s.unstarted(w.run).await;
    s.create(&w).await;
    s.unstarted(w.run).await;
    Ok(())
}

async fn what_was_left_unstarted_starts_behind_an_open_fence(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    s.create(&w).await;
    s.run(&w).await;
    assert_eq!(s.observe(w.run.pod).await.instances.len(), 1);
    Ok(())
}

async fn a_fence_that_fails_starts_nothing(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    let fence = Fence::new(|| Box::pin(async { Err(Error::conflict("the store's own words")) }));
    let error = s.orchestrator.ensure(&w, &fence).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Conflict, "{error:?}");
    s.unstarted(w.run).await;
    Ok(())
}

async fn the_fence_is_asked_when_the_container_is_there(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    let asked = Arc::new(AtomicBool::new(false));
    let (subject, run, flag) = (s.clone(), w.run, asked.clone());
    let fence = after(move || {
        let (s, flag) = (subject.clone(), flag.clone());
        async move {
            s.unstarted(run).await;
            flag.store(true, Ordering::Relaxed);
        }
    });
    let ensured = s.orchestrator.ensure(&w, &fence).await;
    assert_eq!(ensured.expect("ensure"), Ensured::Present);
    assert!(asked.load(Ordering::Relaxed));
    s.running(w.run).await;
    Ok(())
}

async fn a_fence_is_not_asked_about_what_runs(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    let started_at = s.run(&w).await;
    let ensured = s.orchestrator.ensure(&w, &shut()).await;
    assert_eq!(ensured.expect("ensure"), Ensured::Present);
    assert_eq!(s.running(w.run).await, started_at);
    Ok(())
}

/// Ensures `w` while its fence does something to it; it must not have run.
async fn meanwhile<F>(s: &Arc<Subject>, w: &Workload, act: fn(Arc<Subject>, Workload) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (subject, workload) = (s.clone(), w.clone());
    let fence = after(move || act(subject.clone(), workload.clone()));
    let ensured = s.orchestrator.ensure(w, &fence).await;
    assert_eq!(ensured.expect("ensure"), Ensured::Fenced);
}

async fn removed_while_the_fence_is_asked_it_never_runs(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    meanwhile(&s, &w, |s, w| async move { s.remove(w.run).await }).await;
    s.absent(w.run).await;
    Ok(())
}

async fn stopped_while_the_fence_is_asked_it_never_runs(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    let second = Duration::from_secs(1);
    meanwhile(&s, &w, move |s, w| async move {
        s.stop(w.run, Duration::from_secs(1)).await;
    })
    .await;
    s.stop(w.run, second).await;
    s.absent(w.run).await;
    Ok(())
}

/// A start by name would find the new one.
async fn made_anew_while_the_fence_is_asked_it_stays_unstarted(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    meanwhile(&s, &w, |s, w| async move {
        s.remove(w.run).await;
        s.create(&w).await;
    })
    .await;
    let state = s.state(w.run).await;
    assert!(matches!(state, Some(State::Pending { .. })), "{state:?}");
    Ok(())
}
