//! How long things take: a few counters for each kind of thing, however often it happens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts durations by how long they were. Never waits.
#[derive(Debug)]
pub struct Histogram {
    /// Seconds, rising.
    bounds: &'static [f64],
    /// One for each bound, and one for what is longer than all of them.
    counts: Vec<AtomicU64>,
    micros: AtomicU64,
}

/// What a [`Histogram`] has counted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spread {
    /// How many took at most so many seconds, in rising order.
    pub at_most: Vec<(f64, u64)>,
    /// How many there were.
    pub count: u64,
    /// The sum of them, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// One with these bounds, in seconds, rising.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            micros: AtomicU64::new(0),
        }
    }

    /// Counts one that took so long.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let place = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn spread(&self) -> Spread {
        let mut count = 0;
        let mut so_far = self.counts.iter().map(|n| {
            count += n.load(Ordering::Relaxed);
            count
        });
        let at_most = self.bounds.iter().copied().zip(so_far.by_ref()).collect();
        so_far.for_each(drop);
        Spread {
            at_most,
            count,
            sum: self.micros.load(Ordering::Relaxed) as f64 / 1e6,
        }
    }
}
