//! A clock that is moved by hand.

#![allow(dead_code)] // each test takes what it needs

use std::sync::{Arc, Mutex};
use std::time::Duration;

use neuropod_core::{Clock, Time};

/// What it shows at first, in seconds since 1970.
pub(crate) const START: i64 = 1_800_000_000;

/// Stands still until it is moved.
#[derive(Debug)]
pub(crate) struct Hand(Mutex<Time>);

impl Hand {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Time::from_micros(START * 1_000_000))))
    }

    /// Shows so many seconds since 1970.
    pub(crate) fn set(&self, seconds: i64) {
        *self.0.lock().unwrap() = Time::from_micros(seconds * 1_000_000);
    }

    pub(crate) fn advance(&self, seconds: u64) {
        let mut now = self.0.lock().unwrap();
        *now = *now + Duration::from_secs(seconds);
    }
}

impl Clock for Hand {
    fn now(&self) -> Time {
        *self.0.lock().unwrap()
    }
}
