//! The step table, row by row.

use super::*;
use crate::fixture::{NOW, at, launched, opened, running};
use crate::id::{DeviceId, Entropy, RunKey};
use crate::pod::{Proto, Secret};
use crate::{life, wish};

fn looked(secs: u64) -> Looked {
    Looked {
        before: at(secs),
        after: at(secs),
    }
}

fn id(pod: &Pod) -> RunId {
    pod.run_id(pod.run.as_ref().unwrap())
}

fn seen(instances: Vec<(RunId, State)>) -> Seen {
    let instance = |(run, state)| Instance {
        run,
        generation: 1,
        state,
    };
    Seen {
        at: Time::from_micros(100),
        instances: instances.into_iter().map(instance).collect(),
        volume: None,
    }
}

fn alive(started_at: i64) -> State {
    State::Running {
        started_at: Time::from_micros(started_at),
        endpoints: Vec::new(),
    }
}

fn ended(started_at: Option<i64>, finished_at: Option<i64>) -> State {
    State::Exited {
        started_at: started_at.map(Time::from_micros),
        finished_at: finished_at.map(Time::from_micros),
        code: Some(0),
        cause: ExitCause::Ended,
    }
}

fn pending() -> State {
    State::Pending {
        reason: String::new(),
    }
}

fn step(pod: &Pod, state: Option<State>, secs: u64) -> Step {
    let instances = state
        .map(|s| (pod.run.as_ref().map_or(stray(pod), |_| id(pod)), s))
        .into_iter()
        .collect();
    decide(pod, &seen(instances), looked(secs))
}

fn stray(pod: &Pod) -> RunId {
    RunId {
        pod: pod.id,
        n: 9,
        key: RunKey::from_bytes([9; 8]),
    }
}

fn stopped(mut pod: Pod, secs: u64) -> Pod {
    assert!(wish::stop(&mut pod, Reason::User, at(secs)));
    pod
}

fn closes(step: Step) -> (Reason, Charge) {
    match step {
        Step::Close(end) => (end.reason, end.charge),
        other => panic!("{other:?} does not close"),
    }
}

#[test]
fn a_container_of_no_open_run_is_removed_first() {
    let pod = running();
    let other_key = RunId {
        key: RunKey::from_bytes([9; 8]),
        ..id(&pod)
    };
    for stray in [stray(&pod), other_key] {
        let both = seen(vec![(id(&pod), alive(100)), (stray, alive(100))]);
        assert_eq!(decide(&pod, &both, looked(3)), Step::Remove(stray));
    }
    assert_eq!(
        step(&launched(), Some(alive(1)), 3),
        Step::Remove(stray(&launched()))
    );
}

#[test]
fn without_a_run_the_wish_decides() {
    assert_eq!(step(&launched(), None, 0), Step::Open);
    let waits = Pod {
        queued_at: Some(NOW),
        ..launched()
    };
    assert_eq!(
        step(&waits, None, 0),
        Step::Wait(None),
        "only the queue opens what is queued"
    );
    let tried = Pod {
        retry_at: Some(at(5)),
        ..launched()
    };
    assert_eq!(step(&tried, None, 4), Step::Wait(Some(at(5))));
    assert_eq!(step(&tried, None, 5), Step::Open);
    let ended = Pod {
        ended_generation: 1,
        hold: None,
        ..launched()
    };
    assert_eq!(step(&ended, None, 0), Step::Wait(None), "it is over");
    let holds = stopped(launched(), 0);
    assert_eq!(step(&holds, None, 0), Step::Free, "the hold is dropped");
    assert_eq!(
        step(
            &Pod {
                hold: None,
                ..holds
            },
            None,
            0
        ),
        Step::Wait(None)
    );
    let mut deleted = Pod {
        hold: None,
        devices: vec![DeviceId::from("GPU-1")],
        ..launched()
    };
    wish::delete(&mut deleted, Reason::User, NOW, NOW);
    assert_eq!(
        step(&deleted, None, 0),
        Step::Free,
        "devices come before the purge"
    );
    deleted.devices.clear();
    assert_eq!(step(&deleted, None, 0), Step::Purge);
}

#[test]
fn a_run_that_has_not_started() {
    let pod = opened();
    assert_eq!(step(&pod, None, 1), Step::Ensure);
    assert_eq!(step(&pod, Some(pending()), 1), Step::Ensure);
    assert_eq!(step(&pod, Some(pending()), 600), Step::GiveUp);
    assert_eq!(
        closes(step(&pod, None, 600)),
        (Reason::StartTimeout, Charge::Nothing)
    );
    assert_eq!(
        closes(step(&pod, Some(ended(None, None)), 1)),
        (Reason::StartTimeout, Charge::Nothing)
    );
    assert!(
        matches!(step(&pod, Some(alive(90)), 1), Step::Record(s) if s.started_at == Time::from_micros(90))
    );
    // Nobody saw it run: an end without a time charges nothing.
    let ended = step(&pod, Some(ended(Some(90), Some(95))), 1);
    assert!(matches!(ended, Step::Record(s) if s.alive_at == s.charged_from));

    let unwanted = stopped(pod.clone(), 0);
    assert_eq!(
        closes(step(&unwanted, None, 1)),
        (Reason::User, Charge::Nothing)
    );
    assert_eq!(step(&unwanted, Some(pending()), 1), Step::Stop(id(&pod)));
    assert!(
        matches!(step(&unwanted, Some(alive(90)), 1), Step::Record(_)),
        "what ran is written down all the same"
    );

    let mut given_up = pod;
    life::give_up(&mut given_up, at(600));
    assert_eq!(
        step(&given_up, Some(pending()), 601),
        Step::Stop(id(&given_up))
    );
    assert_eq!(
        closes(step(&given_up, None, 601)),
        (Reason::StartTimeout, Charge::Nothing)
    );
}

#[test]
fn a_run_that_has_started() {
    let pod = running();
    assert_eq!(step(&pod, Some(alive(100)), 3), Step::Wait(None));
    assert_eq!(
        step(&stopped(pod.clone(), 9), Some(alive(100)), 3),
        Step::Stop(id(&pod))
    );
    let ran = Charge::Ran(Duration::from_micros(50));
    assert_eq!(
        closes(step(&pod, Some(ended(Some(100), Some(150))), 3)),
        (Reason::Exited, ran)
    );
    assert_eq!(
        closes(step(&pod, Some(ended(Some(100), None)), 3)),
        (Reason::Exited, Charge::UntilLastSeen)
    );
    for gone in [
        None,
        Some(alive(101)),
        Some(ended(Some(101), Some(102))),
        Some(ended(None, None)),
    ] {
        assert_eq!(
            closes(step(&pod, gone, 3)),
            (Reason::Lost, Charge::UntilLastSeen)
        );
    }
    assert_eq!(step(&pod, Some(pending()), 3), Step::Stop(id(&pod)));
}

#[test]
fn a_start_is_converted_to_our_time_and_never_before_the_opening() {
    let mut backend = seen(vec![]);
    let pod = opened();
    backend.at = Time::from_micros(50_000_000);
    backend.instances = seen(vec![(id(&pod), alive(48_000_000))]).instances;
    let from = |secs| match decide(&pod, &backend, looked(secs)) {
        Step::Record(started) => started.charged_from,
        other => panic!("{other:?}"),
    };
    assert_eq!(from(10), at(8));
    assert_eq!(from(1), NOW, "the run was opened then");
}

#[test]
fn a_total_is_never_above_what_was_charged_so_far() {
    let pod = running();
    let run = pod.run.as_ref().unwrap();
    let total = |charge, seen_at, last_seen| {
        let end = End {
            charge,
            ..End::unstarted(Reason::Exited)
        };
        end.total(run, at(seen_at), at(last_seen)).as_micros() / 1_000_000
    };
    let secs = Duration::from_secs;
    assert_eq!(total(Charge::Nothing, 100, 100), 0);
    assert_eq!(total(Charge::Ran(secs(30)), 100, 0), 30);
    assert_eq!(
        total(Charge::Ran(secs(300)), 100, 0),
        99,
        "a node's clock charges no more than we saw"
    );
    assert_eq!(total(Charge::UntilLastSeen, 100, 40), 39);
    assert_eq!(total(Charge::UntilLastSeen, 100, 0), 0);
    let cut = stopped(pod.clone(), 21);
    let end = End {
        charge: Charge::Ran(secs(300)),
        ..End::unstarted(Reason::User)
    };
    assert_eq!(
        end.total(cut.run.as_ref().unwrap(), at(100), at(0))
            .as_micros(),
        20_000_000
    );
}

#[test]
fn a_list_vouches_only_for_runs_recorded_well_before_its_rows() {
    let pod = running();
    let run = pod.run.as_ref().unwrap();
    let swept = |rows_at| Swept {
        rows_at: at(rows_at),
        listed_at: at(50),
    };
    assert_eq!(last_seen(run, &swept(49)), at(50));
    assert_eq!(last_seen(run, &swept(33)), at(50));
    assert_eq!(last_seen(run, &swept(32)), at(2));
    let marked = Run {
        last_seen: Some(at(30)),
        ..run.clone()
    };
    assert_eq!(last_seen(&marked, &swept(49)), at(30));
}

#[test]
fn an_end_worth_another_try_has_three_runs_at_most() {
    let mut pod = opened();
    let end = End::retried(RetryCause::NameTaken, String::new());
    for (tries, wait) in [(1, 5), (2, 30)] {
        life::close(&mut pod, &end, NOW);
        assert_eq!(
            (pod.tries, pod.retry_at, pod.has_ended()),
            (tries, Some(at(wait)), false)
        );
        assert!(pod.hold.is_some(), "the hold lives through a retry");
        life::open(&mut pod, NOW, Vec::new(), Vec::new(), &Entropy::seeded(1));
    }
    life::close(&mut pod, &end, NOW);
    assert!(pod.has_ended() && pod.hold.is_none());
    assert_eq!(pod.phase(), crate::pod::Phase::Error);
}

#[test]
fn a_taken_port_is_answered_with_another_one_at_once() {
    let mut pod = opened();
    let end = End::retried(RetryCause::PortTaken, String::new());
    for _ in 1..10 {
        life::close(&mut pod, &end, NOW);
        assert!(pod.ports.is_empty());
        life::free(&mut pod);
        assert_eq!(step(&pod, None, 0), Step::Open);
        life::open(&mut pod, NOW, Vec::new(), Vec::new(), &Entropy::seeded(1));
    }
    life::close(&mut pod, &end, NOW);
    assert!(pod.has_ended(), "where ten are taken, more are");
}

#[test]
fn a_cutoff_only_moves_earlier() {
    let mut pod = stopped(running(), 20);
    wish::delete(&mut pod, Reason::User, at(30), at(40));
    assert_eq!(pod.run.as_ref().unwrap().cutoff, Some(at(20)));
}

#[test]
fn a_deadline_cuts_at_its_own_instant() {
    let mut pod = running();
    pod.deadlines.stop_after = Some(at(60));
    assert_eq!(wish::next_deadline(&pod), Some(at(60)));
    assert!(!wish::expire(&mut pod, at(59)));
    assert!(wish::expire(&mut pod, at(5_000)));
    assert_eq!(
        (pod.desired, pod.reason),
        (Desired::Stopped, Some(Reason::Deadline))
    );
    assert_eq!(pod.run.as_ref().unwrap().cutoff, Some(at(60)));
    assert_eq!(wish::next_deadline(&pod), None);
}

#[test]
fn a_verb_that_changes_nothing_does_nothing() {
    let mut pod = running();
    let before = pod.clone();
    assert!(!wish::start(&mut pod, before.terms.clone(), None, at(3)));
    assert_eq!(pod, before);
    let mut pod = stopped(pod, 1);
    let before = pod.clone();
    assert!(!wish::stop(&mut pod, Reason::Admin, at(0)));
    assert_eq!(pod, before);
    assert!(wish::start(&mut pod, before.terms.clone(), None, at(3)));
    assert_eq!((pod.desired, pod.generation), (Desired::Running, 3));
}

#[test]
fn a_late_record_cannot_open_the_volume_of_a_deleted_pod() {
    let mut pod = opened();
    wish::delete(&mut pod, Reason::User, at(1), at(1));
    let started = Started {
        started_at: NOW,
        charged_from: at(1),
        alive_at: at(2),
        endpoints: Vec::new(),
    };
    life::record(&mut pod, started, Some("v".to_owned()), at(2));
    let volume = pod.volume.unwrap();
    assert!(volume.closed && volume.counting_since.is_none());
}

#[test]
fn the_cause_of_an_end_is_what_a_user_reads() {
    for (cause, reason) in [
        (ExitCause::Ended, Reason::Exited),
        (ExitCause::OutOfMemory, Reason::OomKilled),
        (ExitCause::EngineRestart, Reason::EngineRestart),
        (ExitCause::NodeLost, Reason::NodeLost),
    ] {
        let state = State::Exited {
            started_at: Some(Time::from_micros(100)),
            finished_at: Some(Time::from_micros(200)),
            code: Some(0),
            cause,
        };
        assert_eq!(closes(step(&running(), Some(state), 9)).0, reason);
    }
}

/// A started run with one port, seen `secs` after its start, which is ready or not.
fn port_seen(ready_before: bool, ready: bool, secs: u64) -> Step {
    let endpoint = |ready| Endpoint {
        container: 8080,
        proto: Proto::Http,
        host: "localhost".to_owned(),
        port: 20_000,
        tls: false,
        ready,
        failed: None,
    };
    let mut pod = running();
    let run = pod.run.as_mut().unwrap();
    run.endpoints = vec![endpoint(ready_before)];
    run.ready_at = ready_before.then_some(at(2));
    let state = State::Running {
        started_at: Time::from_micros(100),
        endpoints: vec![endpoint(ready)],
    };
    step(&pod, Some(state), 1 + secs)
}

#[test]
fn a_run_is_ready_once_its_ports_have_answered_or_for_long_have_not() {
    let told = |step| match step {
        Step::Refresh { endpoints, ready } => (endpoints[0].ready, ready),
        other => panic!("{other:?} tells nothing"),
    };
    assert_eq!(told(port_seen(false, true, 3)), (true, true));
    assert_eq!(told(port_seen(false, false, 20)), (false, true));
    let soon = at(20) + Duration::from_millis(500);
    assert_eq!(port_seen(false, false, 19), Step::Wait(Some(soon)));
    // Ready once is ready for good, though the port may be quiet now.
    assert_eq!(told(port_seen(true, false, 3)), (false, true));
    assert_eq!(port_seen(true, true, 3), Step::Wait(None));
}

/// A started run with Jupyter's port alone, seen so long after its start.
fn jupyter_seen(ready_before: bool, failed: Option<Reason>, secs: u64) -> Step {
    let endpoint = Endpoint {
        container: jupyter::PORT,
        proto: Proto::Http,
        host: "localhost".to_owned(),
        port: 20_000,
        tls: false,
        ready: false,
        failed,
    };
    let mut pod = running();
    let run = pod.run.as_mut().unwrap();
    run.jupyter_token = Some(Secret::new("token"));
    run.endpoints = vec![Endpoint {
        failed: None,
        ..endpoint.clone()
    }];
    run.ready_at = ready_before.then_some(at(2));
    let state = State::Running {
        started_at: Time::from_micros(100),
        endpoints: vec![endpoint],
    };
    step(&pod, Some(state), 1 + secs)
}

#[test]
fn a_jupyter_that_failed_is_told_and_not_waited_for() {
    let told = |step| match step {
        Step::Refresh { endpoints, ready } => (endpoints[0].failed, ready),
        other => panic!("{other:?} tells nothing"),
    };
    let failed = Some(Reason::JupyterUnavailable);
    assert_eq!(told(jupyter_seen(false, failed, 3)), (failed, true));
    // It may still be installed when the pod has long been running.
    let later = at(61) + INSTALLING;
    assert_eq!(jupyter_seen(true, None, 60), Step::Wait(Some(later)));
    let last = jupyter::WITHIN.as_secs();
    assert!(matches!(
        jupyter_seen(true, None, last - 1),
        Step::Wait(Some(_))
    ));
    assert_eq!(told(jupyter_seen(true, None, last)), (failed, true));
}
