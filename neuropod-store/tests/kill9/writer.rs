//! The process that is killed: commits that each go through every table, many under way at once.

use std::sync::Arc;

use neuropod_core::ErrorKind;
use neuropod_core::conformance::store::samples::{
    account, at, document, event, funding, money, pod, pod_id, used, user_id, volume,
};
use neuropod_core::event::NewEvent;
use neuropod_core::store::*;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support;

/// How many write at once, each with a pod of its own.
pub(crate) const WRITERS: u64 = 16;
/// How many accounts they move money between.
pub(crate) const ACCOUNTS: u64 = 3;
/// What the name of a commit begins with that must be refused.
pub(crate) const REFUSED: &str = "refused-";

/// Writes until the end of the process, and prints the name of each commit once it is acknowledged.
pub(crate) async fn write(url: &str, life: &str, seed: u64) {
    let store = support::open(url).await;
    let mut writers = JoinSet::new();
    for n in 0..WRITERS {
        let dice = fastrand::Rng::with_seed(seed.wrapping_add(n));
        writers.spawn(write_one_by_one(
            store.clone(),
            format!("{life}-{n}"),
            n,
            dice,
        ));
    }
    while let Some(ended) = writers.join_next().await {
        ended.expect("a writer goes on until it is killed");
    }
}

async fn write_one_by_one(store: Arc<dyn Store>, name: String, n: u64, mut dice: fastrand::Rng) {
    let mut version = store
        .pod(pod_id(n))
        .await
        .unwrap()
        .map_or(0, |pod| pod.version);
    for step in 0_u64.. {
        let refuse = dice.u64(0..5) == 0;
        let prefix = if refuse { REFUSED } else { "" };
        let name = format!("{prefix}{name}-{step}");
        let changes = changes(&name, n, version, refuse, &mut dice);
        match store.commit(&changes).await {
            Ok(()) if !refuse => {
                version += 1;
                println!("{name}");
            }
            Err(error) if refuse && matches!(error.kind(), ErrorKind::Condition(_)) => {}
            answer => panic!("{name}: {answer:?}"),
        }
    }
}

/// A commit whose name is in every table.
pub(crate) fn changes(
    name: &str,
    n: u64,
    version: u64,
    refuse: bool,
    dice: &mut fastrand::Rng,
) -> Changes {
    let mut row = pod(n, n % ACCOUNTS);
    row.version = version;
    row.volume = Some(volume(n % ACCOUNTS, money(1), at(0)));
    let mut transfer = funding(name, dice.u64(0..ACCOUNTS), money(dice.i64(1..100)));
    if dice.bool() {
        transfer.debit = account(ACCOUNTS);
    }
    let nobody = Condition::UserAt {
        user: user_id(0),
        version: 1,
    };
    Changes {
        now: at(0),
        conditions: refuse.then_some(nobody).into_iter().collect(),
        transfers: vec![transfer],
        meters: vec![MeterTotal {
            meter: Meter::Volume(row.id),
            payer: account(n % ACCOUNTS),
            total: money(version as i64 + 1),
            last: false,
            at: at(0),
            used: used(0, version + 1),
        }],
        documents: vec![DocChange::Put(document("commit", name))],
        leases: vec![LeaseChange::Take {
            resource: name.to_owned(),
            pod: row.id,
            at: at(0),
        }],
        events: vec![NewEvent {
            body: json!(name),
            ..event(n)
        }],
        wakes: vec![Wake {
            key: WorkKey::Pod(row.id),
            at: at(0),
        }],
        pods: vec![row],
        ..Changes::default()
    }
}
