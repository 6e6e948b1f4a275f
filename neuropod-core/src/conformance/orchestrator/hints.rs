//! A hint may be missed, so a late one is no fault of a backend for ever; but in a quiet world each change gives one.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;

use super::{Able, Outside, Program, Subject};
use crate::conformance::{Case, cases};
use crate::id::PodId;
use crate::orchestrator::Ensured;

pub(super) fn cases() -> impl IntoIterator<Item = Case<Subject, Able>> {
    cases![
        a_start_gives_a_hint,
        an_end_gives_a_hint,
        a_kill_from_outside_gives_a_hint,
        a_removal_from_outside_gives_a_hint,
        a_lost_volume_gives_a_hint,
        a_pull_that_ends_gives_a_hint,
    ]
}

type Hints = BoxStream<'static, PodId>;

/// A busy machine may be late with it; two seconds are usual at most.
const WITHIN: Duration = Duration::from_secs(20);

async fn watch(s: &Subject) -> Hints {
    s.orchestrator.watch().await.expect("a watch")
}

async fn hint(hints: &mut Hints, pod: PodId) {
    let wanted = async {
        while let Some(hinted) = hints.next().await {
            if hinted == pod {
                return;
            }
        }
        panic!("the watch ended");
    };
    let hinted = tokio::time::timeout(WITHIN, wanted).await;
    hinted.expect("a hint");
}

async fn a_start_gives_a_hint(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    let mut hints = watch(&s).await;
    s.start(&w).await;
    hint(&mut hints, w.run.pod).await;
    Ok(())
}

async fn an_end_gives_a_hint(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::IgnoresTerm)?;
    s.start(&w).await;
    let mut hints = watch(&s).await;
    s.stop(w.run, Duration::from_secs(1)).await;
    hint(&mut hints, w.run.pod).await;
    // Nothing else is hinted at before the end.
    s.ended(w.run).await;
    Ok(())
}

async fn a_kill_from_outside_gives_a_hint(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    s.start(&w).await;
    let mut hints = watch(&s).await;
    s.fixture.outside(Outside::Kill(w.run)).await?;
    hint(&mut hints, w.run.pod).await;
    Ok(())
}

async fn a_removal_from_outside_gives_a_hint(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    s.start(&w).await;
    let mut hints = watch(&s).await;
    s.fixture.outside(Outside::Vanish(w.run)).await?;
    hint(&mut hints, w.run.pod).await;
    Ok(())
}

async fn a_lost_volume_gives_a_hint(s: Arc<Subject>) -> Able {
    let w = s.with_volume(Program::Sleeps)?;
    s.start(&w).await;
    s.remove(w.run).await;
    let mut hints = watch(&s).await;
    s.fixture.outside(Outside::VanishVolume(w.run.pod)).await?;
    hint(&mut hints, w.run.pod).await;
    Ok(())
}

async fn a_pull_that_ends_gives_a_hint(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Pulled)?;
    let mut hints = watch(&s).await;
    let first = s.ensure(&w).await;
    assert!(matches!(first, Ensured::Pulling { .. }), "{first:?}");
    hint(&mut hints, w.run.pod).await;
    s.run(&w).await;
    Ok(())
}
