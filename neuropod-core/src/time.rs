//! Time: whole microseconds since 1970 in UTC, and the clock that tells it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// An instant in UTC, in whole microseconds since 1970. Displayed and serialised as RFC 3339 with `Z`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Time(i64);

impl Time {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// `micros` microseconds after 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }
    /// Microseconds since 1970.
    pub const fn as_micros(self) -> i64 {
        self.0
    }
    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)),
        )
    }
}

impl std::ops::Sub<Duration> for Time {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)),
        )
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(t) => write!(f, "{t:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Time {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        s.parse::<jiff::Timestamp>()
            .map(|t| Self(t.as_microsecond()))
            .map_err(|e| {
                Error::invalid(
                    "",
                    format!("A time is written like 2026-01-31T12:00:00Z: {e}."),
                )
            })
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(|e: Error| serde::de::Error::custom(e.message()))
    }
}

/// Tells the time. Sleeping is tokio's business, so that tests can pause it.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Our time now. Never goes back on one replica.
    fn now(&self) -> Time;
}

impl<T: Clock + ?Sized> Clock for std::sync::Arc<T> {
    fn now(&self) -> Time {
        (**self).now()
    }
}

/// An anchor taken once, plus tokio's monotonic clock: a jump of the wall clock does not move it, and a paused
/// tokio clock makes it virtual.
#[derive(Debug, Clone)]
pub struct SystemClock {
    anchor: Time,
    started: tokio::time::Instant,
}

impl SystemClock {
    /// Anchored at the wall clock's time.
    pub fn new() -> Self {
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self::anchored(Time::EPOCH + wall)
    }

    /// Anchored at `anchor`: what it tells now.
    pub fn anchored(anchor: Time) -> Self {
        Self {
            anchor,
            started: tokio::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Time {
        self.anchor + self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_rfc_3339_with_microseconds() {
        let t: Time = "2026-11-24T03:57:15.123456Z".parse().unwrap();
        assert_eq!(t.to_string(), "2026-11-24T03:57:15.123456Z");
        assert_eq!(t.since(t - Duration::from_secs(2)), Duration::from_secs(2));
        assert_eq!((t - Duration::from_secs(2)).since(t), Duration::ZERO);
        assert!("yesterday".parse::<Time>().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_system_clock_follows_tokio() {
        let clock = SystemClock::anchored(Time::from_micros(5));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now(), Time::from_micros(1_000_005));
    }
}
