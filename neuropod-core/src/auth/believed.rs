//! Sessions that were checked a moment ago, so that a page that asks ten things at once makes the store look once.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use ring::digest::{SHA256, digest};

use super::Identity;
use crate::time::Time;

/// What ends a session on another replica takes effect here within a second; this leaves half of it to the store.
pub(super) const BELIEVED_FOR: Duration = Duration::from_millis(500);
/// More callers than this in half a second are checked once more.
const KEPT: usize = 10_000;

/// A token as it is kept: nobody who sees it can show it.
pub(super) type Fingerprint = [u8; 32];

/// The sessions of tokens that were good a moment ago.
#[derive(Default)]
pub(super) struct Believed(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    checked: HashMap<Fingerprint, Checked>,
    /// How often something was forgotten: a check that began before may have seen what is not so any more.
    forgotten: u64,
}

struct Checked {
    identity: Identity,
    until: Time,
}

/// A check that has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    at: Time,
    forgotten: u64,
}

pub(super) fn fingerprint(token: &str) -> Fingerprint {
    let hash = digest(&SHA256, token.as_bytes());
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl Believed {
    /// Whose session it is, if that need not be asked; else the beginning of a check.
    pub(super) fn look(&self, token: &Fingerprint, now: Time) -> Result<Identity, Begun> {
        let kept = self.kept();
        match kept.checked.get(token) {
            Some(checked) if now < checked.until => Ok(checked.identity.clone()),
            _ => Err(Begun {
                at: now,
                forgotten: kept.forgotten,
            }),
        }
    }

    /// Notes what a check has found about a session that ends by itself at `ends`.
    pub(super) fn note(&self, token: Fingerprint, begun: Begun, ends: Time, identity: &Identity) {
        let mut kept = self.kept();
        if kept.forgotten != begun.forgotten {
            return;
        }
        if kept.checked.len() >= KEPT {
            kept.checked.retain(|_, checked| begun.at < checked.until);
        }
        if kept.checked.len() >= KEPT {
            kept.checked.clear();
        }
        let until = ends.min(begun.at + BELIEVED_FOR);
        let identity = identity.clone();
        kept.checked.insert(token, Checked { identity, until });
    }

    /// Asks anew about those that are named, from now on.
    pub(super) fn forget(&self, which: impl Fn(&Identity) -> bool) {
        let mut kept = self.kept();
        kept.forgotten += 1;
        kept.checked.retain(|_, checked| !which(&checked.identity));
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().expect("no panic while held")
    }
}

impl fmt::Debug for Believed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sessions", self.kept().checked.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::EPOCH + Duration::from_millis(millis)
    }

    fn note(believed: &Believed, token: &str, millis: u64, ends: Time) {
        let token = fingerprint(token);
        let begun = believed.look(&token, at(millis)).unwrap_err();
        believed.note(token, begun, ends, &Identity::local());
    }

    fn knows(believed: &Believed, token: &str, millis: u64) -> bool {
        believed.look(&fingerprint(token), at(millis)).is_ok()
    }

    #[test]
    fn a_check_is_believed_for_half_a_second_from_its_beginning_and_never_past_the_end() {
        let believed = Believed::default();
        note(&believed, "a", 0, at(9_000));
        note(&believed, "b", 0, at(100));
        assert!(knows(&believed, "a", 499) && !knows(&believed, "a", 500));
        assert!(knows(&believed, "b", 99) && !knows(&believed, "b", 100));
        assert!(!knows(&believed, "c", 0));
    }

    #[test]
    fn what_is_forgotten_while_a_check_goes_on_is_not_noted_by_it() {
        let believed = Believed::default();
        let token = fingerprint("a");
        let begun = believed.look(&token, at(0)).unwrap_err();
        believed.forget(|_| false);
        believed.note(token, begun, at(9_000), &Identity::local());
        assert!(!knows(&believed, "a", 1));
        note(&believed, "a", 1, at(9_000));
        believed.forget(|_| true);
        assert!(!knows(&believed, "a", 1));
    }

    #[test]
    fn no_crowd_takes_more_room() {
        let believed = Believed::default();
        for n in 0..=KEPT {
            note(&believed, &n.to_string(), 0, at(9_000));
        }
        assert_eq!(believed.kept().checked.len(), 1);
        for n in 1..KEPT {
            note(&believed, &n.to_string(), 400, at(9_000));
        }
        note(&believed, "late", 600, at(9_000));
        assert_eq!(believed.kept().checked.len(), KEPT, "the oldest alone went");
    }
}
