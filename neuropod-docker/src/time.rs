//! The engine's time of day, without asking it each time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use neuropod_core::time::Time;

/// So long a difference between two clocks is believed.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// How far the engine's clock is ahead of this machine's, and when that was found out.
#[derive(Debug, Clone, Default)]
pub(crate) struct EngineTime(Arc<Mutex<Option<(Instant, i64)>>>);

/// This machine's time of day.
pub(crate) fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Time::EPOCH + since.unwrap_or_default()
}

impl EngineTime {
    /// The engine's time now, if its clock was compared with ours of late.
    pub(crate) fn now(&self) -> Option<Time> {
        let known = *self.0.lock().expect("no panic while held");
        let (_, ahead) = known.filter(|(at, _)| at.elapsed() < GOOD_FOR)?;
        Some(Time::from_micros(wall().as_micros() + ahead))
    }

    /// The engine told `theirs` between two readings of our clock.
    pub(crate) fn compare(&self, before: Time, theirs: Time, after: Time) {
        let ahead = ahead(before, theirs, after);
        *self.0.lock().expect("no panic while held") = Some((Instant::now(), ahead));
    }
}

/// In microseconds. What lies between two readings of the same clock is that clock.
fn ahead(before: Time, theirs: Time, after: Time) -> i64 {
    if (before..=after).contains(&theirs) {
        return 0;
    }
    let middle = before.as_micros() + (after.as_micros() - before.as_micros()) / 2;
    theirs.as_micros() - middle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_clock_has_no_difference() {
        let at = Time::from_micros;
        assert_eq!(ahead(at(10), at(11), at(30)), 0);
        assert_eq!(ahead(at(10), at(70), at(30)), 50);
        assert_eq!(ahead(at(110), at(70), at(130)), -50);
    }

    #[test]
    fn it_is_not_told_before_it_was_compared() {
        let time = EngineTime::default();
        assert_eq!(time.now(), None);
        let hour = Duration::from_secs(3600);
        time.compare(wall(), wall() + hour, wall());
        assert!(time.now() > Some(wall() + hour - Duration::from_secs(60)));
    }
}
