//! What must be true of a database after its writer was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use neuropod_core::conformance::store::samples::{account, at, pod_id};
use neuropod_core::id::AccountId;
use neuropod_core::ledger::verify;
use neuropod_core::money::Money;
use neuropod_core::store::*;

use crate::writer::{ACCOUNTS, REFUSED, WRITERS};

/// Every commit is in every table or in none, and money only moved. Answers what was committed, in order.
pub(crate) async fn whole(store: &dyn Store) -> Vec<String> {
    let (in_order, _) = events_after(store, None).await;
    let committed: BTreeSet<&str> = in_order.iter().map(String::as_str).collect();
    assert_eq!(committed.len(), in_order.len(), "an event came twice");
    assert!(
        !committed.iter().any(|name| name.starts_with(REFUSED)),
        "a refused commit left something"
    );
    let documents = documents(store).await;
    assert!(
        documents.iter().eq(&committed),
        "documents and events differ"
    );
    let leases = store.leases("").await.unwrap();
    let leases = leases.iter().map(|lease| lease.resource.as_str());
    assert!(
        leases.eq(committed.iter().copied()),
        "leases and events differ"
    );

    let mut transfers = BTreeSet::new();
    for n in 0..=ACCOUNTS {
        let id = account(n);
        let of_account = transfers_of(store, &id).await;
        let posted: Money = of_account.iter().map(|t| t.amount_for(&id)).sum();
        let there = store.account(&id).await.unwrap();
        let there = there.map_or(Money::ZERO, |account| account.posted);
        assert_eq!(there, posted, "{id} has something else than its transfers");
        let of_callers = of_account.into_iter().filter(|t| t.charge.is_none());
        transfers.extend(of_callers.map(|t| t.id));
    }
    assert!(
        transfers.iter().eq(&committed),
        "transfers and events differ"
    );

    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for name in &committed {
        let writer = name.split('-').nth(1).and_then(|n| n.parse().ok());
        *counts.entry(writer.expect("a name")).or_default() += 1;
    }
    let wakes = wakes(store).await;
    for n in 0..WRITERS {
        let count = counts.get(&n).copied().unwrap_or_default();
        let pod = store.pod(pod_id(n)).await.unwrap();
        assert_eq!(
            pod.map_or(0, |pod| pod.version),
            count,
            "the row of pod {n}"
        );
        let woken = wakes.get(&WorkKey::Pod(pod_id(n))).copied();
        assert_eq!(woken.unwrap_or_default(), count, "the work of pod {n}");
    }
    in_order
}

/// The ledger proves itself.
pub(crate) async fn proven(store: &dyn Store) {
    let report = verify(store, None).await.unwrap();
    assert!(report.findings.is_empty(), "{report}");
    assert!(report.transfers > 0 && report.meters > 0, "{report}");
}

/// The names of all events after a cursor, and the cursor to go on from.
pub(crate) async fn events_after(
    store: &dyn Store,
    mut after: Option<String>,
) -> (Vec<String>, Option<String>) {
    let mut names = Vec::new();
    loop {
        let query = EventQuery { after, limit: 1000 };
        let page = store.events(&query).await.unwrap();
        assert!(!page.reset, "the cursor of {query:?} is lost");
        after = Some(page.cursor);
        if page.events.is_empty() {
            return (names, after);
        }
        let bodies = page.events.into_iter().map(|event| event.event.body);
        names.extend(bodies.map(|body| body.as_str().expect("a name").to_owned()));
    }
}

async fn documents(store: &dyn Store) -> Vec<String> {
    let mut query = DocQuery {
        kind: "commit".to_owned(),
        limit: 1000,
        now: at(0),
        ..DocQuery::default()
    };
    let mut keys = Vec::new();
    loop {
        let page = store.documents(&query).await.unwrap();
        keys.extend(page.items.into_iter().map(|document| document.key));
        query.after = page.next;
        if query.after.is_none() {
            return keys;
        }
    }
}

pub(crate) async fn transfers_of(store: &dyn Store, account: &AccountId) -> Vec<Transfer> {
    let mut query = TransferQuery {
        account: account.clone(),
        after: None,
        limit: 1000,
    };
    let mut transfers = Vec::new();
    loop {
        let page = store.transfers(&query).await.unwrap();
        transfers.extend(page.items);
        query.after = page.next;
        if query.after.is_none() {
            return transfers;
        }
    }
}

/// How often each piece of work was woken. Its lease is over at once.
async fn wakes(store: &dyn Store) -> BTreeMap<WorkKey, u64> {
    let claim = Claim {
        limit: 1000,
        now: at(1),
        lease: Duration::ZERO,
    };
    let works = store.claim(&claim).await.unwrap();
    works
        .into_iter()
        .map(|work| (work.key, work.wake))
        .collect()
}
