//! Figures for operators, as plain data: how many pods there are, how long they take to start, what the loops and the store
//! do. Whoever embeds the library hands them to any monitoring; the example server has them for Prometheus.
//!
//! Nothing is read for them but one document. What is there is counted by the sweep, which reads every row anyway, for all
//! replicas; what happens is counted where it happens, by each replica for itself.

mod census;
mod histogram;
mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::id::{PodId, UserId};
use crate::metrics::Point;
use crate::platform::Platform;
use crate::sweep;

pub use census::Census;
pub(crate) use census::Counting;
pub use histogram::{Histogram, Spread};
pub(crate) use tally::Tally;

/// A store that takes longer is left out of the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known at an instant.
#[derive(Debug, Clone)]
pub struct Figures {
    /// What the last sweep of any replica has found; `None` before the first, or if the store does not answer.
    pub census: Option<Census>,
    /// Whether the store has answered.
    pub store_answers: bool,
    /// What this replica has done since it began.
    pub done: Done,
    /// Who follows events on this replica.
    pub followers: u64,
    /// How many logs are read for those who follow them on this replica.
    pub logs: u64,
    /// How many pods this replica measures, because somebody watches them.
    pub measured: u64,
    /// What those use that run. What can't be measured is left out.
    pub usage: Vec<PodUsage>,
}

/// What a pod uses that somebody watches.
#[derive(Debug, Clone)]
pub struct PodUsage {
    /// Which pod.
    pub pod: PodId,
    /// Whose.
    pub owner: UserId,
    /// What was measured last.
    pub latest: Arc<Point>,
}

/// What one replica has done since it began.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// Writes to the store, by what became of them.
    pub commits: Commits,
    /// How long each of them took, whatever became of it.
    pub commit_time: Spread,
    /// Transfers that were written.
    pub transfers: u64,
    /// Totals of meters that were written, and went on.
    pub totals: u64,
    /// The last totals of meters.
    pub last_totals: u64,
    /// How long passes took, by what they were over: `pod`, `queue`, `account` or `sweep`.
    pub passes: BTreeMap<&'static str, Spread>,
    /// How many passes go on.
    pub passes_under_way: u64,
    /// From a launch to the pass that opened the pod's first run; of pods that had to wait for devices too little is known.
    pub lag: Spread,
    /// From the opening of a run until it was ready.
    pub launches: Spread,
    /// How often a pod came into `ERROR`.
    pub failures: u64,
}

/// What became of writes to the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Commits {
    /// Written.
    pub written: u64,
    /// Somebody else had changed what they were based on.
    pub conflicts: u64,
    /// A condition did not hold.
    pub refused: u64,
    /// The store did not answer, or could not.
    pub failed: u64,
}

impl Platform {
    /// Figures for operators. Cheap however many pods there are. A store that does not answer makes them fewer, and is no
    /// error: it is what an operator wants to see.
    pub async fn figures(&self) -> Figures {
        let core = &self.0;
        let census = tokio::time::timeout(PATIENCE, sweep::census(core)).await;
        let census = census.ok().and_then(|read| read.ok());
        Figures {
            store_answers: census.is_some(),
            census: census.flatten(),
            done: core.tally.done(),
            followers: core.feed.len(),
            logs: core.hubs.len(),
            measured: core.metrics.len(),
            usage: core.metrics.usage(),
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
