//! The cluster's time of day, which the API server tells in whole seconds with each answer.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use k8s_openapi::jiff::Timestamp;
use neuropod_core::time::Time;

/// So long a difference between two clocks is believed.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// How far the API server's clock is ahead of this machine's, in microseconds, and when that was found out.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterTime(Arc<Mutex<Option<(Instant, i64)>>>);

/// This machine's time of day.
pub(crate) fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Time::EPOCH + since.unwrap_or_default()
}

/// A time that the cluster has told; its zero is 1970.
pub(crate) fn told(at: Timestamp) -> Option<Time> {
    let micros = at.as_microsecond();
    (micros > 0).then(|| Time::from_micros(micros))
}

impl ClusterTime {
    /// The cluster's time now, if its clock was compared with ours of late.
    pub(crate) fn now(&self) -> Option<Time> {
        let known = *self.0.lock().expect("no panic while held");
        let (_, ahead) = known.filter(|(at, _)| at.elapsed() < GOOD_FOR)?;
        Some(Time::from_micros(wall().as_micros() + ahead))
    }

    /// The cluster told `theirs` between two readings of our clock.
    pub(crate) fn compare(&self, before: Time, theirs: Time, after: Time) {
        let ahead = ahead(before, theirs, after);
        *self.0.lock().expect("no panic while held") = Some((Instant::now(), ahead));
    }
}

/// In microseconds. Theirs has no parts of a second; what may lie between two readings of the same clock is that clock.
fn ahead(before: Time, theirs: Time, after: Time) -> i64 {
    const SECOND: i64 = 1_000_000;
    let (before, theirs, after) = (before.as_micros(), theirs.as_micros(), after.as_micros());
    if theirs <= after && theirs + SECOND > before {
        return 0;
    }
    theirs + SECOND / 2 - (before + (after - before) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_clock_has_no_difference() {
        let at = |millis: i64| Time::from_micros(millis * 1000);
        assert_eq!(ahead(at(10_900), at(10_000), at(11_100)), 0);
        assert_eq!(ahead(at(10_900), at(11_000), at(11_100)), 0);
        assert_eq!(ahead(at(10_000), at(20_000), at(10_000)), 10_500_000);
        assert_eq!(ahead(at(10_000), at(8_000), at(10_000)), -1_500_000);
    }
}
