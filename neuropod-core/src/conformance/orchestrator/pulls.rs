//! Images that have to come first. A pull creates nothing, and nobody waits for one that nobody wants.

use std::sync::Arc;
use std::time::Duration;

use super::subject::next;
use super::{Able, Program, Subject};
use crate::conformance::{Case, cases};
use crate::error::{ErrorKind, Refusal};
use crate::orchestrator::{Ensured, Workload};

pub(super) fn cases() -> impl IntoIterator<Item = Case<Subject, Able>> {
    cases![
        an_image_is_pulled_and_then_it_runs,
        a_pull_shows_progress,
        a_pull_alone_creates_nothing,
        two_runs_share_a_pull,
        stop_ends_the_interest_in_a_pull,
        remove_ends_the_interest_in_a_pull,
        purge_ends_the_interest_in_a_pull,
        an_image_that_is_not_there_is_told,
        an_image_that_nobody_may_have_is_told,
        a_malformed_reference_is_told,
        a_refusal_is_told_to_every_run,
    ]
}

const SECOND: Duration = Duration::from_secs(1);

fn bytes(ensured: Ensured) -> u64 {
    match ensured {
        Ensured::Pulling { done, total } => {
            assert!(total.is_none_or(|total| done <= total), "{ensured:?}");
            done
        }
        other => panic!("it should be pulled, and is {other:?}"),
    }
}

async fn an_image_is_pulled_and_then_it_runs(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Pulled)?;
    bytes(s.ensure(&w).await);
    s.absent(w.run).await;
    s.run(&w).await;
    Ok(())
}

async fn a_pull_shows_progress(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Pulled)?;
    let mut seen = vec![bytes(s.ensure(&w).await)];
    while let Ensured::Pulling { done, .. } = s.ensure(&w).await {
        seen.push(done);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(seen.is_sorted(), "{seen:?}");
    seen.dedup();
    assert!(seen.len() >= 3, "it grows on the way: {seen:?}");
    Ok(())
}

/// Only the calling pass creates: the first run never comes back, so it must not be there when the image is.
async fn a_pull_alone_creates_nothing(s: Arc<Subject>) -> Able {
    let gone = s.workload(Program::Pulled)?;
    let w = s.workload(Program::Pulled)?;
    bytes(s.ensure(&gone).await);
    s.run(&w).await;
    tokio::time::sleep(SECOND).await;
    s.absent(gone.run).await;
    assert_eq!(s.fixture.left(gone.run.pod).await, [""; 0]);
    Ok(())
}

async fn two_runs_share_a_pull(s: Arc<Subject>) -> Able {
    let one = s.workload(Program::Pulled)?;
    let two = s.workload(Program::Pulled)?;
    bytes(s.ensure(&one).await);
    bytes(s.ensure(&two).await);
    // That one of them loses interest is no matter for the other.
    s.stop(one.run, SECOND).await;
    s.run(&two).await;
    s.absent(one.run).await;
    Ok(())
}

/// Nobody wants the image any more, and it can be wanted again.
async fn wanted_again(s: &Subject, w: &Workload) {
    s.absent(w.run).await;
    assert_eq!(s.fixture.left(w.run.pod).await, [""; 0]);
    s.run(&next(w)).await;
    s.absent(w.run).await;
}

async fn stop_ends_the_interest_in_a_pull(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Pulled)?;
    bytes(s.ensure(&w).await);
    s.stop(w.run, SECOND).await;
    wanted_again(&s, &w).await;
    Ok(())
}

async fn remove_ends_the_interest_in_a_pull(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Pulled)?;
    bytes(s.ensure(&w).await);
    s.remove(w.run).await;
    wanted_again(&s, &w).await;
    Ok(())
}

async fn purge_ends_the_interest_in_a_pull(s: Arc<Subject>) -> Able {
    let w = s.with_volume(Program::Pulled)?;
    bytes(s.ensure(&w).await);
    s.purge(w.run.pod).await;
    wanted_again(&s, &w).await;
    Ok(())
}

async fn an_image_that_is_not_there_is_told(s: Arc<Subject>) -> Able {
    let w = s.with_volume(Program::Missing)?;
    let expected = ErrorKind::Refused(Refusal::ImageNotFound);
    assert_eq!(s.refusal(&w).await, expected);
    assert_eq!(s.fixture.left(w.run.pod).await, [""; 0]);
    Ok(())
}

async fn an_image_that_nobody_may_have_is_told(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Denied)?;
    let expected = ErrorKind::Refused(Refusal::ImageDenied);
    assert_eq!(s.refusal(&w).await, expected);
    Ok(())
}

async fn a_malformed_reference_is_told(s: Arc<Subject>) -> Able {
    for image in ["", "UPPER/case", "two words", "a:b:c", "x/"] {
        let mut w = s.with_volume(Program::Sleeps)?;
        w.image = image.to_owned();
        let expected = ErrorKind::Refused(Refusal::BadReference);
        assert_eq!(s.refusal(&w).await, expected, "{image:?}");
        assert_eq!(s.fixture.left(w.run.pod).await, [""; 0]);
    }
    Ok(())
}

async fn a_refusal_is_told_to_every_run(s: Arc<Subject>) -> Able {
    let one = s.workload(Program::Missing)?;
    let expected = ErrorKind::Refused(Refusal::ImageNotFound);
    let two = s.workload(Program::Missing)?;
    let (first, second) = tokio::join!(s.refusal(&one), s.refusal(&two));
    assert_eq!((first, second), (expected.clone(), expected.clone()));
    assert_eq!(s.refusal(&next(&one)).await, expected);
    Ok(())
}
