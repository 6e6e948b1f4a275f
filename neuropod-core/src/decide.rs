//! The brain: from a row and what is seen of it to the next step. Pure; the first row of the table that fits.

use std::time::Duration;

use crate::error::{Refusal, RetryCause};
use crate::funds::charged;
use crate::id::RunId;
use crate::jupyter;
use crate::money::{Money, price};
use crate::orchestrator::{ExitCause, Instance, Seen, State};
use crate::pod::{Desired, Endpoint, Pod, Reason, Run};
use crate::rule::{Rule, broken};
use crate::time::Time;

/// A pod counts as running when every port has answered, or this long after its start.
pub const READY_WITHIN: Duration = Duration::from_secs(20);

/// Jupyter is looked for so often while it is being installed.
const INSTALLING: Duration = Duration::from_secs(5);

/// Two replicas' clocks differ by less.
pub const CLOCK_SPREAD: Duration = Duration::from_secs(10);

/// A start may be on its row so much later than it was recorded, by another replica's clock and over a store that takes
/// its time: a list whose rows were read before that has not missed the run for certain.
const WRITTEN_WITHIN: Duration = Duration::from_secs(30);

/// When a pass looked, in our time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// Before it asked the backend.
    pub before: Time,
    /// After the backend had answered.
    pub after: Time,
}

/// What the last complete list vouches for. Zero times if there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Swept {
    /// When the rows were read that the list was compared with.
    pub rows_at: Time,
    /// When the list was asked for.
    pub listed_at: Time,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Delete a container of a run that is not open, if a row read again still says so.
    Remove(RunId),
    /// Nothing of the pod is there: free what was held for its container.
    Free,
    /// Delete everything of the pod, then make the row a tombstone.
    Purge,
    /// Write down a new run.
    Open,
    /// Bring the run nearer to a running container.
    Ensure,
    /// It did not start in time.
    GiveUp,
    /// End the container of this run.
    Stop(RunId),
    /// Write down that the run has started.
    Record(Started),
    /// Write down where it can be reached, and that it is ready.
    Refresh {
        /// Its endpoints now.
        endpoints: Vec<Endpoint>,
        /// Whether it counts as running.
        ready: bool,
    },
    /// Write down the end of the run.
    Close(End),
    /// Nothing now; look again then.
    Wait(Option<Time>),
}

/// A start that was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// In the backend's time.
    pub started_at: Time,
    /// In our time, never before the run was opened.
    pub charged_from: Time,
    /// The last instant at which it is known to have run, in our time: before this observation if it shows it
    /// running, else its start, since it may have ended right after it.
    pub alive_at: Time,
    /// Where it can be reached.
    pub endpoints: Vec<Endpoint>,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// Why, for people.
    pub reason: Reason,
    /// A sentence about it.
    pub message: Option<String>,
    /// The program's exit code.
    pub code: Option<i64>,
    /// What is charged.
    pub charge: Charge,
    /// Another run may do better.
    pub retry: Option<RetryCause>,
    /// Its log is still there, and worth keeping.
    pub has_log: bool,
}

/// What of a run is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// It never started.
    Nothing,
    /// It ran this long by the backend's own clock.
    Ran(Duration),
    /// Nothing alive observed its end.
    UntilLastSeen,
}

/// The next step for `pod`, whose row was read before `seen` was.
pub fn decide(pod: &Pod, seen: &Seen, looked: Looked) -> Step {
    let open = pod.run.as_ref().map(|run| (run, pod.run_id(run)));
    let is_open = |i: &&Instance| open.as_ref().is_some_and(|(_, id)| i.run == *id);
    if let Some(stray) = seen.instances.iter().find(|i| !is_open(i)) {
        return Step::Remove(stray.run);
    }
    match open {
        None => without_run(pod, looked.after),
        Some((run, id)) => {
            let instance = seen.instances.first();
            match run.started_at {
                None => not_started(pod, run, id, instance, seen.at, looked),
                Some(started_at) => started(pod, run, id, started_at, instance, looked),
            }
        }
    }
}

/// No run is open and nothing is there.
fn without_run(pod: &Pod, now: Time) -> Step {
    let wants_run = pod.desired == Desired::Running && !pod.has_ended();
    if !pod.devices.is_empty() || (pod.hold.is_some() && !wants_run) {
        return Step::Free;
    }
    match pod.desired {
        Desired::Deleted => Step::Purge,
        // The queue's worker alone opens what is queued.
        Desired::Running if wants_run && pod.queued_at.is_some() => Step::Wait(None),
        Desired::Running if wants_run => match pod.retry_at {
            Some(at) if at > now => Step::Wait(Some(at)),
            _ => Step::Open,
        },
        _ => Step::Wait(None),
    }
}

fn not_started(
    pod: &Pod,
    run: &Run,
    id: RunId,
    instance: Option<&Instance>,
    at: Time,
    looked: Looked,
) -> Step {
    let current = is_current(pod, run);
    let in_time = looked.after < run.start_by;
    match instance.map(|i| &i.state) {
        None if current && in_time => Step::Ensure,
        None => Step::Close(End::unstarted(unstarted_reason(pod, run))),
        Some(State::Pending { .. }) if !current => Step::Stop(id),
        Some(State::Pending { .. }) if in_time => Step::Ensure,
        Some(State::Pending { .. }) => Step::GiveUp,
        Some(State::Running {
            started_at,
            endpoints,
        }) => Step::Record(Started {
            alive_at: looked.before,
            endpoints: endpoints.clone(),
            ..record(run, *started_at, at, looked)
        }),
        Some(State::Exited {
            started_at: Some(started_at),
            ..
        }) => Step::Record(record(run, *started_at, at, looked)),
        Some(State::Exited {
            started_at: None,
            cause,
            code,
            ..
        }) => Step::Close(End {
            code: *code,
            ..never_ran(*cause)
        }),
    }
}

fn started(
    pod: &Pod,
    run: &Run,
    id: RunId,
    started_at: Time,
    instance: Option<&Instance>,
    looked: Looked,
) -> Step {
    let same = |at: &Time| *at == started_at || broken(Rule::StartIsIdentity);
    match instance.map(|i| &i.state) {
        Some(State::Running {
            started_at: at,
            endpoints,
        }) if same(at) => {
            if is_current(pod, run) {
                ready(run, endpoints, looked.after)
            } else {
                Step::Stop(id)
            }
        }
        Some(State::Exited {
            started_at: Some(at),
            finished_at,
            code,
            cause,
        }) if same(at) => {
            let charge = match finished_at {
                Some(finished) => Charge::Ran(finished.since(started_at)),
                None => Charge::UntilLastSeen,
            };
            let reason = if is_current(pod, run) {
                exit_reason(*cause)
            } else {
                unstarted_reason(pod, run)
            };
            Step::Close(End {
                reason,
                message: None,
                code: *code,
                charge,
                retry: None,
                has_log: true,
            })
        }
        Some(State::Pending { .. }) => Step::Stop(id),
        _ => {
            let reason = if is_current(pod, run) {
                Reason::Lost
            } else {
                unstarted_reason(pod, run)
            };
            Step::Close(End {
                reason,
                ..End::lost()
            })
        }
    }
}

fn is_current(pod: &Pod, run: &Run) -> bool {
    pod.is_current(run) || (broken(Rule::GenerationFence) && pod.desired == Desired::Running)
}

/// A start of which nothing more is known than that it was.
fn record(run: &Run, started_at: Time, at: Time, looked: Looked) -> Started {
    // The backend's clock may be wrong, but it measures how long ago the start was.
    let ours = looked.after - at.since(started_at);
    let charged_from = ours.max(run.opened_at);
    Started {
        started_at,
        charged_from,
        alive_at: charged_from,
        endpoints: Vec::new(),
    }
}

fn ready(run: &Run, endpoints: &[Endpoint], now: Time) -> Step {
    let waited = run
        .charged_from
        .map_or(Duration::ZERO, |from| now.since(from));
    let endpoints = jupyter::judged(run, endpoints, waited);
    let told = endpoints.iter().all(|e| e.ready || e.failed.is_some());
    let ready = run.ready_at.is_some() || told || waited >= READY_WITHIN;
    if ready != run.ready_at.is_some() || endpoints != run.endpoints {
        return Step::Refresh { endpoints, ready };
    }
    Step::Wait(if !ready {
        Some(now + Duration::from_millis(500))
    } else if jupyter::is_awaited(run, &endpoints) {
        Some(now + INSTALLING)
    } else {
        None
    })
}

impl End {
    fn unstarted(reason: Reason) -> Self {
        Self {
            reason,
            message: None,
            code: None,
            charge: Charge::Nothing,
            retry: None,
            has_log: false,
        }
    }

    /// The end of a run that nobody observed.
    pub fn lost() -> Self {
        Self {
            charge: Charge::UntilLastSeen,
            ..Self::unstarted(Reason::Lost)
        }
    }

    /// The end of a run that the backend refused for good.
    pub fn refused(refusal: Refusal, message: String) -> Self {
        let reason = match refusal {
            Refusal::ImageNotFound | Refusal::ImageDenied | Refusal::BadReference => {
                Reason::ImagePull
            }
            Refusal::NoSpace => Reason::NoSpace,
            Refusal::VolumeLost => Reason::VolumeLost,
            Refusal::Spec => Reason::Spec,
        };
        Self {
            message: Some(message),
            ..Self::unstarted(reason)
        }
    }

    /// The end of a run that another one may do better.
    pub fn retried(cause: RetryCause, message: String) -> Self {
        let reason = match cause {
            RetryCause::PortTaken => Reason::PortTaken,
            RetryCause::NameTaken => Reason::NameTaken,
            RetryCause::NoNetwork => Reason::NoNetwork,
            RetryCause::GpuAdmission => Reason::GpuAdmission,
            RetryCause::Evicted => Reason::Evicted,
        };
        Self {
            message: Some(message),
            retry: Some(cause),
            ..Self::unstarted(reason)
        }
    }

    /// The final total of `run` that ended like this, looked at `seen_at` and last seen at `last_seen`: never above
    /// what it was charged so far, and the platform loses where nobody knows.
    pub fn total(&self, run: &Run, seen_at: Time, last_seen: Time) -> Money {
        price(run.terms.run_rate, self.charged(run, seen_at, last_seen))
    }

    /// How long `run` is charged for then.
    pub fn charged(&self, run: &Run, seen_at: Time, last_seen: Time) -> Duration {
        match self.charge {
            Charge::Nothing => Duration::ZERO,
            Charge::Ran(ran) => charged(run, seen_at).min(ran),
            Charge::UntilLastSeen if broken(Rule::UnobservedEndIsLastSeen) => charged(run, seen_at),
            Charge::UntilLastSeen => charged(run, last_seen.min(seen_at)),
        }
    }
}

/// The last instant at which `run` is known to have run: what a sweep marked; else what a list vouches for, if the
/// run was recorded well before the list's rows were read; else the observation that recorded it.
pub fn last_seen(run: &Run, swept: &Swept) -> Time {
    let first = run.seen_first.unwrap_or(run.opened_at);
    let vouched = run
        .recorded_at
        .is_some_and(|at| at + WRITTEN_WITHIN < swept.rows_at);
    run.last_seen.unwrap_or(if vouched {
        first.max(swept.listed_at)
    } else {
        first
    })
}

/// Why a run that is not wished (any more) ended.
fn unstarted_reason(pod: &Pod, run: &Run) -> Reason {
    if run.given_up || pod.is_current(run) {
        Reason::StartTimeout
    } else {
        pod.reason.unwrap_or(Reason::User)
    }
}

fn never_ran(cause: ExitCause) -> End {
    match cause {
        ExitCause::Retry(cause) => End::retried(cause, String::new()),
        ExitCause::Refused(refusal) => End::refused(refusal, String::new()),
        ExitCause::NodeLost => End::retried(RetryCause::Evicted, String::new()),
        ExitCause::EngineRestart | ExitCause::Ended | ExitCause::OutOfMemory => {
            End::unstarted(Reason::StartTimeout)
        }
    }
}

fn exit_reason(cause: ExitCause) -> Reason {
    match cause {
        ExitCause::OutOfMemory => Reason::OomKilled,
        ExitCause::EngineRestart => Reason::EngineRestart,
        ExitCause::NodeLost => Reason::NodeLost,
        _ => Reason::Exited,
    }
}

#[cfg(test)]
mod tests;
