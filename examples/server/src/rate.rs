//! How often somebody may do something: a rate with a burst, one instant kept per key, on this replica only.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use neuropod::Time;

use crate::problem::{Problem, Result};

/// Keys that have not been seen for long are dropped once there are more than this.
const KEYS_KEPT: usize = 10_000;

/// The limits of one server.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Writes of one user.
    pub(crate) writes: Rate,
    /// Logins from one address, and of one e-mail address.
    pub(crate) logins: Rate,
    /// What sockets of one user ask for that has to be looked up. A page asks twice for each of its pods.
    pub(crate) questions: Rate,
}

impl Limits {
    /// Ten times as generous in development mode.
    pub(crate) fn new(development: bool) -> Self {
        let times = if development { 10 } else { 1 };
        Self {
            writes: Rate::new(Duration::from_millis(50) / times, 200 * times),
            logins: Rate::new(Duration::from_secs(6) / times, 30 * times),
            questions: Rate::new(Duration::from_millis(50) / times, 400 * times),
        }
    }

    /// Counts a login from an address, if it is known.
    pub(crate) fn login_from(&self, peer: Option<IpAddr>, now: Time) -> Result<()> {
        peer.map_or(Ok(()), |peer| self.logins.take(&peer.to_string(), now))
    }
}

/// One thing per `every` in the long run, `burst` at once.
#[derive(Debug)]
pub(crate) struct Rate {
    every: Duration,
    tolerance: Duration,
    /// When all that a key has done so far would have been due at the even rate.
    due: Mutex<HashMap<String, Time>>,
}

impl Rate {
    fn new(every: Duration, burst: u32) -> Self {
        Self {
            every,
            tolerance: every * (burst - 1),
            due: Mutex::default(),
        }
    }

    /// Counts one, or says when to come again.
    pub(crate) fn take(&self, key: &str, now: Time) -> Result<()> {
        let mut due = self.due.lock().expect("no panic while held");
        if due.len() > KEYS_KEPT {
            due.retain(|_, due| *due > now);
        }
        let at = due.get(key).map_or(now, |&due| due.max(now));
        let ahead = at.since(now);
        if ahead > self.tolerance {
            return Err(Problem::rate_limited(ahead - self.tolerance));
        }
        due.insert(key.to_owned(), at + self.every);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_even_rate() {
        let rate = Rate::new(Duration::from_secs(6), 3);
        let at = |seconds| Time::EPOCH + Duration::from_secs(seconds);
        let taken = |key, seconds| rate.take(key, at(seconds)).is_ok();
        assert!(taken("a", 100) && taken("a", 100) && taken("a", 100));
        assert!(!taken("a", 100) && !taken("a", 105));
        assert!(taken("b", 105), "somebody else's");
        assert!(taken("a", 106) && !taken("a", 106));
        assert!(taken("a", 1000) && taken("a", 1000) && taken("a", 1000) && !taken("a", 1000));
    }

    #[test]
    fn forgotten_keys_take_no_room() {
        let rate = Rate::new(Duration::from_secs(1), 1);
        for key in 0..=KEYS_KEPT {
            rate.take(&key.to_string(), Time::EPOCH).unwrap();
        }
        rate.take("x", Time::EPOCH + Duration::from_secs(2))
            .unwrap();
        assert_eq!(rate.due.lock().unwrap().len(), 1);
    }
}
