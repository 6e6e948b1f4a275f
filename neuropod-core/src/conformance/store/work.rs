//! Work: woken, claimed, finished.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::samples::{account, at, pod, pod_id};
use super::{accepted, conflict};
use crate::conformance::{Case, cases};
use crate::id::{GpuId, Token};
use crate::store::{Changes, Claim, Finish, Store, Wake, Work, WorkKey};
use crate::time::Time;

pub(super) fn cases() -> impl IntoIterator<Item = Case<dyn Store>> {
    cases![
        work_is_claimed_when_it_is_due,
        work_of_every_kind_is_claimed,
        the_longest_due_comes_first,
        no_more_is_claimed_than_asked_for,
        a_wake_makes_due_earlier_and_never_later,
        leased_work_is_not_claimed,
        a_lease_that_ran_out_is_claimed_again,
        nothing_is_claimed_twice,
        finished_work_is_gone,
        finished_work_is_due_again_when_asked,
        a_wake_during_the_lease_keeps_the_wish,
        a_wake_during_the_lease_keeps_its_time,
        a_wake_during_the_lease_does_not_end_it,
        a_wake_for_after_the_lease_keeps_its_time,
        a_wake_in_the_finishing_commit_counts,
        a_stale_token_does_not_finish,
        a_lease_that_ran_out_may_still_finish,
        what_was_not_claimed_is_not_finished,
        a_refused_finish_leaves_nothing_behind,
        a_refused_commit_does_not_finish,
        wakes_at_once_all_count,
    ]
}

const LEASE: Duration = Duration::from_secs(60);

fn key() -> WorkKey {
    WorkKey::Pod(pod_id(1))
}

fn wakes(wakes: impl IntoIterator<Item = (WorkKey, Time)>) -> Changes {
    let wakes = wakes.into_iter().map(|(key, at)| Wake { key, at });
    Changes {
        wakes: wakes.collect(),
        ..Changes::default()
    }
}

async fn wake(store: &Arc<dyn Store>, seconds: u64) {
    accepted(store.commit(&wakes([(key(), at(seconds))])).await);
}

async fn claim(store: &Arc<dyn Store>, limit: u32, seconds: u64) -> Vec<Work> {
    let claim = Claim {
        limit,
        now: at(seconds),
        lease: LEASE,
    };
    store.claim(&claim).await.unwrap()
}

/// Claims the one piece of work that is due.
async fn claim_one(store: &Arc<dyn Store>, seconds: u64) -> Work {
    let mut work = claim(store, 10, seconds).await;
    assert_eq!(work.len(), 1, "{work:?}");
    work.remove(0)
}

fn finish(work: &Work, next: Option<u64>) -> Changes {
    let finish = Finish {
        work: work.clone(),
        next: next.map(at),
    };
    Changes {
        finish: Some(finish),
        ..Changes::default()
    }
}

/// The work becomes due exactly then.
async fn due_at(store: &Arc<dyn Store>, seconds: u64) {
    assert_eq!(claim(store, 10, seconds - 1).await, []);
    claim_one(store, seconds).await;
}

async fn work_is_claimed_when_it_is_due(store: Arc<dyn Store>) {
    assert_eq!(claim(&store, 10, 1000).await, []);
    wake(&store, 5).await;
    assert_eq!(claim(&store, 10, 4).await, []);
    let work = claim_one(&store, 5).await;
    assert_eq!((work.key, work.wake), (key(), 1));
}

async fn work_of_every_kind_is_claimed(store: Arc<dyn Store>) {
    let keys = [
        WorkKey::Pod(pod_id(1)),
        WorkKey::Account(account(1)),
        WorkKey::Queue(GpuId::from("rtx-4050")),
        WorkKey::Sweep("docker".to_owned()),
    ];
    let due = keys.clone().map(|key| (key, at(1)));
    accepted(store.commit(&wakes(due)).await);
    let claimed = claim(&store, 10, 1).await.into_iter().map(|w| w.key);
    assert_eq!(claimed.collect::<BTreeSet<_>>(), BTreeSet::from(keys));
}

async fn the_longest_due_comes_first(store: Arc<dyn Store>) {
    let due = [30, 10, 20].map(|n| (WorkKey::Pod(pod_id(n)), at(n)));
    accepted(store.commit(&wakes(due)).await);
    for n in [10, 20, 30] {
        let work = claim(&store, 1, 100).await;
        assert_eq!(work[0].key, WorkKey::Pod(pod_id(n)));
    }
}

async fn no_more_is_claimed_than_asked_for(store: Arc<dyn Store>) {
    let due = (0..5).map(|n| (WorkKey::Pod(pod_id(n)), at(0)));
    accepted(store.commit(&wakes(due)).await);
    for (limit, expected) in [(0, 0), (2, 2), (2, 2), (2, 1), (2, 0)] {
        assert_eq!(claim(&store, limit, 1).await.len(), expected);
    }
}

async fn a_wake_makes_due_earlier_and_never_later(store: Arc<dyn Store>) {
    for seconds in [50, 20, 90] {
        wake(&store, seconds).await;
    }
    assert_eq!(claim(&store, 10, 19).await, []);
    assert_eq!(claim_one(&store, 20).await.wake, 3);
}

async fn leased_work_is_not_claimed(store: Arc<dyn Store>) {
    wake(&store, 0).await;
    claim_one(&store, 0).await;
    assert_eq!(claim(&store, 10, 59).await, []);
}

async fn a_lease_that_ran_out_is_claimed_again(store: Arc<dyn Store>) {
    wake(&store, 0).await;
    let first = claim_one(&store, 0).await;
    let second = claim_one(&store, 60).await;
    assert_eq!((&second.key, second.wake), (&first.key, first.wake));
    assert_ne!(second.token, first.token);
    conflict(store.commit(&finish(&first, None)).await);
    accepted(store.commit(&finish(&second, None)).await);
}

async fn nothing_is_claimed_twice(store: Arc<dyn Store>) {
    const PIECES: u64 = 300;
    let due = (0..PIECES).map(|n| (WorkKey::Pod(pod_id(n)), at(n % 7)));
    accepted(store.commit(&wakes(due)).await);
    let claimers: Vec<_> = (0..16)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut claimed = Vec::new();
                loop {
                    let work = claim(&store, 7, 10).await;
                    if work.is_empty() {
                        return claimed;
                    }
                    claimed.extend(work);
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for claimer in claimers {
        all.extend(claimer.await.unwrap());
    }
    // A claimer may find nothing while others hold the rows; what it left is still there.
    all.extend(claim(&store, 1000, 10).await);
    let keys: BTreeSet<_> = all.iter().map(|w| w.key.clone()).collect();
    assert_eq!((all.len() as u64, keys.len() as u64), (PIECES, PIECES));
}

async fn finished_work_is_gone(store: Arc<dyn Store>) {
    wake(&store, 0).await;
    let work = claim_one(&store, 0).await;
    accepted(store.commit(&finish(&work, None)).await);
    assert_eq!(claim(&store, 10, 1_000_000).await, []);
    wake(&store, 5).await;
    due_at(&store, 5).await;
}

async fn finished_work_is_due_again_when_asked(store: Arc<dyn Store>) {
    wake(&store, 0).await;
    let work = claim_one(&store, 0).await;
    accepted(store.commit(&finish(&work, Some(30))).await);
    due_at(&store, 30).await;
}

async fn a_wake_during_the_lease_keeps_the_wish(store: Arc<dyn Store>) {
    wake(&store, 0).await;
    let work = claim_one(&store, 0).await;
    wake(&store, 1).await;
    accepted(store.commit(&finish(&work, None)).await);
    let again = claim_one(&store, 2).await;
    assert!(again.wake > work.wake);
    accepted(store.commit(&finish(&again, None)).await);
    assert_eq!(claim(&store, 10, 1_000_000).await, []);
}

async fn a_wake_during_the_lease_keeps_its_time(store: Arc<dyn Store>) {
    for (next, expected) in [(Some(30), 20), (Some(10), 10), (None, 20)] {
        wake(&store, 0).await;
        let work = claim_one(&store, 0).await;
        wake(&store, 20).await;
        wake(&store, 25).await;
        accepted(store.commit(&finish(&work, next)).await);
        assert_eq!(claim(&store, 10, expected - 1).await, [], "{next:?}");
        let work = claim_one(&store, expected).await;
        accepted(store.commit(&finish(&work, None)).await);
    }
}

async fn a_wake_during_the_lease_does_not_end_it(store: Arc<dyn Store>) {
    wake(&store, 0).await;
    claim_one(&store, 0).await;
    wake(&store, 1).await;
    assert_eq!(claim(&store, 10, 59).await, []);
    assert_eq!(claim_one(&store, 60).await.wake, 2);
}

async fn a_wake_for_after_the_lease_keeps_its_time(store: Arc<dyn Store>) {
    wake(&store, 0).await;
    let work = claim_one(&store, 0).await;
    wake(&store, 500).await;
    accepted(store.commit(&finish(&work, None)).await);
    due_at(&store, 500).await;
}

async fn a_wake_in_the_finishing_commit_counts(store: Arc<dyn Store>) {
    for (next, expected) in [(None, 7), (Some(5), 5), (Some(9), 7)] {
        wake(&store, 0).await;
        let work = claim_one(&store, 0).await;
        let changes = Changes {
            wakes: wakes([(key(), at(7))]).wakes,
            ..finish(&work, next)
        };
        accepted(store.commit(&changes).await);
        assert_eq!(claim(&store, 10, expected - 1).await, [], "{next:?}");
        let work = claim_one(&store, expected).await;
        accepted(store.commit(&finish(&work, None)).await);
    }
}

async fn a_stale_token_does_not_finish(store: Arc<dyn Store>) {
    wake(&store, 0).await;
    let work = claim_one(&store, 0).await;
    let forged = Work {
        token: Token::from_bytes([7; 8]),
        ..work.clone()
    };
    conflict(store.commit(&finish(&forged, None)).await);
    accepted(store.commit(&finish(&work, None)).await);
    conflict(store.commit(&finish(&work, None)).await);
}

async fn a_lease_that_ran_out_may_still_finish(store: Arc<dyn Store>) {
    wake(&store, 0).await;
    let work = claim_one(&store, 0).await;
    // Nobody else has claimed it: the store has no clock of its own to object with.
    accepted(store.commit(&finish(&work, None)).await);
    assert_eq!(claim(&store, 10, 100).await, []);
}

async fn what_was_not_claimed_is_not_finished(store: Arc<dyn Store>) {
    let work = Work {
        key: key(),
        token: Token::from_bytes([7; 8]),
        wake: 1,
    };
    conflict(store.commit(&finish(&work, Some(1))).await);
    wake(&store, 0).await;
    conflict(store.commit(&finish(&work, Some(1))).await);
    claim_one(&store, 0).await;
}

async fn a_refused_finish_leaves_nothing_behind(store: Arc<dyn Store>) {
    wake(&store, 0).await;
    let old = claim_one(&store, 0).await;
    claim_one(&store, 60).await;
    let changes = Changes {
        pods: vec![pod(1, 1)],
        ..finish(&old, None)
    };
    conflict(store.commit(&changes).await);
    assert_eq!(store.pod(pod_id(1)).await.unwrap(), None);
}

async fn a_refused_commit_does_not_finish(store: Arc<dyn Store>) {
    wake(&store, 0).await;
    let work = claim_one(&store, 0).await;
    let mut row = pod(1, 1);
    row.version = 5;
    let changes = Changes {
        pods: vec![row],
        ..finish(&work, None)
    };
    conflict(store.commit(&changes).await);
    claim_one(&store, 60).await;
}

async fn wakes_at_once_all_count(store: Arc<dyn Store>) {
    let at_once = (0..16).map(|n| wakes([(key(), at(n + 5))])).collect();
    for result in super::at_once(&store, at_once).await {
        accepted(result);
    }
    assert_eq!(claim(&store, 10, 4).await, []);
    assert_eq!(claim_one(&store, 5).await.wake, 16);
}
