//! Who looks for work where none is due writes nothing and waits for no writer: so any number of replicas may look as
//! often as they like.

mod support;

use std::time::Duration;

use neuropod_core::conformance::store::samples::{at, document, pod_id};
use neuropod_core::store::*;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

/// Wakes one pod at second 100, after which something stands in every file and table.
fn wake() -> Changes {
    Changes {
        now: at(0),
        documents: vec![DocChange::Put(document("note", "wake"))],
        wakes: vec![Wake {
            key: WorkKey::Pod(pod_id(1)),
            at: at(100),
        }],
        ..Changes::default()
    }
}

async fn found(store: &dyn Store, second: u64) -> usize {
    let claim = Claim {
        limit: 10,
        now: at(second),
        lease: Duration::from_secs(5),
    };
    store.claim(&claim).await.unwrap().len()
}

async fn tell(connection: &mut AnyConnection, sql: &str) {
    let statement = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    statement.execute(connection).await.unwrap();
}

/// A number that changes with every write of another connection.
async fn writes(connection: &mut AnyConnection) -> i64 {
    let row = sqlx::query("PRAGMA data_version").fetch_one(connection);
    row.await.unwrap().get(0)
}

#[tokio::test]
async fn sqlite_writes_nothing_where_nothing_is_due() {
    let folder = support::Folder::new();
    let store = support::open(&folder.url()).await;
    store.commit(&wake()).await.unwrap();
    let mut other = AnyConnection::connect(&folder.url()).await.unwrap();
    let log = || {
        std::fs::metadata(folder.0.join("neuropod.db-wal"))
            .unwrap()
            .len()
    };
    let before = (writes(&mut other).await, log());
    for _ in 0..50 {
        assert_eq!(found(&*store, 99).await, 0);
    }
    assert_eq!((writes(&mut other).await, log()), before);
    // What is due is leased, and that is written.
    assert_eq!(found(&*store, 100).await, 1);
    assert_ne!((writes(&mut other).await, log()), before);
}

#[tokio::test]
async fn sqlite_waits_for_no_writer_where_nothing_is_due() {
    let folder = support::Folder::new();
    let store = support::open(&folder.url()).await;
    store.commit(&wake()).await.unwrap();
    let mut other = AnyConnection::connect(&folder.url()).await.unwrap();
    tell(&mut other, "BEGIN IMMEDIATE").await;
    let writer = store.clone();
    let mut later = wake();
    later.documents = vec![DocChange::Put(document("note", "later"))];
    let commit = tokio::spawn(async move { writer.commit(&later).await });
    // Whoever takes the lock of writers, or stands behind the commit that waits for it, is refused in the end.
    for _ in 0..10 {
        assert_eq!(found(&*store, 99).await, 0);
    }
    assert!(!commit.is_finished());
    tell(&mut other, "ROLLBACK").await;
    commit.await.unwrap().unwrap();
}

#[tokio::test]
async fn postgres_only_reads_where_nothing_is_due() {
    let Some(server) = support::postgres_or_say_why() else {
        return;
    };
    let schema = support::new_schema(&server).await;
    // Who must wait for a lock fails instead.
    let store = support::open(&format!("{}%20-c%20lock_timeout%3D1s", schema.url)).await;
    store.commit(&wake()).await.unwrap();
    let mut other = AnyConnection::connect(&schema.url).await.unwrap();
    // This lets others read, and nothing else: not even lock a row.
    tell(&mut other, "BEGIN; LOCK TABLE work IN EXCLUSIVE MODE").await;
    for _ in 0..50 {
        assert_eq!(found(&*store, 99).await, 0);
    }
    let claim = Claim {
        limit: 1,
        now: at(100),
        lease: Duration::from_secs(5),
    };
    assert!(store.claim(&claim).await.is_err(), "the lock is there");
    tell(&mut other, "ROLLBACK").await;
    assert_eq!(found(&*store, 100).await, 1);
    schema.remove().await;
}
