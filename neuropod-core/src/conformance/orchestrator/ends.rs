//! How a program ended, by itself or by others: what is observed is what happened.

use std::sync::Arc;

use super::{Able, Outside, Program, Subject};
use crate::conformance::{Case, cases};
use crate::orchestrator::{ExitCause, State};

pub(super) fn cases() -> impl IntoIterator<Item = Case<Subject, Able>> {
    cases![
        a_program_that_ends_well_is_seen_with_its_times,
        a_program_that_fails_is_seen_with_its_code,
        a_program_that_eats_its_memory_is_told_apart,
        killed_by_somebody_else_it_is_seen_with_its_times,
        removed_by_somebody_else_it_is_not_there,
        restarted_by_somebody_else_it_started_at_another_time,
    ]
}

async fn a_program_that_ends_well_is_seen_with_its_times(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Succeeds)?;
    s.start(&w).await;
    let end = s.ended(w.run).await;
    let seen = s.observe(w.run.pod).await;
    let (started, finished) = (end.started_at.unwrap(), end.finished_at.unwrap());
    assert!(started <= finished && finished <= seen.at, "{end:?}");
    assert_eq!((end.code, end.cause), (Some(0), ExitCause::Ended));
    Ok(())
}

async fn a_program_that_fails_is_seen_with_its_code(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Fails)?;
    s.start(&w).await;
    let end = s.ended(w.run).await;
    assert_eq!((end.code, end.cause), (Some(3), ExitCause::Ended));
    assert!(end.started_at.is_some() && end.finished_at.is_some());
    Ok(())
}

async fn a_program_that_eats_its_memory_is_told_apart(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::EatsMemory)?;
    s.start(&w).await;
    let end = s.ended(w.run).await;
    assert_eq!(end.cause, ExitCause::OutOfMemory);
    assert!(end.finished_at.is_some());
    Ok(())
}

async fn killed_by_somebody_else_it_is_seen_with_its_times(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    let started_at = s.run(&w).await;
    s.fixture.outside(Outside::Kill(w.run)).await?;
    let end = s.ended(w.run).await;
    assert_eq!(end.started_at, Some(started_at));
    assert!(end.finished_at >= Some(started_at), "{end:?}");
    assert_eq!((end.code, end.cause), (Some(137), ExitCause::Ended));
    Ok(())
}

async fn removed_by_somebody_else_it_is_not_there(s: Arc<Subject>) -> Able {
    let w = s.with_volume(Program::Sleeps)?;
    s.start(&w).await;
    let volume = s.volume(w.run.pod).await;
    s.fixture.outside(Outside::Vanish(w.run)).await?;
    s.absent(w.run).await;
    assert_eq!(s.volume(w.run.pod).await, volume);
    Ok(())
}

async fn restarted_by_somebody_else_it_started_at_another_time(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    let first = s.run(&w).await;
    s.fixture.outside(Outside::Kill(w.run)).await?;
    s.ended(w.run).await;
    s.fixture.outside(Outside::Restart(w.run)).await?;
    let second = s
        .until(w.run, "it runs again", |state| match state {
            Some(State::Running { started_at, .. }) => Some(*started_at),
            _ => None,
        })
        .await;
    assert!(second > first);
    Ok(())
}
