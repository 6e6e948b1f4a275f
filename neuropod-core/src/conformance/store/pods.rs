//! Pods by filter: who answers, in which order, page by page.

use std::sync::Arc;

use super::samples::{account, at, hold, money, pod, pod_id, run, tombstone, user_id, volume};
use super::{accepted, invalid};
use crate::conformance::{Case, cases};
use crate::id::{GpuId, PodId};
use crate::pod::{Desired, Pod};
use crate::store::{Changes, PodFilter, PodQuery, Store, StoreExt};

pub(super) fn cases() -> impl IntoIterator<Item = Case<dyn Store>> {
    cases![
        a_pod_answers_the_filters_of_its_state,
        a_pod_leaves_a_filter_when_its_row_changes,
        a_pod_is_paid_by_whoever_pays_for_anything_of_it,
        pods_of_others_are_not_shown,
        owned_pods_come_newest_first,
        queued_pods_come_by_the_length_of_their_wait,
        the_rest_comes_by_id,
        pages_cover_every_pod_once,
        a_page_may_end_where_the_pods_end,
        a_page_goes_on_where_its_last_pod_was,
        limits_out_of_range_are_invalid,
        another_text_than_the_end_of_a_page_is_invalid,
        tombstones_are_still_read,
    ]
}

async fn put(store: &Arc<dyn Store>, pods: impl IntoIterator<Item = Pod>) {
    let changes = Changes {
        pods: pods.into_iter().collect(),
        ..Changes::default()
    };
    accepted(store.commit(&changes).await);
}

async fn ids(store: &Arc<dyn Store>, filter: PodFilter) -> Vec<PodId> {
    let pods = store.all_pods(filter).await.unwrap();
    pods.iter().map(|pod| pod.id).collect()
}

fn by_id(numbers: impl IntoIterator<Item = u64>) -> Vec<PodId> {
    let mut ids: Vec<_> = numbers.into_iter().map(pod_id).collect();
    ids.sort();
    ids
}

fn product() -> GpuId {
    GpuId::from("rtx-4050")
}

/// Which filters about user 1, the first product, or nobody pod 1 answers.
async fn answered(store: &Arc<dyn Store>) -> Vec<PodFilter> {
    let mut answered = Vec::new();
    for filter in [
        PodFilter::Alive,
        PodFilter::OwnedBy(user_id(1)),
        PodFilter::LeftOf(user_id(1)),
        PodFilter::PaidBy(account(1)),
        PodFilter::QueuedFor(product()),
        PodFilter::Open,
        PodFilter::Tombstones,
    ] {
        if ids(store, filter.clone()).await == [pod_id(1)] {
            answered.push(filter);
        }
    }
    answered
}

/// The life of a pod, state by state, with the filters that each answers.
fn life() -> Vec<(Pod, Vec<PodFilter>)> {
    let here = [
        PodFilter::Alive,
        PodFilter::OwnedBy(user_id(1)),
        PodFilter::LeftOf(user_id(1)),
    ];
    let with = |more: &[PodFilter]| [&here[..], more].concat();
    let paid = PodFilter::PaidBy(account(1));
    let new = pod(1, 1);
    let queued = Pod {
        hold: Some(hold(&new, 1, money(1))),
        queued_at: Some(at(9)),
        ..new.clone()
    };
    let open = Pod {
        queued_at: None,
        run: Some(run(&new, 1, at(10))),
        ..queued.clone()
    };
    let stopped = Pod {
        desired: Desired::Stopped,
        hold: None,
        run: None,
        volume: Some(volume(1, money(1), at(10))),
        ..open.clone()
    };
    let mut deleting = Pod {
        desired: Desired::Deleted,
        run: open.run.clone(),
        ..stopped.clone()
    };
    deleting.volume.as_mut().unwrap().close(at(20));
    let purging = Pod {
        run: None,
        ..deleting.clone()
    };
    let gone = Pod {
        deleted_at: Some(at(30)),
        ..purging.clone()
    };
    let left = [PodFilter::Alive, PodFilter::LeftOf(user_id(1))];
    vec![
        (new, here.to_vec()),
        (
            queued,
            with(&[paid.clone(), PodFilter::QueuedFor(product())]),
        ),
        (open, with(&[paid.clone(), PodFilter::Open])),
        (stopped, with(std::slice::from_ref(&paid))),
        (deleting, [&left[..], &[paid, PodFilter::Open]].concat()),
        (purging, left.to_vec()),
        (gone, vec![PodFilter::Tombstones]),
    ]
}

async fn a_pod_answers_the_filters_of_its_state(store: Arc<dyn Store>) {
    // The same states as below, but each pod is created in its own, by an owner of its own.
    for (n, (pod, filters)) in (100..).zip(life()) {
        let row = Pod {
            id: pod_id(n),
            ..pod
        };
        put(&store, [row.clone()]).await;
        for filter in filters {
            assert!(
                ids(&store, filter.clone()).await.contains(&row.id),
                "{filter}, {n}"
            );
        }
    }
    let alive = ids(&store, PodFilter::Alive).await;
    assert_eq!(alive, by_id(100..106));
}

async fn a_pod_leaves_a_filter_when_its_row_changes(store: Arc<dyn Store>) {
    for (version, (mut pod, filters)) in (0..).zip(life()) {
        pod.version = version;
        put(&store, [pod]).await;
        assert_eq!(answered(&store).await, filters, "state {version}");
    }
}

async fn a_pod_is_paid_by_whoever_pays_for_anything_of_it(store: Arc<dyn Store>) {
    let mut row = pod(1, 1);
    row.run = Some(run(&row, 1, at(1)));
    row.hold = Some(hold(&row, 2, money(1)));
    row.volume = Some(volume(3, money(1), at(1)));
    put(&store, [row.clone(), pod(2, 1)]).await;
    for payer in [1, 2, 3] {
        let paid = PodFilter::PaidBy(account(payer));
        assert_eq!(ids(&store, paid).await, [row.id], "{payer}");
    }
    // A volume that is paused has counted, and may count again.
    row.version = 1;
    row.volume.as_mut().unwrap().counting_since = None;
    row.run = None;
    put(&store, [row.clone()]).await;
    assert_eq!(ids(&store, PodFilter::PaidBy(account(1))).await, []);
    assert_eq!(ids(&store, PodFilter::PaidBy(account(2))).await, [row.id]);
    assert_eq!(ids(&store, PodFilter::PaidBy(account(3))).await, [row.id]);
    row.version = 2;
    row.volume.as_mut().unwrap().closed = true;
    row.hold = None;
    put(&store, [row]).await;
    for payer in [1, 2, 3] {
        assert_eq!(ids(&store, PodFilter::PaidBy(account(payer))).await, []);
    }
}

async fn pods_of_others_are_not_shown(store: Arc<dyn Store>) {
    let other = Pod {
        queued_at: Some(at(1)),
        ..pod(2, 2)
    };
    let mut mine = pod(1, 1);
    mine.queued_at = Some(at(1));
    mine.spec.gpu = GpuId::from("cpu");
    put(&store, [mine, other]).await;
    assert_eq!(
        ids(&store, PodFilter::OwnedBy(user_id(1))).await,
        [pod_id(1)]
    );
    assert_eq!(
        ids(&store, PodFilter::LeftOf(user_id(2))).await,
        [pod_id(2)]
    );
    assert_eq!(ids(&store, PodFilter::OwnedBy(user_id(3))).await, []);
    assert_eq!(
        ids(&store, PodFilter::QueuedFor(GpuId::from("cpu"))).await,
        [pod_id(1)]
    );
    assert_eq!(
        ids(&store, PodFilter::QueuedFor(product())).await,
        [pod_id(2)]
    );
}

async fn owned_pods_come_newest_first(store: Arc<dyn Store>) {
    put(&store, [pod(2, 1), pod(5, 1), pod(3, 1), pod(4, 2)]).await;
    let owned = ids(&store, PodFilter::OwnedBy(user_id(1))).await;
    assert_eq!(owned, [pod_id(5), pod_id(3), pod_id(2)]);
}

async fn queued_pods_come_by_the_length_of_their_wait(store: Arc<dyn Store>) {
    let waits = |n, since| Pod {
        queued_at: Some(at(since)),
        ..pod(n, n)
    };
    put(
        &store,
        [waits(1, 30), waits(2, 10), waits(3, 20), pod(4, 4)],
    )
    .await;
    let queued = ids(&store, PodFilter::QueuedFor(product())).await;
    assert_eq!(queued, [pod_id(2), pod_id(3), pod_id(1)]);
}

async fn the_rest_comes_by_id(store: Arc<dyn Store>) {
    let open = |n| Pod {
        run: Some(run(&pod(n, 1), 1, at(n))),
        ..pod(n, 1)
    };
    put(&store, (0..9).map(open)).await;
    put(&store, (9..18).map(|n| tombstone(n, 1))).await;
    for filter in [
        PodFilter::Alive,
        PodFilter::LeftOf(user_id(1)),
        PodFilter::PaidBy(account(1)),
        PodFilter::Open,
    ] {
        assert_eq!(ids(&store, filter.clone()).await, by_id(0..9), "{filter}");
    }
    assert_eq!(ids(&store, PodFilter::Tombstones).await, by_id(9..18));
}

async fn pages_cover_every_pod_once(store: Arc<dyn Store>) {
    // Nine pods at three positions, so that pages end in the middle of a tie.
    let row = |n| {
        let mut row = pod(n, 1);
        row.created_at = at(n % 3);
        row.queued_at = Some(at(n % 3));
        row.run = Some(run(&row, 1, at(0)));
        row
    };
    put(&store, (0..9).map(row)).await;
    for filter in [
        PodFilter::Alive,
        PodFilter::OwnedBy(user_id(1)),
        PodFilter::LeftOf(user_id(1)),
        PodFilter::PaidBy(account(1)),
        PodFilter::QueuedFor(product()),
        PodFilter::Open,
    ] {
        let all = ids(&store, filter.clone()).await;
        assert_eq!(all.len(), 9, "{filter}");
        for limit in 1..=9 {
            let mut query = PodQuery {
                filter: filter.clone(),
                after: None,
                limit,
            };
            let mut pods = Vec::new();
            loop {
                let page = store.pods(&query).await.unwrap();
                pods.extend(page.items.iter().map(|pod| pod.id));
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
                assert_eq!(pods.len() % limit as usize, 0, "{filter}, {limit}");
            }
            assert_eq!(pods, all, "{filter}, {limit}");
        }
    }
}

async fn a_page_may_end_where_the_pods_end(store: Arc<dyn Store>) {
    put(&store, [pod(1, 1), pod(2, 1)]).await;
    for (limit, more) in [(1, true), (2, false), (3, false)] {
        let query = PodQuery {
            filter: PodFilter::Alive,
            after: None,
            limit,
        };
        let page = store.pods(&query).await.unwrap();
        assert_eq!(page.next.is_some(), more, "{limit}");
    }
}

async fn a_page_goes_on_where_its_last_pod_was(store: Arc<dyn Store>) {
    put(&store, (0..6).map(|n| pod(n, 1))).await;
    let mut query = PodQuery {
        filter: PodFilter::OwnedBy(user_id(1)),
        after: None,
        limit: 2,
    };
    let page = store.pods(&query).await.unwrap();
    query.after = page.next;
    // A newer pod comes, the last one of the page goes: the next page is the same.
    let mut last = page.items[1].clone();
    last.desired = Desired::Deleted;
    put(&store, [pod(7, 1), last]).await;
    let page = store.pods(&query).await.unwrap();
    let found: Vec<_> = page.items.iter().map(|pod| pod.id).collect();
    assert_eq!(found, [pod_id(3), pod_id(2)]);
}

async fn limits_out_of_range_are_invalid(store: Arc<dyn Store>) {
    for limit in [0, 1001, u32::MAX] {
        let query = PodQuery {
            filter: PodFilter::Alive,
            after: None,
            limit,
        };
        invalid(store.pods(&query).await);
    }
}

async fn another_text_than_the_end_of_a_page_is_invalid(store: Arc<dyn Store>) {
    for after in ["", "x", "1", "1.", "'; DROP TABLE pods; --", "\0"] {
        let query = PodQuery {
            filter: PodFilter::Alive,
            after: Some(after.to_owned()),
            limit: 1,
        };
        invalid(store.pods(&query).await);
    }
}

async fn tombstones_are_still_read(store: Arc<dyn Store>) {
    let mut row = tombstone(1, 1);
    put(&store, [row.clone()]).await;
    row.version = 1;
    assert_eq!(store.pod(row.id).await.unwrap(), Some(row));
}
