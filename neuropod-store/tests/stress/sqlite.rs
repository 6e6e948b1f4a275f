//! Others at the same file of SQLite.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use neuropod_core::Error;
use neuropod_core::conformance::store::samples::{account, at, funding, money, pod_id, used};
use neuropod_core::ledger::verify;
use neuropod_core::store::*;
use sqlx::{AnyConnection, Connection};

use crate::load::Load;
use crate::{check, support};

/// Shorter than SQLite waits for a lock, and longer.
const LOCKED_FOR: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(6)];

/// Another program writes for a long time. Nobody is refused.
#[tokio::test]
async fn a_foreign_lock_is_waited_for() {
    let errors = outlives_a_lock(LOCKED_FOR[0]).await;
    assert_eq!(errors.len(), 0, "nobody was refused");
}

/// Another program writes for too long. Who is refused is told of it.
#[tokio::test]
async fn a_foreign_lock_is_named_if_it_lasts() {
    let errors = outlives_a_lock(LOCKED_FOR[1]).await;
    assert!(!errors.is_empty(), "nobody was refused");
    for error in errors {
        assert!(error.is_retryable(), "{error:?}");
        let named = error.message().contains("Another program");
        assert!(named, "{error:?}");
    }
}

async fn outlives_a_lock(held: Duration) -> Vec<Error> {
    let (folder, seed) = (support::Folder::new(), support::seed());
    let store = support::open(&folder.url()).await;
    let load = Load::begin(&store, seed);
    load.goes_on().await;
    let mut foreign = AnyConnection::connect(&folder.url()).await.unwrap();
    let wait = "PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE";
    sqlx::raw_sql(wait).execute(&mut foreign).await.unwrap();
    tokio::time::sleep(held).await;
    sqlx::raw_sql("COMMIT").execute(&mut foreign).await.unwrap();
    load.goes_on().await;
    load.end().await
}

/// 32 at once send each credit and each reading of a meter up to five times, in any order, over two stores. Once the last
/// reading was booked the others do nothing.
#[tokio::test]
async fn nothing_is_booked_twice_by_32_writers() {
    const WRITERS: u64 = 32;
    const EACH: u64 = 10;
    let (folder, seed) = (support::Folder::new(), support::seed());
    let stores = [
        support::open(&folder.url()).await,
        support::open(&folder.url()).await,
    ];
    let writer = |n: u64| {
        let mut dice = fastrand::Rng::with_seed(seed.wrapping_add(n));
        let mut sendings = Vec::new();
        for step in 1..=EACH {
            let credit = Changes {
                transfers: vec![funding(&format!("credit {n} {step}"), 0, money(1))],
                ..Changes::default()
            };
            let reading = Changes {
                meters: vec![MeterTotal {
                    meter: Meter::Run(pod_id(n), 1),
                    payer: account(1),
                    total: money(step as i64),
                    last: step == EACH,
                    at: at(step),
                    used: used(0, step),
                }],
                ..Changes::default()
            };
            for changes in [credit, reading] {
                sendings.extend(vec![changes; dice.usize(1..=5)]);
            }
        }
        dice.shuffle(&mut sendings);
        let stores = stores.clone();
        async move {
            for changes in sendings {
                let store: &Arc<dyn Store> = &stores[dice.usize(..2)];
                store.commit(&changes).await.unwrap();
            }
        }
    };
    join_all((0..WRITERS).map(writer).map(tokio::spawn)).await;
    let store = &*stores[0];
    let all = WRITERS * EACH;
    assert_eq!(
        check::transfers_of(store, &account(0)).await.len() as u64,
        all
    );
    for (n, posted) in [(0, money(all as i64)), (1, money(-(all as i64)))] {
        let account = store.account(&account(n)).await.unwrap().unwrap();
        assert_eq!(account.posted, posted);
    }
    let report = verify(store, None).await.unwrap();
    assert!(report.findings.is_empty(), "{report}");
}
