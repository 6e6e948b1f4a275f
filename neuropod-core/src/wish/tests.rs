//! Which wish changes what.

use super::*;
use crate::fixture::{at, launched, running};

#[test]
fn a_deleted_pod_is_never_wished_again() {
    let mut pod = launched();
    assert!(delete(&mut pod, Reason::User, at(1), at(1)));
    pod.ended_generation = pod.generation;
    let before = pod.clone();
    assert!(!start(&mut pod, before.terms.clone(), None, at(3)));
    assert!(!stop(&mut pod, Reason::User, at(2)));
    assert!(!delete(&mut pod, Reason::Admin, at(2), at(2)));
    assert_eq!(pod, before);
}

#[test]
fn the_volume_counts_until_the_delete() {
    let mut pod = running();
    assert!(delete(&mut pod, Reason::User, at(12), at(22)));
    let volume = pod.volume.unwrap();
    assert!(volume.closed);
    assert_eq!(volume.elapsed(at(100)), Duration::from_secs(10));
}

#[test]
fn a_pod_that_ended_by_itself_can_be_started() {
    let mut pod = running();
    pod.ended_generation = pod.generation;
    let terms = pod.terms.clone();
    assert!(start(&mut pod, terms, None, at(3)));
    assert_eq!((pod.generation, pod.has_ended()), (2, false));
}

#[test]
fn the_next_deadline_is_one_that_still_changes_something() {
    let mut pod = running();
    pod.deadlines.delete_after = Some(at(90));
    assert_eq!(next_deadline(&pod), Some(at(90)));
    pod.deadlines.stop_after = Some(at(60));
    assert_eq!(next_deadline(&pod), Some(at(60)));
    assert!(stop(&mut pod, Reason::User, at(1)));
    assert_eq!(next_deadline(&pod), Some(at(90)));
    assert!(delete(&mut pod, Reason::User, at(2), at(2)));
    assert_eq!(next_deadline(&pod), None);
}

fn payer() -> AccountId {
    launched().terms.payer
}

#[test]
fn what_runs_dry_is_charged_to_that_instant_and_no_further() {
    let mut pod = running();
    assert!(run_dry(&mut pod, &payer(), at(10), at(500)));
    assert_eq!(pod.desired, Desired::Stopped);
    assert_eq!(pod.reason, Some(Reason::LowBalance));
    assert_eq!(pod.run.as_ref().unwrap().cutoff, Some(at(10)));
    let volume = pod.volume.clone().unwrap();
    assert_eq!(volume.kept_until, Some(at(500)));
    assert_eq!(volume.elapsed(at(400)), Duration::from_secs(8));
    let before = pod.clone();
    assert!(!run_dry(&mut pod, &payer(), at(20), at(600)));
    assert_eq!(pod, before);
}

#[test]
fn a_run_that_is_being_stopped_is_charged_no_further_either() {
    let mut pod = running();
    assert!(stop(&mut pod, Reason::User, at(15)));
    pod.volume = None;
    assert!(run_dry(&mut pod, &payer(), at(10), at(500)));
    assert_eq!(pod.reason, Some(Reason::User));
    assert_eq!(pod.run.as_ref().unwrap().cutoff, Some(at(10)));
}

#[test]
fn what_others_pay_for_goes_on() {
    let mut pod = running();
    let before = pod.clone();
    assert!(!run_dry(
        &mut pod,
        &AccountId::from("user:y"),
        at(10),
        at(500)
    ));
    assert!(!fund_again(&mut pod, &AccountId::from("user:y"), at(10)));
    assert_eq!(pod, before);
    // Somebody else pays for the open run; the volume is the account's.
    pod.run.as_mut().unwrap().terms.payer = AccountId::from("grants");
    assert!(run_dry(&mut pod, &payer(), at(10), at(500)));
    assert_eq!(
        (pod.desired, pod.run.unwrap().cutoff),
        (Desired::Running, None)
    );
}

#[test]
fn what_waits_for_a_device_is_stopped_and_what_has_ended_is_left() {
    let mut pod = launched();
    pod.queued_at = Some(at(1));
    assert!(run_dry(&mut pod, &payer(), at(10), at(500)));
    assert_eq!((pod.desired, pod.queued_at), (Desired::Stopped, None));
    let mut ended = launched();
    ended.ended_generation = ended.generation;
    assert!(!run_dry(&mut ended, &payer(), at(10), at(500)));
}

#[test]
fn a_volume_that_nobody_pays_for_goes_when_its_time_is_over() {
    let mut pod = running();
    run_dry(&mut pod, &payer(), at(10), at(500));
    assert_eq!(next_deadline(&pod), Some(at(500)));
    assert!(!expire(&mut pod, at(499)));
    let mut funded = pod.clone();
    assert!(fund_again(&mut funded, &payer(), at(300)));
    assert!(!fund_again(&mut funded, &payer(), at(301)));
    assert_eq!(next_deadline(&funded), None);
    assert_eq!(
        funded.volume.unwrap().elapsed(at(310)),
        Duration::from_secs(18)
    );

    assert!(expire(&mut pod, at(501)));
    assert_eq!(pod.desired, Desired::Deleted);
    assert_eq!(pod.reason, Some(Reason::LowBalance));
    assert_eq!(next_deadline(&pod), None);
    assert_eq!(pod.volume.unwrap().elapsed(at(600)), Duration::from_secs(8));
}

#[test]
fn who_starts_a_pod_pays_for_its_volume_again() {
    let mut pod = running();
    run_dry(&mut pod, &payer(), at(10), at(500));
    let mut by_another = pod.clone();
    let terms = pod.terms.clone();
    assert!(start(&mut pod, terms.clone(), None, at(300)));
    let volume = pod.volume.unwrap();
    assert_eq!(
        (volume.kept_until, volume.counting_since),
        (None, Some(at(300)))
    );
    let grants = Terms {
        payer: AccountId::from("grants"),
        ..terms
    };
    assert!(start(&mut by_another, grants, None, at(300)));
    assert_eq!(next_deadline(&by_another), Some(at(500)));
}
