//! The life of a run on the row: open, started, given up, closed, and what is freed after it. Pure.

use std::time::Duration;

use crate::decide::{End, Started};
use crate::error::RetryCause;
use crate::id::{DeviceId, Entropy, RunKey};
use crate::idle::{Activity, Signal};
use crate::pod::{Desired, Pod, PortLease, Reason, Run, Secret, Volume};
use crate::time::Time;
use crate::wish::cut;

/// A run must start within this time after it was opened, or after the last sign of progress.
pub const START_WITHIN: Duration = Duration::from_secs(600);
/// Signs of progress help no longer than this after it was opened.
pub const START_AT_MOST: Duration = Duration::from_secs(1200);
/// How long to wait before the second and the third run of a generation, after an end that is worth another try.
const RETRY_AFTER: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];
/// At most so many runs of a generation find a host port taken.
const MAX_PORTS_TAKEN: u32 = 10;

/// Opens the next run, with these devices and host ports.
pub fn open(
    pod: &mut Pod,
    now: Time,
    devices: Vec<DeviceId>,
    ports: Vec<PortLease>,
    entropy: &Entropy,
) {
    pod.last_run += 1;
    pod.devices = devices;
    pod.ports = ports;
    (pod.queued_at, pod.retry_at, pod.reason, pod.message) = (None, None, None, None);
    let token = || {
        let bytes: [u8; 24] = entropy.bytes();
        Secret::new(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>())
    };
    pod.run = Some(Run {
        n: pod.last_run,
        key: RunKey::random(entropy),
        generation: pod.generation,
        terms: pod.terms.clone(),
        opened_at: now,
        start_by: now + START_WITHIN,
        start_limit: now + START_AT_MOST,
        pulled: 0,
        given_up: false,
        started_at: None,
        charged_from: None,
        recorded_at: None,
        seen_first: None,
        last_seen: None,
        cutoff: None,
        ready_at: None,
        endpoints: Vec::new(),
        jupyter_token: pod.spec.jupyter.then(token),
    });
}

/// Waits for devices from now on.
pub fn queue(pod: &mut Pod, now: Time) {
    pod.queued_at = Some(now);
    pod.reason = Some(Reason::NoCapacity);
}

/// More of the image is here: there is more time to start.
pub fn progress(pod: &mut Pod, done: u64, now: Time) -> bool {
    let wished = is_wished(pod);
    let Some(run) = pod.run.as_mut().filter(|r| done > r.pulled) else {
        return false;
    };
    run.pulled = done;
    run.start_by = (now + START_WITHIN).min(run.start_limit);
    if wished {
        pod.reason = Some(Reason::Pulling);
    }
    true
}

/// The backend places workloads itself, and has no room for this one now: its time to start begins when there is.
pub fn waits(pod: &mut Pod, why: &str, now: Time) -> bool {
    let wished = is_wished(pod);
    let told = pod.message.as_deref() == Some(why);
    let Some(run) = pod.run.as_mut().filter(|_| wished) else {
        return false;
    };
    if told && run.start_by > now + START_WITHIN / 2 {
        return false;
    }
    (run.start_by, run.start_limit) = (now + START_WITHIN, now + START_AT_MOST);
    (pod.reason, pod.message) = (Some(Reason::NoCapacity), Some(why.to_owned()));
    true
}

/// Whether its open run is for what its owner wishes now, given up or not.
fn is_wished(pod: &Pod) -> bool {
    let generation = pod.run.as_ref().map(|run| run.generation);
    pod.desired == Desired::Running && generation == Some(pod.generation)
}

/// Writes down a start, and with the first one the volume that it made.
pub fn record(pod: &mut Pod, started: Started, volume: Option<String>, now: Time) {
    let wished = is_wished(pod);
    let Some(run) = &mut pod.run else { return };
    run.started_at = Some(started.started_at);
    run.charged_from = Some(started.charged_from);
    run.endpoints = started.endpoints;
    run.recorded_at = Some(now);
    run.seen_first = Some(started.alive_at);
    pod.last_activity = pod.idle_stop.map(|_| Activity {
        signal: Signal::Start,
        at: now,
    });
    if wished {
        (pod.reason, pod.message) = (None, None);
    }
    let known = pod.volume.get_or_insert_with(|| Volume {
        id: None,
        payer: run.terms.payer.clone(),
        rate: run.terms.volume_rate,
        counting_since: Some(now),
        counted_micros: 0,
        kept_until: None,
        closed: false,
        opened_at: Some(now),
        closed_at: None,
    });
    if known.id.is_none() || pod.accept_volume_loss {
        known.id = volume;
    }
    pod.accept_volume_loss = false;
}

/// Gives up a run that did not start in time: it is not current from now on.
pub fn give_up(pod: &mut Pod, now: Time) {
    if let Some(run) = &mut pod.run {
        run.given_up = true;
        cut(run, now);
    }
}

/// Closes the open run. The generation of the run has ended, unless another run may do better.
pub fn close(pod: &mut Pod, end: &End, now: Time) {
    let wished = is_wished(pod);
    let Some(run) = pod.run.take() else { return };
    pod.last_ended = run
        .started_at
        .map(|_| crate::id::RunId {
            pod: pod.id,
            n: run.n,
            key: run.key,
        })
        .or(pod.last_ended);
    let again = end.retry.filter(|_| wished);
    if let Some(wait) = again.and_then(|cause| retry_after(cause, pod.tries)) {
        pod.retry_at = Some(now + wait);
        pod.tries += 1;
    } else {
        pod.ended_generation = pod.ended_generation.max(run.generation);
        if pod.has_ended() {
            pod.hold = None;
        }
    }
    if wished {
        (pod.reason, pod.message, pod.exit_code) =
            (Some(end.reason), end.message.clone(), end.code);
    } else if end.code.is_some() {
        pod.exit_code = end.code;
    }
    if end.retry == Some(RetryCause::PortTaken) {
        pod.ports.clear();
    }
}

/// How long to wait before another run, if there is one.
fn retry_after(cause: RetryCause, tries: u32) -> Option<Duration> {
    match cause {
        // The next run has other ports, and nothing to wait for.
        RetryCause::PortTaken => (tries + 1 < MAX_PORTS_TAKEN).then_some(Duration::ZERO),
        RetryCause::NameTaken
        | RetryCause::NoNetwork
        | RetryCause::GpuAdmission
        | RetryCause::Evicted => RETRY_AFTER.get(tries as usize).copied(),
    }
}

/// Nothing of the pod is there: what was held for its container is free. Answers the devices.
pub fn free(pod: &mut Pod) -> Vec<DeviceId> {
    if pod.has_ended() || pod.desired != Desired::Running {
        pod.hold = None;
    }
    std::mem::take(&mut pod.devices)
}

#[cfg(test)]
mod tests;
