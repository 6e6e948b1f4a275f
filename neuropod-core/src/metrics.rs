//! Usage over time: of the pods that somebody watches, and of no other. A pod that is watched is measured once a second,
//! however many watch it; the last ten minutes are kept in memory, and the average of each minute for a week in the store.

mod collect;
mod history;
mod point;
mod ring;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::auth::{Action, Identity};
use crate::error::{Error, Result};
use crate::id::PodId;
use crate::platform::Platform;
use crate::pod::Pod;
use crate::time::Time;

pub(crate) use collect::Metrics;
pub use point::{Limits, Point, average, buckets, point};

/// A question may be answered with so many points at most.
pub const POINTS: u64 = 1500;
/// What is asked for if nobody says since when.
const USUAL: Duration = Duration::from_secs(600);
/// Minutes are kept for so long.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Which points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetricsQuery {
    /// From then on; ten minutes before `to` if it is not said.
    pub from: Option<Time>,
    /// Before that; now if it is not said.
    pub to: Option<Time>,
    /// One for each so long; what gives 600 points at most, if it is not said.
    pub step: Option<Duration>,
}

/// Points, and what they are of.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// From then on.
    pub from: Time,
    /// Before that.
    pub to: Time,
    /// The span of each.
    pub step: Duration,
    /// In the order of time. Where nothing was measured there is none.
    pub points: Vec<Point>,
}

/// Somebody who watches a pod. As long as there is one it is measured once a second.
#[derive(Debug)]
pub struct Watch(watch::Receiver<Option<Arc<Point>>>);

impl Watch {
    /// What was measured last; `None` if the pod does not run, or was not measured yet.
    pub fn latest(&self) -> Option<Arc<Point>> {
        self.0.borrow().clone()
    }

    /// What is measured next: for who is slow the newest. `None` once the pod does not run any more.
    pub async fn next(&mut self) -> Option<Arc<Point>> {
        match self.0.changed().await {
            Ok(()) => self.0.borrow_and_update().clone(),
            // It is measured as long as this is there.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Platform {
    /// Measures a pod once a second from now on, until the answer is dropped. Who may see the pod is asked now; a caller
    /// that goes on for long asks again.
    ///
    /// # Errors
    /// `NotFound`, `Unreachable`.
    pub async fn watch_usage(&self, who: &Identity, id: PodId) -> Result<Watch> {
        self.allowed(who, Action::Read, id).await?;
        Ok(Watch(self.0.metrics.watch(&self.0, id)))
    }

    /// What a pod used over time; for a minute from now on it is measured, so that who asks again and again sees it live.
    ///
    /// # Errors
    /// `NotFound`, `Unreachable`; `Invalid` for a span that ends before it begins, or has too many steps.
    pub async fn usage_over_time(
        &self,
        who: &Identity,
        id: PodId,
        query: &MetricsQuery,
    ) -> Result<Series> {
        self.allowed(who, Action::Read, id).await?;
        let core = &self.0;
        let (from, to, step) = span(query, core.clock.now())?;
        let recent = core.metrics.recent(core, id);
        let known_from = recent.first().map_or(to, |first| first.at);
        let mut points = Vec::new();
        if from < known_from {
            points = history::read(core, id, from, to.min(known_from)).await?;
        }
        points.extend(recent);
        let points = buckets(&points, from, to, step);
        Ok(Series {
            from,
            to,
            step,
            points,
        })
    }

    /// What was measured last of a pod that somebody watches.
    pub fn latest_usage(&self, id: PodId) -> Option<Arc<Point>> {
        self.0.metrics.latest(id)
    }

    /// What the pod's run uses now: what was measured last if somebody watches it, else one look at it. Its rates are
    /// since the look before, if there was one. `None` if it does not run.
    ///
    /// # Errors
    /// `NotFound`, `Unreachable`.
    pub async fn usage(&self, who: &Identity, id: PodId) -> Result<Option<Arc<Point>>> {
        let pod = self.allowed(who, Action::Read, id).await?;
        self.usage_of(&pod).await
    }

    /// The same of a pod that was read just now.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn usage_of(&self, pod: &Pod) -> Result<Option<Arc<Point>>> {
        match self.0.metrics.latest(pod.id) {
            Some(latest) => Ok(Some(latest)),
            None => self.0.metrics.look(&self.0, pod).await,
        }
    }
}

/// From, to and step of a question.
fn span(query: &MetricsQuery, now: Time) -> Result<(Time, Time, Duration)> {
    let to = query.to.unwrap_or(now);
    let from = query.from.unwrap_or(to - USUAL);
    if from >= to {
        return Err(Error::invalid("/from", "\"from\" must be before \"to\"."));
    }
    let span = to.since(from);
    let usual = || {
        let seconds = span.as_secs().div_ceil(600).max(1);
        // Whole minutes, where minutes are all there is.
        let seconds = match seconds {
            1 => 1,
            _ => seconds.next_multiple_of(60),
        };
        Duration::from_secs(seconds)
    };
    let step = query.step.unwrap_or_else(usual);
    if step < Duration::from_secs(1) {
        return Err(Error::invalid("/step", "\"step\" is a second at least."));
    }
    if span.as_micros().div_ceil(step.as_micros()) > u128::from(POINTS) {
        let message = format!("That are more than {POINTS} points: take a longer \"step\".");
        return Err(Error::invalid("/step", message));
    }
    Ok((from, to, step))
}

#[cfg(all(test, feature = "testing"))]
mod tests;
