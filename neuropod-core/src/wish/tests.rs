//! Which wish changes what.

use super::*;
use crate::fixture::{at, launched, running};

#[test]
fn a_deleted_pod_is_never_wished_again() {
    let mut pod = launched();
    assert!(delete(&mut pod, Reason::User, at(1), at(1)));
    pod.ended_generation = pod.generation;
    let before = pod.clone();
    assert!(!start(&mut pod, before.terms.clone(), None));
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
    assert!(start(&mut pod, terms, None));
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
