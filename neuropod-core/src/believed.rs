//! Answers of a moment ago, so that a page that asks ten things at once makes the store look once.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::Duration;

use crate::time::Time;

/// What another replica writes takes effect here within a second; this leaves half of it to the store.
pub(crate) const BELIEVED_FOR: Duration = Duration::from_millis(500);
/// More keys than this in half a second are asked once more.
const KEPT: usize = 10_000;

/// What was answered a moment ago. Whoever knows better tells it to forget.
pub(crate) struct Believed<K, V>(Mutex<Kept<K, V>>);

struct Kept<K, V> {
    answers: HashMap<K, Answer<V>>,
    /// How often something was forgotten: a question that was asked before may be answered by what is not so any more.
    forgotten: u64,
}

struct Answer<V> {
    value: V,
    until: Time,
}

/// A question that is being asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    at: Time,
    forgotten: u64,
}

impl<K: Eq + Hash, V: Clone> Believed<K, V> {
    /// The answer, if it need not be asked for; else the beginning of the question.
    pub(crate) fn look(&self, key: &K, now: Time) -> Result<V, Begun> {
        let kept = self.kept();
        match kept.answers.get(key) {
            Some(answer) if now < answer.until => Ok(answer.value.clone()),
            _ => Err(Begun {
                at: now,
                forgotten: kept.forgotten,
            }),
        }
    }

    /// Notes an answer that is none any more from `ends` on.
    pub(crate) fn note(&self, key: K, begun: Begun, ends: Time, value: V) {
        let mut kept = self.kept();
        if kept.forgotten != begun.forgotten {
            return;
        }
        if kept.answers.len() >= KEPT {
            kept.answers.retain(|_, answer| begun.at < answer.until);
        }
        if kept.answers.len() >= KEPT {
            kept.answers.clear();
        }
        let until = ends.min(begun.at + BELIEVED_FOR);
        kept.answers.insert(key, Answer { value, until });
    }

    /// Asks anew about those that are named, from now on.
    pub(crate) fn forget(&self, which: impl Fn(&K, &V) -> bool) {
        let mut kept = self.kept();
        kept.forgotten += 1;
        kept.answers
            .retain(|key, answer| !which(key, &answer.value));
    }

    /// Asks anew about this one, from now on.
    pub(crate) fn forget_one(&self, key: &K) {
        let mut kept = self.kept();
        kept.forgotten += 1;
        kept.answers.remove(key);
    }
}

impl<K, V> Believed<K, V> {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept<K, V>> {
        self.0.lock().expect("no panic while held")
    }
}

impl<K, V> Default for Believed<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Kept {
            answers: HashMap::new(),
            forgotten: 0,
        }))
    }
}

impl<K, V> fmt::Debug for Believed<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answers", self.kept().answers.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::EPOCH + Duration::from_millis(millis)
    }

    type Words = Believed<String, ()>;

    fn note(believed: &Words, word: &str, millis: u64, ends: Time) {
        let word = word.to_owned();
        let begun = believed.look(&word, at(millis)).unwrap_err();
        believed.note(word, begun, ends, ());
    }

    fn knows(believed: &Words, word: &str, millis: u64) -> bool {
        believed.look(&word.to_owned(), at(millis)).is_ok()
    }

    #[test]
    fn an_answer_is_believed_for_half_a_second_from_its_beginning_and_never_past_the_end() {
        let believed = Words::default();
        note(&believed, "a", 0, at(9_000));
        note(&believed, "b", 0, at(100));
        assert!(knows(&believed, "a", 499) && !knows(&believed, "a", 500));
        assert!(knows(&believed, "b", 99) && !knows(&believed, "b", 100));
        assert!(!knows(&believed, "c", 0));
    }

    #[test]
    fn what_is_forgotten_while_it_is_asked_for_is_not_noted() {
        let believed = Words::default();
        let word = "a".to_owned();
        let begun = believed.look(&word, at(0)).unwrap_err();
        believed.forget(|_, ()| false);
        believed.note(word.clone(), begun, at(9_000), ());
        assert!(!knows(&believed, "a", 1));
        note(&believed, "a", 1, at(9_000));
        believed.forget(|_, ()| true);
        assert!(!knows(&believed, "a", 1));
        note(&believed, "a", 1, at(9_000));
        note(&believed, "b", 1, at(9_000));
        believed.forget_one(&word);
        assert!(!knows(&believed, "a", 2) && knows(&believed, "b", 2));
    }

    #[test]
    fn no_crowd_takes_more_room() {
        let believed = Words::default();
        for n in 0..=KEPT {
            note(&believed, &n.to_string(), 0, at(9_000));
        }
        assert_eq!(believed.kept().answers.len(), 1);
        for n in 1..KEPT {
            note(&believed, &n.to_string(), 400, at(9_000));
        }
        note(&believed, "late", 600, at(9_000));
        assert_eq!(believed.kept().answers.len(), KEPT, "the oldest alone went");
    }
}
