//! A backend that does not answer has not lost anything: every method says so, and nothing is taken for gone.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use super::{Able, Outside, Program, Subject};
use crate::conformance::{Case, cases};
use crate::error::{ErrorKind, Result};
use crate::orchestrator::{LogQuery, Workload};

pub(super) fn cases() -> impl IntoIterator<Item = Case<Subject, Able>> {
    cases![
        ensure_says_unreachable,
        stop_says_unreachable,
        remove_says_unreachable,
        purge_says_unreachable,
        observe_says_unreachable,
        list_says_unreachable,
        watch_says_unreachable,
        logs_say_unreachable,
        usage_says_unreachable,
        capacity_says_unreachable,
        a_followed_log_breaks_with_an_error,
        a_watch_ends,
        everything_is_there_afterwards,
    ]
}

/// A pod that runs on a backend that can't be reached any more.
async fn cut_off(s: &Subject) -> Able<Workload> {
    let w = s.with_volume(Program::Sleeps)?;
    s.start(&w).await;
    s.fixture.outside(Outside::Cut).await?;
    Ok(w)
}

/// It was not reached, and trying again may help.
#[track_caller]
fn unreachable<T: Debug>(result: Result<T>) {
    let error = result.expect_err("nothing can be known");
    assert_eq!(*error.kind(), ErrorKind::Unreachable, "{error:?}");
    assert!(error.is_retryable());
}

async fn ensure_says_unreachable(s: Arc<Subject>) -> Able {
    let w = cut_off(&s).await?;
    unreachable(s.try_ensure(&w).await);
    unreachable(s.try_ensure(&super::subject::next(&w)).await);
    Ok(())
}

async fn stop_says_unreachable(s: Arc<Subject>) -> Able {
    let w = cut_off(&s).await?;
    let grace = Duration::from_secs(1);
    unreachable(s.orchestrator.stop(w.run, grace).await);
    Ok(())
}

async fn remove_says_unreachable(s: Arc<Subject>) -> Able {
    let w = cut_off(&s).await?;
    unreachable(s.orchestrator.remove(w.run).await);
    Ok(())
}

async fn purge_says_unreachable(s: Arc<Subject>) -> Able {
    let w = cut_off(&s).await?;
    unreachable(s.orchestrator.purge(w.run.pod).await);
    Ok(())
}

async fn observe_says_unreachable(s: Arc<Subject>) -> Able {
    let w = cut_off(&s).await?;
    unreachable(s.orchestrator.observe(w.run.pod).await);
    Ok(())
}

/// At once, or by its last item.
async fn list_says_unreachable(s: Arc<Subject>) -> Able {
    cut_off(&s).await?;
    match s.orchestrator.list().await {
        Err(error) => unreachable::<()>(Err(error)),
        Ok(list) => {
            let last = list.collect::<Vec<_>>().await.pop();
            unreachable(last.expect("an error"));
        }
    }
    Ok(())
}

/// A stream has no `Debug`.
fn answered<T>(result: Result<T>) -> Result<()> {
    result.map(drop)
}

async fn watch_says_unreachable(s: Arc<Subject>) -> Able {
    cut_off(&s).await?;
    unreachable(answered(s.orchestrator.watch().await));
    Ok(())
}

async fn logs_say_unreachable(s: Arc<Subject>) -> Able {
    let w = cut_off(&s).await?;
    let query = LogQuery::default();
    unreachable(answered(s.orchestrator.logs(w.run, &query).await));
    Ok(())
}

async fn usage_says_unreachable(s: Arc<Subject>) -> Able {
    let w = cut_off(&s).await?;
    unreachable(s.orchestrator.usage(w.run).await);
    Ok(())
}

async fn capacity_says_unreachable(s: Arc<Subject>) -> Able {
    cut_off(&s).await?;
    unreachable(s.orchestrator.capacity().await);
    Ok(())
}

/// Whoever follows must not take the break for the end.
async fn a_followed_log_breaks_with_an_error(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Prints)?;
    s.start(&w).await;
    s.log_of(w.run, 100).await;
    let query = LogQuery {
        follow: true,
        ..LogQuery::default()
    };
    let mut log = s.orchestrator.logs(w.run, &query).await.expect("a log");
    for _ in 0..100 {
        log.next().await.expect("a line").expect("a line");
    }
    let next = async { Ok(log.next().await) };
    let (next, ()) = tokio::try_join!(next, s.fixture.outside(Outside::Cut))?;
    unreachable(next.expect("an error, and not the end"));
    assert!(log.next().await.is_none());
    Ok(())
}

async fn a_watch_ends(s: Arc<Subject>) -> Able {
    let mut hints = s.orchestrator.watch().await.expect("a watch");
    let ended = async {
        while hints.next().await.is_some() {}
        Ok(())
    };
    tokio::try_join!(ended, s.fixture.outside(Outside::Cut))?;
    Ok(())
}

async fn everything_is_there_afterwards(s: Arc<Subject>) -> Able {
    let w = s.with_volume(Program::Sleeps)?;
    let started_at = s.run(&w).await;
    let volume = s.volume(w.run.pod).await;
    s.fixture.outside(Outside::Cut).await?;
    unreachable(s.orchestrator.observe(w.run.pod).await);
    s.fixture.outside(Outside::Mend).await?;
    assert_eq!(s.running(w.run).await, started_at);
    assert_eq!(s.volume(w.run.pod).await, volume);
    Ok(())
}
