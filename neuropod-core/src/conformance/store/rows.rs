//! Rows: created, replaced, all or nothing.

use std::sync::Arc;

use futures::StreamExt;

use super::events::shown;
use super::samples::{
    account, at, document, event, full_pod, funding, money, pod, pod_id, used, user,
};
use super::{accepted, at_once, conflict, invalid, unmet};
use crate::conformance::{Case, cases};
use crate::store::{
    AccountChange, Changes, Claim, Condition, DocChange, DocQuery, EventQuery, LeaseChange, Meter,
    MeterTotal, Store, StoreExt, Wake, WorkKey,
};

pub(super) fn cases() -> impl IntoIterator<Item = Case<dyn Store>> {
    cases![
        a_row_reads_as_it_was_written,
        a_row_is_replaced_at_its_version,
        version_zero_conflicts_with_a_row_that_is_there,
        a_stale_version_conflicts,
        a_version_of_an_absent_row_conflicts,
        one_of_many_replacements_wins,
        one_of_many_creations_wins,
        a_commit_writes_every_kind_of_row,
        a_failed_condition_leaves_nothing_behind,
        a_conflict_leaves_nothing_behind,
        a_lease_that_is_taken_leaves_nothing_behind,
        nothing_at_all_may_be_committed,
        the_same_row_twice_is_invalid,
        keys_with_nul_are_invalid,
        long_texts_of_any_script_survive,
        what_is_absent_is_a_value,
        many_rows_in_one_commit,
        the_installation_stays_the_same,
        a_commit_gives_a_hint,
    ]
}

fn put(pod: crate::pod::Pod) -> Changes {
    Changes {
        pods: vec![pod],
        ..Changes::default()
    }
}

async fn a_row_reads_as_it_was_written(store: Arc<dyn Store>) {
    let mut pod = full_pod(1, 1);
    accepted(store.commit(&put(pod.clone())).await);
    pod.version = 1;
    assert_eq!(store.pod(pod.id).await.unwrap(), Some(pod));
}

async fn a_row_is_replaced_at_its_version(store: Arc<dyn Store>) {
    accepted(store.commit(&put(pod(1, 1))).await);
    let mut row = store.pod(pod_id(1)).await.unwrap().unwrap();
    row.message = Some("replaced".to_owned());
    accepted(store.commit(&put(row.clone())).await);
    row.version = 2;
    assert_eq!(store.pod(row.id).await.unwrap(), Some(row));
}

async fn version_zero_conflicts_with_a_row_that_is_there(store: Arc<dyn Store>) {
    accepted(store.commit(&put(pod(1, 1))).await);
    conflict(store.commit(&put(pod(1, 2))).await);
    let row = store.pod(pod_id(1)).await.unwrap().unwrap();
    assert_eq!((row.owner, row.version), (pod(1, 1).owner, 1));
}

async fn a_stale_version_conflicts(store: Arc<dyn Store>) {
    accepted(store.commit(&put(pod(1, 1))).await);
    let row = store.pod(pod_id(1)).await.unwrap().unwrap();
    accepted(store.commit(&put(row.clone())).await);
    conflict(store.commit(&put(row)).await);
    let row = store.pod(pod_id(1)).await.unwrap().unwrap();
    assert_eq!(row.version, 2);
}

async fn a_version_of_an_absent_row_conflicts(store: Arc<dyn Store>) {
    let mut row = pod(1, 1);
    row.version = 1;
    conflict(store.commit(&put(row)).await);
    let mut row = user(1);
    row.version = 1;
    let changes = Changes {
        users: vec![row],
        ..Changes::default()
    };
    conflict(store.commit(&changes).await);
}

async fn one_of_many_replacements_wins(store: Arc<dyn Store>) {
    accepted(store.commit(&put(pod(1, 1))).await);
    let row = store.pod(pod_id(1)).await.unwrap().unwrap();
    let results = at_once(&store, vec![put(row); 8]).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    lost.into_iter().for_each(conflict);
    assert_eq!(store.pod(pod_id(1)).await.unwrap().unwrap().version, 2);
}

async fn one_of_many_creations_wins(store: Arc<dyn Store>) {
    let results = at_once(&store, (1..=8).map(|owner| put(pod(1, owner))).collect()).await;
    let winner = results.iter().position(Result::is_ok).unwrap();
    let row = store.pod(pod_id(1)).await.unwrap().unwrap();
    assert_eq!(row.owner, pod(1, winner as u64 + 1).owner);
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    lost.into_iter().for_each(conflict);
}

/// Changes of every kind, about number 7 of each.
fn everything() -> Changes {
    Changes {
        now: at(7),
        touch: vec![account(8)],
        pods: vec![pod(7, 7)],
        users: vec![user(7)],
        accounts: vec![AccountChange {
            id: account(9),
            unlimited: true,
        }],
        documents: vec![DocChange::Put(document("kind", "seven"))],
        transfers: vec![funding("seven", 7, money(7))],
        meters: vec![MeterTotal {
            meter: Meter::Run(pod_id(7), 1),
            payer: account(7),
            total: money(2),
            last: false,
            at: at(7),
            used: used(5, 7),
        }],
        leases: vec![LeaseChange::Take {
            resource: "port/7".to_owned(),
            pod: pod_id(7),
            at: at(7),
        }],
        events: vec![event(7)],
        wakes: vec![Wake {
            key: WorkKey::Pod(pod_id(7)),
            at: at(7),
        }],
        ..Changes::default()
    }
}

/// Which kinds of rows [`everything`] has left behind.
async fn left_behind(store: &Arc<dyn Store>) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    let mut note = |kind, there: bool| kinds.extend(there.then_some(kind));
    note("pod", store.pod(pod_id(7)).await.unwrap().is_some());
    note("user", store.user(user(7).id).await.unwrap().is_some());
    let touched = store.account(&account(8)).await.unwrap();
    note("touch", touched.is_some());
    let unlimited = store.account(&account(9)).await.unwrap();
    note("account", unlimited.is_some_and(|a| a.unlimited));
    let document = store.document("kind", "seven", at(7)).await.unwrap();
    note("document", document.is_some());
    let posted = store.account(&account(7)).await.unwrap();
    note("transfer", posted.is_some_and(|a| a.posted == money(5)));
    let meter = store.meters(&[Meter::Run(pod_id(7), 1)]).await.unwrap();
    note("meter", meter[0].is_some_and(|p| p.total == money(2)));
    note("lease", !store.leases("port/").await.unwrap().is_empty());
    let query = EventQuery {
        after: None,
        limit: 10,
    };
    let events = store.events(&query).await.unwrap();
    note("event", !events.events.is_empty());
    let claim = Claim {
        limit: 1,
        now: at(7),
        lease: std::time::Duration::ZERO,
    };
    note("wake", !store.claim(&claim).await.unwrap().is_empty());
    kinds
}

async fn a_commit_writes_every_kind_of_row(store: Arc<dyn Store>) {
    accepted(store.commit(&everything()).await);
    shown(&store, 1).await;
    let all = [
        "pod", "user", "touch", "account", "document", "transfer", "meter", "lease", "event",
        "wake",
    ];
    assert_eq!(left_behind(&store).await, all);
}

async fn a_failed_condition_leaves_nothing_behind(store: Arc<dyn Store>) {
    let condition = Condition::UserAt {
        user: user(1).id,
        version: 1,
    };
    let changes = Changes {
        conditions: vec![condition.clone()],
        ..everything()
    };
    unmet(store.commit(&changes).await, &condition);
    assert_eq!(left_behind(&store).await, [""; 0]);
}

async fn a_conflict_leaves_nothing_behind(store: Arc<dyn Store>) {
    accepted(store.commit(&put(pod(1, 1))).await);
    let mut changes = everything();
    changes.pods.push(pod(1, 1));
    conflict(store.commit(&changes).await);
    assert_eq!(left_behind(&store).await, [""; 0]);

    let mut taken = document("kind", "taken");
    let create = |document| Changes {
        documents: vec![DocChange::Put(document)],
        ..Changes::default()
    };
    accepted(store.commit(&create(taken.clone())).await);
    let mut changes = everything();
    taken.body = serde_json::Value::Null;
    changes.documents.push(DocChange::Put(taken));
    conflict(store.commit(&changes).await);
    assert_eq!(left_behind(&store).await, [""; 0]);
}

async fn a_lease_that_is_taken_leaves_nothing_behind(store: Arc<dyn Store>) {
    let take = |pod| LeaseChange::Take {
        resource: "device/1".to_owned(),
        pod,
        at: at(0),
    };
    let first = Changes {
        leases: vec![take(pod_id(1))],
        ..Changes::default()
    };
    accepted(store.commit(&first).await);
    let mut changes = everything();
    changes.leases.push(take(pod_id(2)));
    let condition = Condition::LeaseFree {
        resource: "device/1".to_owned(),
    };
    unmet(store.commit(&changes).await, &condition);
    assert_eq!(left_behind(&store).await, [""; 0]);
}

async fn nothing_at_all_may_be_committed(store: Arc<dyn Store>) {
    accepted(store.commit(&Changes::default()).await);
}

async fn the_same_row_twice_is_invalid(store: Arc<dyn Store>) {
    let document = DocChange::Put(document("kind", "key"));
    for changes in [
        Changes {
            pods: vec![pod(1, 1), pod(1, 1)],
            ..Changes::default()
        },
        Changes {
            users: vec![user(1)],
            forget_users: vec![user(1).id],
            ..Changes::default()
        },
        Changes {
            documents: vec![document.clone(), document],
            ..Changes::default()
        },
    ] {
        invalid(store.commit(&changes).await);
    }
    assert_eq!(store.pod(pod_id(1)).await.unwrap(), None);
}

async fn keys_with_nul_are_invalid(store: Arc<dyn Store>) {
    let changes = Changes {
        documents: vec![DocChange::Put(document("kind", "nul\0"))],
        ..Changes::default()
    };
    invalid(store.commit(&changes).await);
    let transfer = funding("nul\0", 1, money(1));
    let changes = Changes {
        transfers: vec![transfer],
        ..Changes::default()
    };
    invalid(store.commit(&changes).await);
}

async fn long_texts_of_any_script_survive(store: Arc<dyn Store>) {
    let sample = "Ünïcödé 漢字 🦀 '\"\\ \u{7f}\r\n%_ ";
    let text: String = sample.chars().cycle().take(10_000).collect();
    let key: String = sample.repeat(10);
    let mut row = pod(1, 1);
    row.spec.name = text.clone();
    row.message = Some(format!("\0{text}"));
    let mut document = document("kind", &key);
    document.body = serde_json::json!({ text.clone(): format!("{text}\0") });
    document.index[2] = Some(key.clone());
    let mut transfer = funding(&key, 1, money(1));
    transfer.memo = text.clone();
    let changes = Changes {
        pods: vec![row.clone()],
        documents: vec![DocChange::Put(document.clone())],
        transfers: vec![transfer.clone()],
        ..Changes::default()
    };
    accepted(store.commit(&changes).await);
    (row.version, document.version) = (1, 1);
    assert_eq!(store.pod(row.id).await.unwrap(), Some(row));
    let query = DocQuery {
        kind: "kind".to_owned(),
        index: Some((2, key.clone())),
        limit: 2,
        ..DocQuery::default()
    };
    assert_eq!(store.documents(&query).await.unwrap().items, [document]);
    accepted(
        store
            .commit(&Changes {
                transfers: vec![transfer],
                ..Changes::default()
            })
            .await,
    );
}

async fn what_is_absent_is_a_value(store: Arc<dyn Store>) {
    assert_eq!(store.pod(pod_id(1)).await.unwrap(), None);
    assert_eq!(store.user(user(1).id).await.unwrap(), None);
    assert_eq!(store.account(&account(1)).await.unwrap(), None);
    assert_eq!(store.account(&"revenue".into()).await.unwrap(), None);
    assert_eq!(store.leases("").await.unwrap(), []);
    assert_eq!(store.document("kind", "key", at(0)).await.unwrap(), None);
    let meters = [Meter::Volume(pod_id(1)), Meter::Run(pod_id(1), 1)];
    assert_eq!(store.meters(&meters).await.unwrap(), [None, None]);
    assert_eq!(store.meters(&[]).await.unwrap(), []);
}

async fn many_rows_in_one_commit(store: Arc<dyn Store>) {
    let changes = Changes {
        pods: (0..1200).map(|n| pod(n, 1)).collect(),
        wakes: (0..1200)
            .map(|n| Wake {
                key: WorkKey::Pod(pod_id(n)),
                at: at(n),
            })
            .collect(),
        events: (0..1200).map(event).collect(),
        ..Changes::default()
    };
    accepted(store.commit(&changes).await);
    let pods = store
        .all_pods(crate::store::PodFilter::Alive)
        .await
        .unwrap();
    assert_eq!(pods.len(), 1200);
    let claim = Claim {
        limit: 5000,
        now: at(2000),
        lease: std::time::Duration::from_secs(1),
    };
    assert_eq!(store.claim(&claim).await.unwrap().len(), 1200);
}

async fn the_installation_stays_the_same(store: Arc<dyn Store>) {
    let first = store.installation().await.unwrap();
    assert!(first.len() >= 16, "{first} is hardly unique");
    assert!(
        first.bytes().all(|b| b.is_ascii_alphanumeric()),
        "{first} goes into labels"
    );
    accepted(store.commit(&everything()).await);
    assert_eq!(store.installation().await.unwrap(), first);
}

async fn a_commit_gives_a_hint(store: Arc<dyn Store>) {
    let mut hints = store.changed().await.unwrap();
    accepted(store.commit(&everything()).await);
    let hint = tokio::time::timeout(std::time::Duration::from_secs(10), hints.next()).await;
    assert_eq!(hint, Ok(Some(())));
}
