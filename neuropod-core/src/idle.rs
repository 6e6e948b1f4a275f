//! Pods that nothing uses: one whose owner wants that ([`Launch::idle_stop`](crate::Launch::idle_stop)) is stopped once
//! nothing has used it for so long. It is looked at ten times in that span: what it computes and what it says over the
//! network since the look before counts, and so does whoever says that he is there ([`Platform::heartbeat`]). An open
//! connection on which nothing happens does not.
//!
//! What can't be measured is not idle: only a span that this replica has seen quiet from end to end stops anything.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::auth::{Action, Identity};
use crate::error::{Error, ErrorKind, Result};
use crate::id::PodId;
use crate::orchestrator::Usage;
use crate::platform::{Core, Platform};
use crate::pod::{Desired, Pod, Reason, Run};
use crate::store::Changes;
use crate::time::Time;
use crate::{reconcile, wish};

/// A pod is looked at so often in the span after which it is stopped,
const LOOKS: u32 = 10;
/// but never more often than that,
const SOONEST: Duration = Duration::from_secs(5);
/// nor more rarely.
const LATEST: Duration = Duration::from_secs(300);
/// A device that is less busy, in percent, does nothing.
const GPU_PERCENT: u32 = 5;
/// A program that takes less, in thousandths of a CPU, does nothing: a server that waits takes some.
const CPU_MILLI: u64 = 100;
/// A network on which less passes, in bytes per second both ways, is quiet: an open page asks how things are.
const NETWORK: u64 = 4096;

/// What used a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Signal {
    /// It was started.
    Start,
    /// One of its devices was busy.
    Gpu,
    /// Its program computed.
    Cpu,
    /// Something passed over its network.
    Network,
    /// Somebody said that he is there.
    Heartbeat,
}

/// The last time a pod was used, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    /// By what.
    pub signal: Signal,
    /// When that was seen.
    pub at: Time,
}

impl Pod {
    /// When it is stopped, if nothing uses it until then. Only of one that runs and is to be stopped.
    pub fn idle_stop_at(&self) -> Option<Time> {
        let (after, _) = watched(self)?;
        Some(self.last_activity?.at + after)
    }
}

/// The span after which it is stopped, and the run, of a pod that is looked at.
fn watched(pod: &Pod) -> Option<(Duration, &Run)> {
    let run = pod.run.as_ref()?;
    let runs = pod.desired == Desired::Running && pod.is_current(run) && run.started_at.is_some();
    Some((pod.idle_stop.filter(|_| runs)?, run))
}

fn every(after: Duration) -> Duration {
    (after / LOOKS).clamp(SOONEST, LATEST)
}

/// When a pod is looked at next, if it is at all and was not looked at yet.
pub(crate) fn first_look(pod: &Pod, now: Time) -> Option<Time> {
    watched(pod).map(|(after, _)| now + every(after))
}

/// What a look at a run has found.
#[derive(Debug, Clone, PartialEq)]
struct Look {
    run: u32,
    at: Time,
    usage: Usage,
    /// Since when every look of this replica has found it quiet.
    quiet_since: Time,
}

/// The last look at each pod, of this replica. That of a pod whose end another replica has seen stays, which is little.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<HashMap<PodId, Look>>);

impl Looks {
    fn last(&self, pod: PodId, run: u32) -> Option<Look> {
        let looks = self.0.lock().expect("no panic while held");
        looks.get(&pod).filter(|look| look.run == run).cloned()
    }

    fn keep(&self, pod: PodId, look: Look) {
        let mut looks = self.0.lock().expect("no panic while held");
        looks.insert(pod, look);
    }

    fn forget(&self, pod: PodId) {
        self.0.lock().expect("no panic while held").remove(&pod);
    }
}

/// What used a pod between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Used {
    By(Signal),
    ByNothing,
    /// Not all of it could be measured.
    Unknown,
}

/// What used a run in the `span` between two measurements.
fn used(before: &Usage, now: &Usage, span: Duration) -> Used {
    let percents = || now.gpus.iter().map(|gpu| gpu.percent);
    if percents().flatten().any(|percent| percent >= GPU_PERCENT) {
        return Used::By(Signal::Gpu);
    }
    let per_second = |before: Option<u64>, now: Option<u64>| {
        let more = now?.checked_sub(before?)?;
        let micros = span.as_micros().max(1);
        u64::try_from(u128::from(more) * 1_000_000 / micros).ok()
    };
    let cpu = per_second(before.cpu_micros, now.cpu_micros).map(|micros| micros / 1000);
    let cpu = now.cpu_milli.max(cpu);
    if cpu.is_some_and(|milli| milli >= CPU_MILLI) {
        return Used::By(Signal::Cpu);
    }
    let said = |usage: &Usage| Some(usage.rx_bytes? + usage.tx_bytes?);
    let network = per_second(said(before), said(now));
    if network.is_some_and(|bytes| bytes >= NETWORK) {
        return Used::By(Signal::Network);
    }
    if cpu.is_none() || network.is_none() || percents().any(|percent| percent.is_none()) {
        return Used::Unknown;
    }
    Used::ByNothing
}

/// What a look leads to.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// The pod is not looked at.
    Never,
    /// Again then.
    At(Time),
    /// The row is to be this.
    Write(Box<Pod>),
}

/// Looks at a pod, if it is time to.
pub(crate) async fn look(core: &Core, pod: &Pod) -> Next {
    let Some((after, run)) = watched(pod) else {
        core.idle.forget(pod.id);
        return Next::Never;
    };
    let every = every(after);
    let before = core.idle.last(pod.id, run.n);
    if let Some(last) = &before
        && core.clock.now() < last.at + every
    {
        return Next::At(last.at + every);
    }
    let usage = core.orchestrator.usage(pod.run_id(run)).await;
    // What did not answer has measured nothing.
    let usage = usage.unwrap_or_default();
    let now = core.clock.now();
    let used = match &before {
        Some(last) => used(&last.usage, &usage, now.since(last.at)),
        None => Used::Unknown,
    };
    let quiet_since = match (&before, used) {
        (Some(last), Used::ByNothing) => last.quiet_since,
        _ => now,
    };
    let look = Look {
        run: run.n,
        at: now,
        usage,
        quiet_since,
    };
    core.idle.keep(pod.id, look);
    weigh(pod, after, used, quiet_since, now).unwrap_or(Next::At(now + every))
}

/// The row that a look leads to, if another.
fn weigh(pod: &Pod, after: Duration, used: Used, quiet_since: Time, now: Time) -> Option<Next> {
    let mut changed = pod.clone();
    match used {
        Used::By(signal) => changed.last_activity = Some(Activity { signal, at: now }),
        Used::ByNothing => {
            let last = pod.last_activity?;
            let idle = now.since(quiet_since.max(last.at));
            if idle < after || !wish::stop(&mut changed, Reason::Idle, now) {
                return None;
            }
            changed.message = Some(message(last, after));
        }
        Used::Unknown => return None,
    }
    Some(Next::Write(Box::new(changed)))
}

fn message(last: Activity, after: Duration) -> String {
    let by = match last.signal {
        Signal::Start => "its start",
        Signal::Gpu => "its GPU",
        Signal::Cpu => "its CPU",
        Signal::Network => "its network",
        Signal::Heartbeat => "a heartbeat",
    };
    let seconds = after.as_secs();
    let minutes = seconds / 60;
    let span = match seconds % 60 {
        0 => format!("{minutes} min"),
        _ => format!("{seconds} s"),
    };
    format!(
        "Nothing has used it for {span}: the last sign was {by}, at {}.",
        last.at
    )
}

impl Platform {
    /// Says that somebody uses a pod, whatever it does; for pages and editors whose user is there. Answers the pod. One that
    /// is not stopped when idle, or does not run, is left as it is.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`.
    pub async fn heartbeat(&self, who: &Identity, id: PodId) -> Result<Pod> {
        let pod = self.allowed(who, Action::End, id).await?;
        let Some((after, _)) = watched(&pod) else {
            return Ok(pod);
        };
        let now = self.0.clock.now();
        let is_known = |last: Activity| last.at + every(after) / 2 > now;
        if pod.last_activity.is_some_and(is_known) {
            return Ok(pod);
        }
        let mut beats = pod.clone();
        beats.last_activity = Some(Activity {
            signal: Signal::Heartbeat,
            at: now,
        });
        match reconcile::commit(&self.0, &pod, beats, Changes::default()).await {
            Err(e) if *e.kind() == ErrorKind::Conflict => Err(Error::conflict(
                "The pod was changed at the same time; try again.",
            )),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
