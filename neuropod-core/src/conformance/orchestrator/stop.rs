//! Stopping ends what runs, and keeps the evidence of it.

use std::sync::Arc;
use std::time::Duration;

use super::{Able, Outside, Program, Subject};
use crate::conformance::{Case, cases};
use crate::orchestrator::{Ensured, ExitCause};

pub(super) fn cases() -> impl IntoIterator<Item = Case<Subject, Able>> {
    cases![
        stop_ends_what_runs_and_keeps_its_times,
        stop_of_nothing_does_nothing,
        stop_of_what_never_ran_removes_it,
        stop_twice_keeps_the_end,
        stop_after_the_end_changes_nothing,
        stop_returns_while_the_program_still_ends,
        a_program_that_ignores_it_is_killed_after_the_grace,
        a_program_gets_its_grace,
        stop_again_with_less_grace_counts,
        stop_again_with_more_grace_does_not,
        stop_of_one_run_leaves_the_other,
    ]
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const KILLED: i64 = 137;

async fn stop_ends_what_runs_and_keeps_its_times(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    let started_at = s.run(&w).await;
    s.stop(w.run, SECOND).await;
    let end = s.ended(w.run).await;
    assert_eq!(end.started_at, Some(started_at));
    let finished_at = end.finished_at.expect("it was observed");
    assert!(finished_at >= started_at, "{end:?}");
    assert_eq!(end.cause, ExitCause::Ended);
    assert!(end.code.is_some());
    Ok(())
}

async fn stop_of_nothing_does_nothing(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    s.stop(w.run, SECOND).await;
    s.absent(w.run).await;
    s.run(&w).await;
    Ok(())
}

async fn stop_of_what_never_ran_removes_it(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    s.create(&w).await;
    s.stop(w.run, SECOND).await;
    s.absent(w.run).await;
    Ok(())
}

async fn stop_twice_keeps_the_end(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    s.start(&w).await;
    s.stop(w.run, SECOND).await;
    s.stop(w.run, SECOND).await;
    let end = s.ended(w.run).await;
    s.stop(w.run, SECOND).await;
    assert_eq!(s.ended(w.run).await, end);
    Ok(())
}

async fn stop_after_the_end_changes_nothing(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Fails)?;
    s.start(&w).await;
    let end = s.ended(w.run).await;
    s.stop(w.run, SECOND).await;
    assert_eq!(s.ended(w.run).await, end);
    assert_eq!(end.code, Some(3));
    Ok(())
}

async fn stop_returns_while_the_program_still_ends(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::IgnoresTerm)?;
    let started_at = s.run(&w).await;
    let stop = s.stop(w.run, HOUR);
    let stopped = tokio::time::timeout(Duration::from_secs(60), stop).await;
    stopped.expect("stop does not wait for the end");
    assert_eq!(s.running(w.run).await, started_at);
    s.fixture.outside(Outside::Kill(w.run)).await?;
    assert_eq!(s.ended(w.run).await.code, Some(KILLED));
    Ok(())
}

async fn a_program_that_ignores_it_is_killed_after_the_grace(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::IgnoresTerm)?;
    s.start(&w).await;
    s.stop(w.run, SECOND).await;
    let end = s.ended(w.run).await;
    assert_eq!(end.code, Some(KILLED));
    assert!(end.finished_at.is_some());
    Ok(())
}

/// Less than a second is some grace and not none.
async fn a_program_gets_its_grace(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::EndsLate)?;
    s.start(&w).await;
    s.log_of(w.run, 1).await;
    s.stop(w.run, Duration::from_millis(900)).await;
    assert_ne!(s.ended(w.run).await.code, Some(KILLED));
    Ok(())
}

async fn stop_again_with_less_grace_counts(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::IgnoresTerm)?;
    s.start(&w).await;
    s.stop(w.run, HOUR).await;
    s.stop(w.run, SECOND).await;
    assert_eq!(s.ended(w.run).await.code, Some(KILLED));
    Ok(())
}

async fn stop_again_with_more_grace_does_not(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::IgnoresTerm)?;
    s.start(&w).await;
    s.stop(w.run, SECOND).await;
    s.stop(w.run, HOUR).await;
    assert_eq!(s.ended(w.run).await.code, Some(KILLED));
    Ok(())
}

async fn stop_of_one_run_leaves_the_other(s: Arc<Subject>) -> Able {
    let first = s.workload(Program::Sleeps)?;
    let second = super::subject::next(&first);
    s.start(&first).await;
    let started_at = s.run(&second).await;
    s.stop(first.run, SECOND).await;
    s.ended(first.run).await;
    assert_eq!(s.running(second.run).await, started_at);
    assert_eq!(s.ensure(&second).await, Ensured::Present);
    Ok(())
}
