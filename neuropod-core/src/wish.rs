//! How a wish changes: pure functions on the row. A change raises the generation; what changes nothing does nothing.

use std::time::Duration;

use crate::id::AccountId;
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

/// Wishes a run, at these terms. Who pays for it pays for its volume too, from `now` on, if that was kept without charge.
/// Answers whether that changed anything.
pub fn start(pod: &mut Pod, terms: Terms, hold: Option<Hold>, now: Time) -> bool {
    let wants =
        pod.desired == Desired::Stopped || (pod.desired == Desired::Running && pod.has_ended());
    if wants {
        pod.desired = Desired::Running;
        pod.generation += 1;
        fund_again(pod, &terms.payer, now);
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
            kept_until: None,
            closed: true,
            opened_at: None,
            closed_at: None,
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

/// The balance of `payer` ran out at `dry`: nothing that it pays for is charged past that, however late this is. What
/// runs is stopped, what is stored is kept without charge until `keep_until`. Answers whether that changed anything.
pub fn run_dry(pod: &mut Pod, payer: &AccountId, dry: Time, keep_until: Time) -> bool {
    let before = (pod.generation, pod.run.as_ref().and_then(|run| run.cutoff));
    let runs_on_it = match &pod.run {
        Some(run) => run.terms.payer == *payer,
        None => pod.terms.payer == *payer && !pod.has_ended(),
    };
    if runs_on_it {
        stop(pod, Reason::LowBalance, dry);
        if let Some(run) = &mut pod.run {
            cut(run, dry);
        }
    }
    let volume = pod.volume.as_mut();
    let counting = volume.filter(|v| v.payer == *payer && v.counting_since.is_some());
    let paused = counting.is_some();
    if let Some(volume) = counting {
        volume.pause(dry, keep_until);
    }
    paused || before != (pod.generation, pod.run.as_ref().and_then(|run| run.cutoff))
}

/// There is money again: what `payer` pays for and was kept without charge counts from `now` on. Answers whether that
/// changed anything.
pub fn fund_again(pod: &mut Pod, payer: &AccountId, now: Time) -> bool {
    let volume = pod.volume.as_mut();
    let kept = volume.filter(|v| v.payer == *payer && v.kept_until.is_some());
    let resumed = kept.is_some();
    if let Some(volume) = kept {
        volume.resume(now);
    }
    resumed
}

/// Changes the wish of a pod whose deadline is past at `now`. What it charges ends at the deadline itself, however
/// late this is.
pub fn expire(pod: &mut Pod, now: Time) -> bool {
    let past = |deadline: Option<Time>| deadline.filter(|d| *d <= now);
    if let Some(at) = past(pod.deadlines.delete_after) {
        delete(pod, Reason::Deadline, at, at)
    } else if let Some(at) = past(kept_until(pod)) {
        delete(pod, Reason::LowBalance, at, at)
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
    stop.into_iter().chain(delete).chain(kept_until(pod)).min()
}

/// Until when its volume is kept, if nobody pays for it.
fn kept_until(pod: &Pod) -> Option<Time> {
    pod.volume.as_ref().and_then(|volume| volume.kept_until)
}

#[cfg(test)]
mod tests;
