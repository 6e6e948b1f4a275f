//! A volume belongs to the pod and outlives its runs; a lost one is told, never replaced by an empty one in silence.

use std::sync::Arc;
use std::time::Duration;

use super::subject::next;
use super::{Able, Outside, Program, Subject};
use crate::conformance::{Case, cases};
use crate::error::{ErrorKind, Refusal, RetryCause};
use crate::orchestrator::Workload;

pub(super) fn cases() -> impl IntoIterator<Item = Case<Subject, Able>> {
    cases![
        a_volume_outlives_its_runs,
        what_was_written_to_a_volume_is_there_in_the_next_run,
        a_volume_that_is_gone_is_told,
        a_volume_that_is_another_is_told,
        a_loss_that_was_accepted_makes_a_new_volume,
        a_foreign_volume_is_not_mounted,
        pods_have_volumes_of_their_own,
    ]
}

const LOST: ErrorKind = ErrorKind::Refused(Refusal::VolumeLost);

/// The next run, which must find the volume `id`.
fn with_id(w: &Workload, id: &str) -> Workload {
    let mut later = next(w);
    if let Some(volume) = &mut later.volume {
        volume.id = Some(id.to_owned());
    }
    later
}

/// A pod whose first run is over, and the identity of its volume.
async fn had_a_volume(s: &Subject) -> Able<(Workload, String)> {
    let w = s.with_volume(Program::Sleeps)?;
    s.start(&w).await;
    let id = s.volume(w.run.pod).await;
    s.stop(w.run, Duration::ZERO).await;
    s.ended(w.run).await;
    s.remove(w.run).await;
    Ok((w, id))
}

async fn a_volume_outlives_its_runs(s: Arc<Subject>) -> Able {
    let (w, id) = had_a_volume(&s).await?;
    assert_eq!(s.volume(w.run.pod).await, id);
    s.run(&with_id(&w, &id)).await;
    assert_eq!(s.volume(w.run.pod).await, id);
    Ok(())
}

async fn what_was_written_to_a_volume_is_there_in_the_next_run(s: Arc<Subject>) -> Able {
    let mut w = s.with_volume(Program::CountsStarts)?;
    for starts in ["1", "2", "3"] {
        s.start(&w).await;
        let id = s.volume(w.run.pod).await;
        assert_eq!(s.ended(w.run).await.code, Some(0));
        assert_eq!(s.log(w.run).await[0].text, starts);
        s.remove(w.run).await;
        w = with_id(&w, &id);
    }
    Ok(())
}

async fn a_volume_that_is_gone_is_told(s: Arc<Subject>) -> Able {
    let (w, id) = had_a_volume(&s).await?;
    s.fixture.outside(Outside::VanishVolume(w.run.pod)).await?;
    let later = with_id(&w, &id);
    assert_eq!(s.refusal(&later).await, LOST);
    let seen = s.observe(w.run.pod).await;
    assert_eq!((seen.instances, seen.volume), (vec![], None));
    Ok(())
}

async fn a_volume_that_is_another_is_told(s: Arc<Subject>) -> Able {
    let (w, id) = had_a_volume(&s).await?;
    s.fixture.outside(Outside::VanishVolume(w.run.pod)).await?;
    let second = next(&w);
    s.start(&second).await;
    assert_ne!(s.volume(w.run.pod).await, id);
    assert_eq!(s.refusal(&with_id(&second, &id)).await, LOST);
    Ok(())
}

async fn a_loss_that_was_accepted_makes_a_new_volume(s: Arc<Subject>) -> Able {
    let (w, id) = had_a_volume(&s).await?;
    s.fixture.outside(Outside::VanishVolume(w.run.pod)).await?;
    s.run(&next(&w)).await;
    assert_ne!(s.volume(w.run.pod).await, id);
    Ok(())
}

async fn a_foreign_volume_is_not_mounted(s: Arc<Subject>) -> Able {
    let w = s.with_volume(Program::Sleeps)?;
    let foreign = Outside::ForeignVolume(w.run.pod);
    s.fixture.outside(foreign).await?;
    let taken = ErrorKind::Retry(RetryCause::NameTaken);
    assert_eq!(s.refusal(&w).await, taken);
    assert_eq!(s.observe(w.run.pod).await.volume, None);
    s.purge(w.run.pod).await;
    assert_eq!(s.fixture.foreign().await, 1);
    Ok(())
}

async fn pods_have_volumes_of_their_own(s: Arc<Subject>) -> Able {
    let (one, two) = (
        s.with_volume(Program::Sleeps)?,
        s.with_volume(Program::Sleeps)?,
    );
    s.start(&one).await;
    s.start(&two).await;
    s.volume(one.run.pod).await;
    s.volume(two.run.pod).await;
    s.purge(one.run.pod).await;
    assert_eq!(s.observe(one.run.pod).await.volume, None);
    s.volume(two.run.pod).await;
    Ok(())
}
