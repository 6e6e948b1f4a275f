use neuropod_core::time::Time;
use serde_json::{Value, json};

use super::*;

fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({"spec": {"containers": [], "nodeName": "n1"}, "status": status}))
        .unwrap()
}

fn contained(phase: &str, state: Value) -> Pod {
    let containers = json!([{"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]);
    pod(json!({"phase": phase, "containerStatuses": containers}))
}

fn seen(pod: &Pod) -> State {
    state(pod, Vec::new)
}

fn at(seconds: i64) -> Option<Time> {
    Some(Time::from_micros(seconds * 1_000_000))
}

#[test]
fn an_end_has_its_times_and_its_cause() {
    let ended = |reason: &str, code: i64| {
        seen(&contained(
            "Failed",
            json!({"terminated": {"reason": reason, "exitCode": code,
                "startedAt": "1970-01-01T00:00:10Z", "finishedAt": "1970-01-01T00:00:20Z"}}),
        ))
    };
    let expected = |code, cause| State::Exited {
        started_at: at(10),
        finished_at: at(20),
        code: Some(code),
        cause,
    };
    assert_eq!(ended("Error", 3), expected(3, ExitCause::Ended));
    assert_eq!(
        ended("OOMKilled", 137),
        expected(137, ExitCause::OutOfMemory)
    );
}

#[test]
fn what_nobody_has_seen_end_has_no_end() {
    let gone = contained(
        "Failed",
        json!({"running": {"startedAt": "1970-01-01T00:00:10Z"}}),
    );
    let lost = State::Exited {
        started_at: at(10),
        finished_at: None,
        code: None,
        cause: ExitCause::NodeLost,
    };
    assert_eq!(seen(&gone), lost);
    let unknown = json!({"terminated": {"reason": "ContainerStatusUnknown", "exitCode": 137,
        "startedAt": "1970-01-01T00:00:10Z", "finishedAt": "1970-01-01T00:00:20Z"}});
    let State::Exited {
        finished_at, cause, ..
    } = seen(&contained("Failed", unknown))
    else {
        panic!()
    };
    assert_eq!((finished_at, cause), (None, ExitCause::NodeLost));
}

#[test]
fn a_node_that_is_silent_has_lost_nothing() {
    let mut silent = contained(
        "Running",
        json!({"running": {"startedAt": "1970-01-01T00:00:10Z"}}),
    );
    silent.status.as_mut().unwrap().reason = Some("NodeLost".to_owned());
    assert!(matches!(seen(&silent), State::Running { .. }));
}

/// Why it never started, of what the API says.
fn never_ran(pod: &Pod) -> ExitCause {
    match seen(pod) {
        State::Exited {
            started_at: None,
            finished_at: None,
            cause,
            ..
        } => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_never_started_says_why() {
    let failed = |reason: &str| never_ran(&pod(json!({"phase": "Failed", "reason": reason})));
    assert_eq!(failed("Evicted"), ExitCause::Retry(RetryCause::Evicted));
    assert_eq!(
        failed("OutOfnvidia.com/gpu"),
        ExitCause::Retry(RetryCause::GpuAdmission)
    );
    assert_eq!(
        failed("UnexpectedAdmissionError"),
        ExitCause::Retry(RetryCause::GpuAdmission)
    );
    assert_eq!(failed("DeadlineExceeded"), ExitCause::Ended);
    let start_error = json!({"terminated": {"reason": "StartError", "exitCode": 128,
        "startedAt": "1970-01-01T00:00:00Z", "finishedAt": "1970-01-01T00:00:20Z"}});
    assert_eq!(
        never_ran(&contained("Failed", start_error)),
        ExitCause::Refused(Refusal::Spec)
    );
    let mut deleted = contained(
        "Pending",
        json!({"waiting": {"reason": "ContainerCreating"}}),
    );
    deleted.metadata.deletion_timestamp =
        serde_json::from_value(json!("1970-01-01T00:00:10Z")).ok();
    assert_eq!(never_ran(&deleted), ExitCause::Retry(RetryCause::Evicted));
}

#[test]
fn what_waits_says_why() {
    let reason = |pod: &Pod| match seen(pod) {
        State::Pending { reason } => reason,
        other => panic!("{other:?}"),
    };
    let scheduled = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."}]);
    let mut waits = pod(json!({"phase": "Pending", "conditions": scheduled}));
    waits.spec.as_mut().unwrap().node_name = None;
    assert!(is_unschedulable(&waits));
    assert_eq!(
        reason(&waits),
        "No node can take it now: 0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    );
    let pull = json!({"waiting": {"reason": "ErrImagePull", "message": "x: not found"}});
    let pull = contained("Pending", pull);
    assert_eq!(reason(&pull), "The image can't be pulled: x: not found");
    assert_eq!(
        refusal(&pull),
        Some((Refusal::ImageNotFound, "x: not found".to_owned()))
    );
    let creating = contained(
        "Pending",
        json!({"waiting": {"reason": "ContainerCreating"}}),
    );
    assert_eq!(
        (reason(&creating), refusal(&creating)),
        (String::new(), None)
    );
}
