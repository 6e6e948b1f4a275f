//! Every connection that a store over PostgreSQL has is in use: readers wait on them for a table that another program
//! has locked.

use std::sync::Arc;
use std::time::Duration;

use neuropod_core::Error;
use neuropod_core::conformance::store::samples::user_id;
use neuropod_core::store::Store;
use sqlx::{AnyConnection, Connection};
use tokio::task::JoinSet;

use crate::load::Load;
use crate::own_postgres::OwnPostgres;
use crate::support;

/// More than there are connections.
const READERS: u64 = 50;
/// Shorter than a call waits for a connection, and longer.
const HELD_FOR: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(6)];

/// All wait for a while, and then who gets no connection is told so.
#[tokio::test(flavor = "multi_thread")]
async fn commits_outlive_that_no_connection_is_free() {
    if support::postgres_or_say_why().is_none() {
        return;
    }
    let folder = support::Folder::new();
    // Of its own: a lock that is held keeps the events of all who use the server waiting.
    let server = OwnPostgres::start(&folder.0);
    for (held, refuses) in HELD_FOR.into_iter().zip([false, true]) {
        let schema = support::new_schema(&server.url()).await;
        let store = support::open(&schema.url).await;
        let load = Load::begin(&store, support::seed());
        load.goes_on().await;
        let refused = hold(&store, &schema.url, held).await;
        load.goes_on().await;
        let of_load = load.end().await;
        assert_eq!(!refused.is_empty(), refuses, "{refused:?}");
        assert_eq!(!of_load.is_empty(), refuses, "{of_load:?}");
        for error in refused.into_iter().chain(of_load) {
            assert!(error.is_retryable(), "{error:?}");
            let named = error.message().contains("No connection");
            assert!(named, "{error:?}");
        }
    }
}

/// Has readers wait for a table. Answers the errors of those who were refused.
async fn hold(store: &Arc<dyn Store>, url: &str, held: Duration) -> Vec<Error> {
    let mut foreign = AnyConnection::connect(url).await.unwrap();
    let lock = sqlx::raw_sql("BEGIN; LOCK TABLE users");
    lock.execute(&mut foreign).await.unwrap();
    let mut readers = JoinSet::new();
    for n in 0..READERS {
        let store = Arc::clone(store);
        readers.spawn(async move { store.user(user_id(n)).await });
    }
    tokio::time::sleep(held).await;
    foreign.close().await.unwrap();
    let read = readers.join_all().await;
    read.into_iter().filter_map(Result::err).collect()
}
