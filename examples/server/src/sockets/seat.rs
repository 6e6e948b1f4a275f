//! One socket that was let in: who it is, and what is known of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use neuropod::Time;
use neuropod::visit::Visit;

use super::arrived::Inbox;

/// How often a visit is looked at of which nothing is heard.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// How soon again if nobody can tell.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Somebody's place.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) visit: Visit,
    pub(super) inbox: Inbox,
    /// Nothing is sent or answered any more.
    over: AtomicBool,
    check_at: Mutex<Time>,
}

impl Seat {
    pub(super) fn new(visit: Visit, now: Time) -> Self {
        let seat = Self {
            visit,
            inbox: Inbox::default(),
            over: AtomicBool::new(false),
            check_at: Mutex::new(now),
        };
        seat.goes_on(now);
        seat
    }

    /// Ends it; whether it had not ended before.
    pub(super) fn end(&self) -> bool {
        !self.over.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Whether it is time to look at the visit.
    pub(super) fn is_due(&self, now: Time) -> bool {
        *self.check_at.lock().expect("no panic while held") <= now
    }

    pub(super) fn goes_on(&self, now: Time) {
        // One that is past its end and yet believed, by a clock that differs, is asked again soon.
        let end = self.visit.ends_at().map(|end| end.max(now + ASK_AGAIN));
        let next = now + CHECK_EVERY;
        self.check_at(end.map_or(next, |end| end.min(next)));
    }

    pub(super) fn is_unknown(&self, now: Time) {
        self.check_at(now + ASK_AGAIN);
    }

    fn check_at(&self, at: Time) {
        *self.check_at.lock().expect("no panic while held") = at;
    }
}
