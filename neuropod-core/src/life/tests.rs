//! What the row says after each turn of a run's life.

use super::*;
use crate::error::RetryCause;
use crate::fixture::{at, launched, opened, running};
use crate::wish;

fn run(pod: &Pod) -> &Run {
    pod.run.as_ref().unwrap()
}

fn started() -> Started {
    Started {
        started_at: Time::from_micros(100),
        charged_from: at(1),
        alive_at: at(2),
        endpoints: Vec::new(),
    }
}

fn exited() -> End {
    End {
        reason: Reason::Exited,
        message: Some("It ended.".to_owned()),
        code: Some(3),
        charge: crate::decide::Charge::Nothing,
        retry: None,
        has_log: false,
    }
}

/// Another generation is wished than that of the open run.
fn outdated(mut pod: Pod) -> Pod {
    pod.generation += 1;
    pod.reason = Some(Reason::Admin);
    pod
}

/// No run is wished, though the open one is of this generation.
fn unwished(mut pod: Pod) -> Pod {
    pod.desired = Desired::Stopped;
    pod.reason = Some(Reason::Admin);
    pod
}

#[test]
fn every_sign_of_progress_gives_more_time_to_start_up_to_a_limit() {
    let mut pod = opened();
    assert_eq!(run(&pod).start_by, at(600));
    assert!(progress(&mut pod, 10, at(100)));
    assert_eq!((run(&pod).pulled, run(&pod).start_by), (10, at(700)));
    assert!(!progress(&mut pod, 10, at(200)), "that is no progress");
    assert!(!progress(&mut pod, 9, at(200)));
    assert_eq!(run(&pod).start_by, at(700));
    assert!(progress(&mut pod, 11, at(650)));
    assert_eq!(run(&pod).start_by, at(1200));
    assert!(
        !progress(&mut launched(), 1, at(1)),
        "nothing is pulled for it"
    );
}

#[test]
fn only_the_run_that_is_wished_tells_that_it_pulls() {
    let pulls = |mut pod| {
        progress(&mut pod, 1, at(1));
        pod.reason
    };
    assert_eq!(pulls(opened()), Some(Reason::Pulling));
    assert_eq!(pulls(outdated(opened())), Some(Reason::Admin));
    assert_eq!(pulls(unwished(opened())), Some(Reason::Admin));
}

#[test]
fn the_start_of_the_run_that_is_wished_clears_the_reason() {
    let starts = |mut pod| {
        record(&mut pod, started(), None, at(2));
        pod.reason
    };
    let waits = Pod {
        reason: Some(Reason::Pulling),
        ..opened()
    };
    assert_eq!(starts(waits), None);
    assert_eq!(starts(outdated(opened())), Some(Reason::Admin));
    assert_eq!(starts(unwished(opened())), Some(Reason::Admin));
}

#[test]
fn a_volume_keeps_its_identity_until_its_loss_is_accepted() {
    let mut pod = running();
    let seen = |pod: &mut Pod, id: &str| {
        record(pod, started(), Some(id.to_owned()), at(9));
        pod.volume.as_ref().unwrap().id.clone().unwrap()
    };
    assert_eq!(seen(&mut pod, "v2"), "v1");
    pod.accept_volume_loss = true;
    assert_eq!(seen(&mut pod, "v2"), "v2");
    assert_eq!(seen(&mut pod, "v3"), "v2", "that was for one start");
    pod.volume.as_mut().unwrap().id = None;
    assert_eq!(seen(&mut pod, "v3"), "v3");
}

#[test]
fn a_user_reads_why_the_run_ended_that_he_wished() {
    let ends = |mut pod: Pod| {
        close(&mut pod, &exited(), at(9));
        (pod.reason, pod.exit_code, pod.ended_generation)
    };
    assert_eq!(ends(running()), (Some(Reason::Exited), Some(3), 1));
    assert_eq!(ends(outdated(running())), (Some(Reason::Admin), Some(3), 1));
    assert_eq!(ends(unwished(running())), (Some(Reason::Admin), Some(3), 1));
}

#[test]
fn an_end_that_nobody_wishes_any_more_is_not_tried_again() {
    let ended = |mut pod: Pod| {
        let end = End::retried(RetryCause::NameTaken, String::new());
        close(&mut pod, &end, at(1));
        (pod.retry_at.is_some(), pod.tries)
    };
    assert_eq!(ended(opened()), (true, 1));
    assert_eq!(ended(outdated(opened())), (false, 0));
    assert_eq!(ended(unwished(opened())), (false, 0));
}

#[test]
fn host_ports_are_kept_until_somebody_else_has_one() {
    let kept_after = |cause| {
        let mut pod = opened();
        pod.ports = vec![PortLease {
            container: 8080,
            host: 20_000,
        }];
        close(&mut pod, &End::retried(cause, String::new()), at(1));
        pod.ports.len()
    };
    assert_eq!(kept_after(RetryCause::NameTaken), 1);
    assert_eq!(kept_after(RetryCause::PortTaken), 0);
}

#[test]
fn what_is_free_is_no_longer_held() {
    let free_after = |wish: fn(&mut Pod)| {
        let mut pod = opened();
        pod.run = None;
        wish(&mut pod);
        let devices = free(&mut pod);
        (devices.len(), pod.devices.len(), pod.hold.is_some())
    };
    assert_eq!(
        free_after(|_| {}),
        (1, 0, true),
        "its next run needs the hold"
    );
    assert_eq!(free_after(|pod| pod.ended_generation = 1), (1, 0, false));
    let stop = |pod: &mut Pod| assert!(wish::stop(pod, Reason::User, at(1)));
    assert_eq!(free_after(stop), (1, 0, false));
}

#[test]
fn what_waits_for_room_has_its_time_to_start_when_there_is_some() {
    let mut pod = opened();
    let now = at(300);
    assert!(waits(&mut pod, "no GPU is free", now));
    assert_eq!(pod.reason, Some(Reason::NoCapacity));
    assert_eq!(pod.message.as_deref(), Some("no GPU is free"));
    assert_eq!(pod.run.as_ref().unwrap().start_by, now + START_WITHIN);
    assert!(
        !waits(&mut pod, "no GPU is free", now),
        "it is written down"
    );
    assert!(waits(&mut pod, "no GPU is free", now + START_WITHIN / 2));
    assert!(waits(&mut pod, "no node is there", now + START_WITHIN / 2));
    pod.desired = Desired::Stopped;
    assert!(!waits(&mut pod, "it is not wanted any more", now));
}
