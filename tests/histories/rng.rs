//! The dice of one history: everything random in it comes from its seed.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Shared dice; clones throw the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Dice(Arc<Mutex<fastrand::Rng>>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }
    fn rng(&self) -> std::sync::MutexGuard<'_, fastrand::Rng> {
        self.0.lock().unwrap()
    }
    pub(crate) fn below(&self, n: usize) -> usize {
        self.rng().usize(0..n)
    }
    pub(crate) fn seed(&self) -> u64 {
        self.rng().u64(..)
    }
    /// One time in `n`.
    pub(crate) fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }
    pub(crate) fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.rng().u64(range))
    }
    /// Mostly short, sometimes long: how late calls are.
    pub(crate) fn delay(&self) -> Duration {
        let longest = [3, 3, 40, 40, 400, 4000][self.below(6)];
        self.millis(0..longest)
    }
    pub(crate) fn pick<T: Clone>(&self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len())].clone())
    }
}
