//! One run is one container, which starts once.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use super::subject::next;
use super::{Able, Outside, Program, Subject};
use crate::conformance::{Case, cases};
use crate::error::{ErrorKind, RetryCause};
use crate::id::{Entropy, RunId, RunKey};
use crate::orchestrator::{Ensured, Fence, State, Workload};
use crate::pod::Env;

pub(super) fn cases() -> impl IntoIterator<Item = Case<Subject, Able>> {
    cases![
        a_run_starts_and_is_seen_running,
        an_instance_carries_its_run_and_generation,
        ensure_twice_is_one_start,
        eight_ensures_at_once_are_one_start,
        eight_ensures_at_once_run_a_short_program_once,
        a_run_that_ended_is_never_restarted,
        a_run_that_was_stopped_is_never_restarted,
        a_run_that_was_removed_starts_only_behind_its_fence,
        two_runs_at_once_are_two_containers,
        the_same_number_with_another_key_is_another_run,
        another_specification_under_the_same_run_is_not_adopted,
        a_foreign_object_under_its_name_is_left_alone,
        a_program_gets_its_environment,
    ]
}

async fn a_run_starts_and_is_seen_running(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    assert_eq!(s.ensure(&w).await, Ensured::Present);
    let seen = s.observe(w.run.pod).await;
    assert_eq!(seen.instances.len(), 1);
    let State::Running { started_at, .. } = seen.instances[0].state else {
        panic!("it started before ensure returned: {seen:?}");
    };
    assert!(started_at <= seen.at, "{seen:?}");
    assert_eq!(seen.volume, None);
    Ok(())
}

async fn an_instance_carries_its_run_and_generation(s: Arc<Subject>) -> Able {
    let mut w = s.workload(Program::Sleeps)?;
    (w.run.n, w.generation) = (41, 77);
    s.start(&w).await;
    let seen = s.observe(w.run.pod).await;
    assert_eq!(seen.instances[0].run, w.run);
    assert_eq!(seen.instances[0].generation, 77);
    Ok(())
}

async fn ensure_twice_is_one_start(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    let started_at = s.run(&w).await;
    assert_eq!(s.ensure(&w).await, Ensured::Present);
    assert_eq!(s.running(w.run).await, started_at);
    Ok(())
}

/// Eight at once, which all must come to the container.
async fn eight_at_once(s: &Arc<Subject>, w: &Workload) {
    let tasks = (0..8).map(|_| {
        let (s, w) = (s.clone(), w.clone());
        tokio::spawn(async move { s.ensure(&w).await })
    });
    for ensured in join_all(tasks).await {
        assert_eq!(ensured.expect("no panic"), Ensured::Present);
    }
}

async fn eight_ensures_at_once_are_one_start(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    eight_at_once(&s, &w).await;
    let started_at = s.running(w.run).await;
    eight_at_once(&s, &w).await;
    assert_eq!(s.running(w.run).await, started_at);
    assert_eq!(s.observe(w.run.pod).await.instances.len(), 1);
    Ok(())
}

async fn eight_ensures_at_once_run_a_short_program_once(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::PrintsAndEnds)?;
    eight_at_once(&s, &w).await;
    let end = s.ended(w.run).await;
    for _ in 0..10 {
        assert_eq!(s.ensure(&w).await, Ensured::Present);
        assert_eq!(s.ended(w.run).await, end);
    }
    assert_eq!(s.log(w.run).await.len(), 100, "it ran once");
    Ok(())
}

async fn a_run_that_ended_is_never_restarted(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Fails)?;
    s.start(&w).await;
    let end = s.ended(w.run).await;
    assert_eq!(s.ensure(&w).await, Ensured::Present);
    assert_eq!(s.ended(w.run).await, end);
    Ok(())
}

async fn a_run_that_was_stopped_is_never_restarted(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    s.start(&w).await;
    s.stop(w.run, Duration::from_secs(1)).await;
    let end = s.ended(w.run).await;
    assert_eq!(s.ensure(&w).await, Ensured::Present);
    assert_eq!(s.ended(w.run).await, end);
    Ok(())
}

async fn a_run_that_was_removed_starts_only_behind_its_fence(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    s.start(&w).await;
    s.remove(w.run).await;
    s.create(&w).await;
    s.unstarted(w.run).await;
    Ok(())
}

async fn two_runs_at_once_are_two_containers(s: Arc<Subject>) -> Able {
    let first = s.workload(Program::Sleeps)?;
    let second = next(&first);
    let (a, b) = tokio::join!(s.ensure(&first), s.ensure(&second));
    assert_eq!((a, b), (Ensured::Present, Ensured::Present));
    s.running(first.run).await;
    s.running(second.run).await;
    Ok(())
}

/// As after a database was restored from yesterday: the number is used again, the key is not.
async fn the_same_number_with_another_key_is_another_run(s: Arc<Subject>) -> Able {
    let yesterday = s.workload(Program::Sleeps)?;
    let started_at = s.run(&yesterday).await;
    let today = Workload {
        run: RunId {
            key: RunKey::random(&Entropy::system()),
            ..yesterday.run
        },
        ..yesterday.clone()
    };
    s.run(&today).await;
    assert_eq!(s.running(yesterday.run).await, started_at);
    s.remove(yesterday.run).await;
    s.absent(yesterday.run).await;
    s.running(today.run).await;
    Ok(())
}

async fn another_specification_under_the_same_run_is_not_adopted(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    s.create(&w).await;
    let other = Workload {
        spec_hash: "fedcba9876543210".to_owned(),
        ..w.clone()
    };
    let refused = s.try_ensure(&other).await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Retry(RetryCause::NameTaken));
    s.unstarted(w.run).await;
    Ok(())
}

async fn a_foreign_object_under_its_name_is_left_alone(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    s.fixture.outside(Outside::Foreign(w.run)).await?;
    match s.try_ensure(&w).await {
        // Under another name.
        Ok(ensured) => {
            assert_eq!(ensured, Ensured::Present);
            s.running(w.run).await;
        }
        Err(e) => assert_eq!(*e.kind(), ErrorKind::Retry(RetryCause::NameTaken)),
    }
    s.stop(w.run, Duration::ZERO).await;
    s.remove(w.run).await;
    s.purge(w.run.pod).await;
    assert_eq!(s.fixture.foreign().await, 1);
    assert_eq!(s.observe(w.run.pod).await.instances, []);
    Ok(())
}

async fn a_program_gets_its_environment(s: Arc<Subject>) -> Able {
    let mut w = s.workload(Program::PrintsProbe)?;
    let value = "an = sign, 'quotes' and $HOME";
    w.env = Env([("PROBE".to_owned(), value.to_owned())].into());
    let fence = Fence::open();
    s.orchestrator.ensure(&w, &fence).await.expect("ensure");
    s.ended(w.run).await;
    assert_eq!(s.log(w.run).await[0].text, value);
    Ok(())
}
