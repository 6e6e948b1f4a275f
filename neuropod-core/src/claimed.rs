//! Work that a pass of this replica holds. A lease is short, so that what a killed replica held is soon taken up; one that
//! runs out while its pass goes on is claimed again, by the same replica if it is first, and that renews it.

use std::sync::{Mutex, MutexGuard};

use crate::store::{Finish, Work, WorkKey};
use crate::time::Time;

#[derive(Debug)]
pub(crate) struct Claimed {
    key: WorkKey,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    work: Work,
    /// It was woken between two claims, so its pass may have missed something.
    woken: bool,
    /// Its end is being written, or was: a claim from now on is new work.
    ending: bool,
}

impl Claimed {
    pub(crate) fn new(work: Work) -> Self {
        Self {
            key: work.key.clone(),
            held: Mutex::new(Held {
                work,
                woken: false,
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
        held.woken |= held.work.wake != work.wake;
        held.work = work.clone();
        true
    }

    /// Its end, as the write that ends it carries it. `next` is when to look again in any case.
    pub(crate) fn finish(&self, next: Option<Time>, now: Time) -> Finish {
        let mut held = self.held();
        held.ending = true;
        Finish {
            work: held.work.clone(),
            next: if held.woken { Some(now) } else { next },
        }
    }

    /// Goes on: its end was refused, and nothing happened.
    pub(crate) fn resume(&self) {
        self.held().ending = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
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
}
