//! What a replica counts as it happens.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::{Commits, Done, Histogram};
use crate::error::{ErrorKind, Result};
use crate::pod::{Phase, Pod};
use crate::store::{Changes, WorkKey};

/// A write is a few disk accesses.
const COMMITS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];
/// A pass asks a backend, and a sweep lists it.
const PASSES: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
];
/// A launch may have to pull an image first.
const LAUNCHES: &[f64] = &[
    0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0,
];

const KINDS: [&str; 4] = ["account", "pod", "queue", "sweep"];

#[derive(Debug)]
pub(crate) struct Tally {
    written: AtomicU64,
    conflicts: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    commit_time: Histogram,
    transfers: AtomicU64,
    totals: AtomicU64,
    last_totals: AtomicU64,
    passes: [Histogram; 4],
    under_way: AtomicU64,
    lag: Histogram,
    launches: Histogram,
    failures: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        let counter = AtomicU64::default;
        Self {
            written: counter(),
            conflicts: counter(),
            refused: counter(),
            failed: counter(),
            commit_time: Histogram::new(COMMITS),
            transfers: counter(),
            totals: counter(),
            last_totals: counter(),
            passes: std::array::from_fn(|_| Histogram::new(PASSES)),
            under_way: counter(),
            lag: Histogram::new(PASSES),
            launches: Histogram::new(LAUNCHES),
            failures: counter(),
        }
    }
}

fn add(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

impl Tally {
    /// A write that began then has ended.
    pub(crate) fn committed(&self, changes: &Changes, began: Instant, written: &Result<()>) {
        self.commit_time.observe(began.elapsed());
        let Err(error) = written else {
            let last = changes.meters.iter().filter(|total| total.last).count();
            add(&self.written, 1);
            add(&self.transfers, changes.transfers.len());
            add(&self.last_totals, last);
            add(&self.totals, changes.meters.len() - last);
            return;
        };
        let became = match error.kind() {
            ErrorKind::Conflict => &self.conflicts,
            ErrorKind::Condition(_) => &self.refused,
            _ => &self.failed,
        };
        add(became, 1);
    }

    /// Counts a pass from now on, until the answer is dropped.
    pub(crate) fn pass(&self, key: &WorkKey) -> UnderWay<'_> {
        let kind = match key {
            WorkKey::Account(_) => 0,
            WorkKey::Pod(_) => 1,
            WorkKey::Queue(_) => 2,
            WorkKey::Sweep(_) => 3,
        };
        add(&self.under_way, 1);
        UnderWay {
            under_way: &self.under_way,
            time: &self.passes[kind],
            began: Instant::now(),
        }
    }

    /// A row was written that was `before`.
    pub(crate) fn changed(&self, before: &Pod, after: &Pod) {
        if after.phase() == Phase::Error && before.phase() != Phase::Error {
            add(&self.failures, 1);
        }
        let Some(run) = &after.run else {
            return;
        };
        let opened = before.run.is_none();
        // A wait for devices is no delay of ours, nor one before another attempt.
        if opened && run.n == 1 && before.queued_at.is_none() {
            self.lag.observe(run.opened_at.since(after.created_at));
        }
        let was_ready = before.run.as_ref().and_then(|run| run.ready_at);
        if let (None, Some(ready)) = (was_ready, run.ready_at) {
            self.launches.observe(ready.since(run.opened_at));
        }
    }

    pub(crate) fn done(&self) -> Done {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let passes = KINDS.into_iter().zip(&self.passes);
        Done {
            commits: Commits {
                written: read(&self.written),
                conflicts: read(&self.conflicts),
                refused: read(&self.refused),
                failed: read(&self.failed),
            },
            commit_time: self.commit_time.spread(),
            transfers: read(&self.transfers),
            totals: read(&self.totals),
            last_totals: read(&self.last_totals),
            passes: passes
                .map(|(kind, time)| (kind, time.spread()))
                .collect::<BTreeMap<_, _>>(),
            passes_under_way: read(&self.under_way),
            lag: self.lag.spread(),
            launches: self.launches.spread(),
            failures: read(&self.failures),
        }
    }
}

/// A pass that goes on. One that is cut off ends too.
pub(crate) struct UnderWay<'a> {
    under_way: &'a AtomicU64,
    time: &'a Histogram,
    began: Instant,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        self.time.observe(self.began.elapsed());
    }
}
