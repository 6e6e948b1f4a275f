//! How a wish changes: pure functions on the row. A change raises the generation; what changes nothing does nothing.

use std::time::Duration;

use crate::pod::{Desired, Hold, Pod, Reason, Run, Terms, Volume};
use crate::rule::{Rule, broken};
use crate::time::Time;

/// How long a program may take to end after a stop; it is charged for no more than that.
pub const GRACE: Duration = Duration::from_secs(10);

/// Nothing of `run` is charged past `at`. A cutoff never moves later.
pub fn cut(run: &mut Run, at: Time) {
    let earlier = run
        .cutoff
        .filter(|_| !broken(Rule::CutoffOnlyEarlier))
        .map_or(at, |c| c.min(at));
    run.cutoff = Some(earlier);
}

/// Wishes a run, at these terms. Answers whether that changed anything.
pub fn start(pod: &mut Pod, terms: Terms, hold: Option<Hold>) -> bool {
    let wants =
        pod.desired == Desired::Stopped || (pod.desired == Desired::Running && pod.has_ended());
    if wants {
        pod.desired = Desired::Running;
        pod.generation += 1;
        pod.terms = terms;
        pod.hold = hold.map(|h| Hold {
            generation: pod.generation,
            ..h
        });
        (pod.tries, pod.retry_at, pod.queued_at) = (0, None, None);
        (pod.reason, pod.message, pod.exit_code) = (None, None, None);
        // A deadline that has passed was for the run that it ended.
        pod.deadlines.stop_after = None;
    }
    wants
}

/// Wishes no run any more; nothing is charged past `cutoff`. Answers whether that changed anything.
pub fn stop(pod: &mut Pod, reason: Reason, cutoff: Time) -> bool {
    let wants = pod.desired == Desired::Running;
    if wants {
        pod.desired = Desired::Stopped;
        end(pod, reason, cutoff);
    }
    wants
}

/// Wishes that nothing is left; runs are charged to `cutoff` at most, the volume to `at`. Answers whether that
/// changed anything.
pub fn delete(pod: &mut Pod, reason: Reason, at: Time, cutoff: Time) -> bool {
    let wants = pod.desired != Desired::Deleted;
    if wants {
        pod.desired = Desired::Deleted;
        end(pod, reason, cutoff);
        // A closed meter even if none was open, so that a late record can't open it.
        let volume = pod.volume.get_or_insert_with(|| Volume {
            id: None,
            payer: pod.terms.payer.clone(),
            rate: pod.terms.volume_rate,
            counting_since: None,
            counted_micros: 0,
            closed: true,
        });
        volume.close(at);
    }
    wants
}

fn end(pod: &mut Pod, reason: Reason, cutoff: Time) {
    pod.generation += 1;
    pod.queued_at = None;
    pod.retry_at = None;
    pod.reason = Some(reason);
    pod.message = None;
    if let Some(run) = &mut pod.run {
        cut(run, cutoff);
    }
}

/// Changes the wish of a pod whose deadline is past at `now`. What it charges ends at the deadline itself, however
/// late this is.
pub fn expire(pod: &mut Pod, now: Time) -> bool {
    let past = |deadline: Option<Time>| deadline.filter(|d| *d <= now);
    if let Some(at) = past(pod.deadlines.delete_after) {
        delete(pod, Reason::Deadline, at, at)
    } else if let Some(at) = past(pod.deadlines.stop_after) {
        stop(pod, Reason::Deadline, at)
    } else {
        false
    }
}

/// The next instant at which [`expire`] would change something.
pub fn next_deadline(pod: &Pod) -> Option<Time> {
    let stop = pod
        .deadlines
        .stop_after
        .filter(|_| pod.desired == Desired::Running);
    let delete = pod
        .deadlines
        .delete_after
        .filter(|_| pod.desired != Desired::Deleted);
    stop.into_iter().chain(delete).min()
}

#[cfg(test)]
mod tests;
