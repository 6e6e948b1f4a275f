//! Work that a pass of this replica holds. A lease is short, so that what a killed replica held is soon taken up; one that
//! runs out while its pass goes on is claimed again, by the same replica if it is first, and that renews it.
//!
//! A hint about a pod whose pass goes on is told to the pass, and not to the store: most hints come of what a pass has
//! just done, and it looks at that anyway. Should this replica be killed, its lease runs out, and that is a hint too.
//!
//! What a pass writes before its end wakes its work. If the lease has run out, another replica may have finished the work
//! before it could see what is written, and should this replica be killed then, nobody would look. A lease that has not
//! run out is finished with the number that these wakes have led to, and they are dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use crate::id::PodId;
use crate::store::{Finish, Wake, Work, WorkKey};
use crate::time::Time;

/// A pass whose lease was renewed looks again so soon, in case it took somebody's wake along.
const AGAIN_AFTER_RENEWAL: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct Claimed {
    key: WorkKey,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    work: Work,
    /// How often its pass has woken it since it was claimed.
    own_wakes: u64,
    /// It was woken between two claims, so its pass may have missed something.
    woken: bool,
    /// It may have been finished by another replica and woken anew between two claims: then its number has begun anew,
    /// and is no help. A sweep's work always stays.
    renewed: bool,
    /// The backend has given a hint about it since its pass last looked.
    hinted: bool,
    /// Its end is being written, or was: a claim from now on is new work.
    ending: bool,
}

impl Claimed {
    pub(crate) fn new(work: Work) -> Self {
        Self {
            key: work.key.clone(),
            held: Mutex::new(Held {
                work,
                own_wakes: 0,
                woken: false,
                renewed: false,
                hinted: false,
                ending: false,
            }),
        }
    }

    pub(crate) fn key(&self) -> &WorkKey {
        &self.key
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("no panic while held")
    }

    /// Takes a later claim of the same work as a longer lease; not once its end is being written.
    pub(crate) fn renew(&self, work: &Work) -> bool {
        let mut held = self.held();
        if held.ending {
            return false;
        }
        held.woken |= held.work.wake + held.own_wakes != work.wake;
        held.own_wakes = 0;
        held.renewed |= !matches!(self.key, WorkKey::Sweep(_));
        held.work = work.clone();
        true
    }

    /// Takes a hint of the backend, for its pass to look, or look again; not once its end is being written.
    pub(crate) fn hint(&self) -> bool {
        let mut held = self.held();
        if held.ending {
            return false;
        }
        held.hinted = true;
        true
    }

    /// Its pass is about to look at the backend: it sees whatever was hinted at so far.
    pub(crate) fn look(&self) {
        self.held().hinted = false;
    }

    /// What goes along with a write of its pass.
    pub(crate) fn wake(&self, at: Time) -> Wake {
        Wake {
            key: self.key.clone(),
            at,
        }
    }

    /// A write that such a wake went along with has happened.
    pub(crate) fn has_woken(&self) {
        self.held().own_wakes += 1;
    }

    /// Its end, as the write that ends it carries it. `next` is when to look again in any case.
    pub(crate) fn finish(&self, next: Option<Time>, now: Time) -> Finish {
        let mut held = self.held();
        held.ending = true;
        Finish {
            work: Work {
                wake: held.work.wake + held.own_wakes,
                ..held.work.clone()
            },
            next: if held.woken || held.hinted {
                Some(now)
            } else if held.renewed {
                let soon = now + AGAIN_AFTER_RENEWAL;
                Some(next.map_or(soon, |next| next.min(soon)))
            } else {
                next
            },
        }
    }

    /// Goes on: its end was refused, and nothing happened.
    pub(crate) fn resume(&self) {
        self.held().ending = false;
    }
}

/// The work whose passes go on in this replica.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<HashMap<WorkKey, Weak<Claimed>>>);

impl UnderWay {
    fn passes(&self) -> MutexGuard<'_, HashMap<WorkKey, Weak<Claimed>>> {
        self.0.lock().expect("no panic while held")
    }

    /// Claimed work that needs a pass: not if one goes on, whose lease is renewed.
    pub(crate) fn take_up(&self, piece: Work) -> Option<Arc<Claimed>> {
        let mut passes = self.passes();
        passes.retain(|_, pass| pass.upgrade().is_some());
        let pass = passes.get(&piece.key).and_then(Weak::upgrade);
        if pass.is_some_and(|pass| pass.renew(&piece)) {
            return None;
        }
        let pass = Arc::new(Claimed::new(piece));
        passes.insert(pass.key().clone(), Arc::downgrade(&pass));
        Some(pass)
    }

    /// Tells the pass that goes on over `pod`, if one does, to look. Answers whether it will.
    pub(crate) fn hint(&self, pod: PodId) -> bool {
        let pass = self
            .passes()
            .get(&WorkKey::Pod(pod))
            .and_then(Weak::upgrade);
        pass.is_some_and(|pass| pass.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use crate::id::Token;
    use crate::memory::MemoryStore;
    use crate::store::{Changes, Claim, Wake};
    use std::time::Duration;

    const LEASE: Duration = Duration::from_secs(5);

    async fn wake(store: &MemoryStore) {
        let key = WorkKey::Sweep("default".to_owned());
        let changes = Changes {
            wakes: vec![Wake {
                key,
                at: Time::EPOCH,
            }],
            ..Changes::default()
        };
        store.commit(&changes).await.unwrap();
    }

    async fn claim(store: &MemoryStore, now: Time) -> Vec<Work> {
        let claim = Claim {
            limit: 1,
            now,
            lease: LEASE,
        };
        store.claim(&claim).await.unwrap()
    }

    async fn end(store: &MemoryStore, claimed: &Claimed, now: Time) {
        let changes = Changes {
            finish: Some(claimed.finish(None, now)),
            ..Changes::default()
        };
        store.commit(&changes).await.unwrap();
    }

    #[tokio::test]
    async fn a_lease_that_ran_out_is_renewed_by_the_next_claim() {
        let store = MemoryStore::new();
        wake(&store).await;
        let claimed = Claimed::new(claim(&store, Time::EPOCH).await.remove(0));
        let later = Time::EPOCH + LEASE;
        assert!(claimed.renew(&claim(&store, later).await[0]));
        end(&store, &claimed, later).await;
        assert_eq!(claim(&store, later + LEASE).await, []);
    }

    #[tokio::test]
    async fn what_is_woken_before_a_renewal_is_due_again() {
        let store = MemoryStore::new();
        wake(&store).await;
        let claimed = Claimed::new(claim(&store, Time::EPOCH).await.remove(0));
        let mut now = Time::EPOCH;
        for _ in 0..2 {
            wake(&store).await;
            now = now + LEASE;
            assert!(claimed.renew(&claim(&store, now).await[0]));
        }
        end(&store, &claimed, now).await;
        assert_eq!(claim(&store, now).await.len(), 1);
    }

    #[tokio::test]
    async fn what_is_claimed_after_the_end_is_new_work() {
        let store = MemoryStore::new();
        wake(&store).await;
        let claimed = Claimed::new(claim(&store, Time::EPOCH).await.remove(0));
        end(&store, &claimed, Time::EPOCH).await;
        wake(&store).await;
        assert!(!claimed.renew(&claim(&store, Time::EPOCH).await[0]));
    }

    #[test]
    fn what_may_have_been_finished_and_woken_anew_is_looked_at_again() {
        let claimed = Claimed::new(a_piece());
        // As another replica may have made it since: finished, and woken, so that its number is the first one again.
        assert!(claimed.renew(&a_piece()));
        let soon = Some(Time::EPOCH + AGAIN_AFTER_RENEWAL);
        assert_eq!(claimed.finish(None, Time::EPOCH).next, soon);
    }

    fn a_piece() -> Work {
        Work {
            key: WorkKey::Pod(PodId::from_bytes([1; 8])),
            token: Token::from_bytes([1; 8]),
            wake: 1,
        }
    }

    #[test]
    fn a_hint_that_no_look_has_followed_makes_the_work_due_again() {
        let (later, now) = (Some(Time::EPOCH + LEASE), Time::EPOCH);
        let claimed = Claimed::new(a_piece());
        assert!(claimed.hint());
        claimed.look();
        assert_eq!(claimed.finish(later, now).next, later);
        claimed.resume();
        assert!(claimed.hint());
        assert_eq!(claimed.finish(later, now).next, Some(now));
    }

    #[test]
    fn a_hint_is_taken_only_by_a_pass_that_goes_on() {
        let under_way = UnderWay::default();
        let pod = PodId::from_bytes([1; 8]);
        assert!(!under_way.hint(pod));
        let pass = under_way.take_up(a_piece()).unwrap();
        assert!(under_way.take_up(a_piece()).is_none());
        assert!(under_way.hint(pod));
        assert!(!under_way.hint(PodId::from_bytes([2; 8])));
        pass.finish(None, Time::EPOCH);
        assert!(!under_way.hint(pod), "its end is being written");
        drop(pass);
        assert!(!under_way.hint(pod));
        assert!(under_way.take_up(a_piece()).is_some());
    }
}
