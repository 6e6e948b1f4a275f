//! Leases of devices and ports.

use std::sync::Arc;

use super::samples::{at, pod_id};
use super::{accepted, at_once, unmet};
use crate::conformance::{Case, cases};
use crate::store::{Changes, Condition, Lease, LeaseChange, Store};
use crate::time::Time;

pub(super) fn cases() -> impl IntoIterator<Item = Case<dyn Store>> {
    cases![
        a_free_lease_is_taken,
        ones_own_lease_is_taken_again,
        somebody_elses_lease_is_not_taken,
        only_ones_own_lease_is_freed,
        a_lease_that_is_set_aside_is_nobodys_until_then,
        a_lease_that_is_set_aside_for_good_is_cleared,
        only_ones_own_lease_is_set_aside,
        a_lease_is_freed_and_taken_in_one_commit,
        leases_come_by_resource_and_prefix,
        one_of_many_takers_wins,
    ]
}

fn take(resource: &str, pod: u64, when: u64) -> LeaseChange {
    LeaseChange::Take {
        resource: resource.to_owned(),
        pod: pod_id(pod),
        at: at(when),
    }
}

fn free(resource: &str, pod: u64) -> LeaseChange {
    LeaseChange::Free {
        resource: resource.to_owned(),
        pod: pod_id(pod),
    }
}

fn set_aside(resource: &str, pod: u64, until: Option<Time>) -> LeaseChange {
    LeaseChange::SetAside {
        resource: resource.to_owned(),
        pod: pod_id(pod),
        until,
    }
}

fn changes(leases: impl IntoIterator<Item = LeaseChange>) -> Changes {
    Changes {
        leases: leases.into_iter().collect(),
        ..Changes::default()
    }
}

async fn commit(store: &Arc<dyn Store>, change: LeaseChange) -> crate::Result<()> {
    store.commit(&changes([change])).await
}

fn lease(resource: &str, pod: Option<u64>, until: Option<Time>) -> Lease {
    Lease {
        resource: resource.to_owned(),
        pod: pod.map(pod_id),
        until,
    }
}

fn taken(resource: &str) -> Condition {
    Condition::LeaseFree {
        resource: resource.to_owned(),
    }
}

async fn a_free_lease_is_taken(store: Arc<dyn Store>) {
    accepted(commit(&store, take("port/1", 1, 0)).await);
    let leases = store.leases("port/1").await.unwrap();
    assert_eq!(leases, [lease("port/1", Some(1), None)]);
    accepted(commit(&store, free("port/1", 1)).await);
    assert_eq!(store.leases("").await.unwrap(), []);
    accepted(commit(&store, take("port/1", 2, 0)).await);
    let leases = store.leases("").await.unwrap();
    assert_eq!(leases, [lease("port/1", Some(2), None)]);
}

async fn ones_own_lease_is_taken_again(store: Arc<dyn Store>) {
    for _ in 0..2 {
        accepted(commit(&store, take("port/1", 1, 0)).await);
        let leases = store.leases("").await.unwrap();
        assert_eq!(leases, [lease("port/1", Some(1), None)]);
    }
}

async fn somebody_elses_lease_is_not_taken(store: Arc<dyn Store>) {
    accepted(commit(&store, take("port/2", 1, 0)).await);
    let two = [take("port/1", 2, 0), take("port/2", 2, 1_000_000)];
    unmet(store.commit(&changes(two)).await, &taken("port/2"));
    let leases = store.leases("").await.unwrap();
    assert_eq!(leases, [lease("port/2", Some(1), None)]);
}

async fn only_ones_own_lease_is_freed(store: Arc<dyn Store>) {
    accepted(commit(&store, take("port/1", 1, 0)).await);
    accepted(commit(&store, free("port/1", 2)).await);
    accepted(commit(&store, free("port/2", 1)).await);
    let leases = store.leases("").await.unwrap();
    assert_eq!(leases, [lease("port/1", Some(1), None)]);
}

async fn a_lease_that_is_set_aside_is_nobodys_until_then(store: Arc<dyn Store>) {
    accepted(commit(&store, take("port/1", 1, 0)).await);
    accepted(commit(&store, set_aside("port/1", 1, Some(at(10)))).await);
    let leases = store.leases("").await.unwrap();
    assert_eq!(leases, [lease("port/1", None, Some(at(10)))]);
    unmet(commit(&store, take("port/1", 1, 9)).await, &taken("port/1"));
    unmet(commit(&store, take("port/1", 2, 9)).await, &taken("port/1"));
    accepted(commit(&store, take("port/1", 2, 10)).await);
    let leases = store.leases("").await.unwrap();
    assert_eq!(leases, [lease("port/1", Some(2), None)]);
}

async fn a_lease_that_is_set_aside_for_good_is_cleared(store: Arc<dyn Store>) {
    accepted(commit(&store, take("device/1", 1, 0)).await);
    let clear = || LeaseChange::Clear {
        resource: "device/1".to_owned(),
    };
    accepted(commit(&store, clear()).await);
    let leases = store.leases("").await.unwrap();
    assert_eq!(leases, [lease("device/1", Some(1), None)]);
    accepted(commit(&store, set_aside("device/1", 1, None)).await);
    let much_later = take("device/1", 2, 1_000_000);
    unmet(commit(&store, much_later).await, &taken("device/1"));
    accepted(commit(&store, free("device/1", 1)).await);
    let leases = store.leases("").await.unwrap();
    assert_eq!(leases, [lease("device/1", None, None)]);
    accepted(commit(&store, clear()).await);
    accepted(commit(&store, clear()).await);
    assert_eq!(store.leases("").await.unwrap(), []);
}

async fn only_ones_own_lease_is_set_aside(store: Arc<dyn Store>) {
    accepted(commit(&store, take("port/1", 1, 0)).await);
    accepted(commit(&store, set_aside("port/1", 2, None)).await);
    accepted(commit(&store, set_aside("port/2", 1, None)).await);
    let leases = store.leases("").await.unwrap();
    assert_eq!(leases, [lease("port/1", Some(1), None)]);
}

async fn a_lease_is_freed_and_taken_in_one_commit(store: Arc<dyn Store>) {
    accepted(commit(&store, take("port/1", 1, 0)).await);
    let swap = [free("port/1", 1), take("port/1", 2, 0)];
    accepted(store.commit(&changes(swap)).await);
    let both = [take("port/2", 1, 0), take("port/2", 2, 0)];
    unmet(store.commit(&changes(both)).await, &taken("port/2"));
    let leases = store.leases("").await.unwrap();
    assert_eq!(leases, [lease("port/1", Some(2), None)]);
}

async fn leases_come_by_resource_and_prefix(store: Arc<dyn Store>) {
    let names = [
        "port/20000",
        "device/GPU-b",
        "port/3",
        "device/GPU-a",
        "port_x",
        "PORT/1",
    ];
    let all = names.map(|name| take(name, 1, 0));
    accepted(store.commit(&changes(all)).await);
    let mut sorted = names;
    sorted.sort();
    for (prefix, expected) in [
        ("", &sorted[..]),
        ("device/", &["device/GPU-a", "device/GPU-b"]),
        ("port/", &["port/20000", "port/3"]),
        ("port/3", &["port/3"]),
        ("port%", &[]),
    ] {
        let leases = store.leases(prefix).await.unwrap();
        let found: Vec<_> = leases.iter().map(|l| l.resource.as_str()).collect();
        assert_eq!(found, expected, "{prefix}");
    }
}

async fn one_of_many_takers_wins(store: Arc<dyn Store>) {
    let takers = (1..=8).map(|pod| changes([take("device/1", pod, 0)]));
    let results = at_once(&store, takers.collect()).await;
    let winner = results.iter().position(Result::is_ok).unwrap();
    let leases = store.leases("").await.unwrap();
    assert_eq!(leases, [lease("device/1", Some(winner as u64 + 1), None)]);
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    let condition = taken("device/1");
    lost.into_iter()
        .for_each(|result| unmet(result, &condition));
}
