//! A database of an earlier release: its transfers have no chain and no charge, and go on being counted.

mod support;

use neuropod_core::conformance::store::samples::*;
use neuropod_core::ledger::verify;
use neuropod_core::store::*;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};

/// What the second migration has added.
const ADDED: [(&str, &[&str]); 3] = [
    ("accounts", &["transfers", "head", "seal"]),
    (
        "transfers",
        &[
            "meter",
            "product",
            "quantity",
            "rate",
            "used_from",
            "used_to",
            "debit_seq",
            "debit_hash",
            "credit_seq",
            "credit_hash",
            "seal",
        ],
    ),
    ("meters", &["until", "seal"]),
];

#[tokio::test]
async fn on_sqlite() {
    let folder = support::Folder::new();
    upgrade(&folder.url()).await;
}

#[tokio::test]
async fn on_postgres() {
    let Some(server) = support::postgres_or_say_why() else {
        return;
    };
    let schema = support::new_schema(&server).await;
    upgrade(&schema.url).await;
    schema.remove().await;
}

fn total(units: u64, last: bool) -> Changes {
    let mut pod = pod(1, 1);
    pod.version = units - 2;
    pod.run = (!last).then(|| run(&pod, 1, at(0)));
    Changes {
        transfers: vec![funding(&format!("for {units}"), 1, money(9))],
        meters: vec![MeterTotal {
            meter: Meter::Run(pod.id, 1),
            payer: account(1),
            total: money(units as i64),
            last,
            at: at(units),
            used: used(0, units),
        }],
        pods: vec![pod],
        ..Changes::default()
    }
}

async fn upgrade(url: &str) {
    let store = support::open(url).await;
    store.commit(&total(2, false)).await.unwrap();
    drop(store);
    // As the first release has made it.
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await.unwrap();
    let mut back = vec!["DELETE FROM _sqlx_migrations WHERE version > 1".to_owned()];
    for (table, columns) in ADDED {
        back.extend(
            columns
                .iter()
                .map(|c| format!("ALTER TABLE {table} DROP COLUMN {c}")),
        );
    }
    for sql in back {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    connection.close().await.unwrap();

    let store = support::open(url).await;
    let report = verify(&*store, None).await.unwrap();
    assert!(report.findings.is_empty(), "{report}");
    assert_eq!((report.transfers, report.unchained), (2, 2));
    // An old transfer again is the old one.
    let again = Changes {
        transfers: total(2, false).transfers,
        ..Changes::default()
    };
    store.commit(&again).await.unwrap();
    store.commit(&total(3, true)).await.unwrap();
    let report = verify(&*store, None).await.unwrap();
    assert!(report.findings.is_empty(), "{report}");
    assert_eq!((report.transfers, report.unchained), (4, 2));
    let row = store.account(&account(1)).await.unwrap().unwrap();
    assert_eq!((row.posted, row.head.seq), (money(15), 2));
    let query = TransferQuery {
        account: account(1),
        after: None,
        limit: 10,
    };
    let statement = store.transfers(&query).await.unwrap().items;
    let charges: Vec<_> = statement
        .into_iter()
        .map(|t| t.charge.map(|c| c.used))
        .collect();
    // What began before the upgrade is charged from where it began.
    assert_eq!(charges, [Some(used(0, 3)), None, None, None]);
}
