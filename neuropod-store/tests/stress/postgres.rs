//! A server of PostgreSQL that is killed, or cuts its connections, while it is in use.

use std::time::{Duration, Instant};

use sqlx::{AnyConnection, Connection};

use crate::load::Load;
use crate::own_postgres::OwnPostgres;
use crate::support;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_restarts_and_cut_connections() {
    if support::postgres_or_say_why().is_none() {
        return;
    }
    let (seed, restarts) = (support::seed(), support::effort("POSTGRES_RESTARTS", 3));
    let mut dice = fastrand::Rng::with_seed(seed);
    let folder = support::Folder::new();
    let server = OwnPostgres::start(&folder.0);
    let store = support::open(&server.url()).await;
    let load = Load::begin(&store, seed);
    load.goes_on().await;
    for n in 1..=restarts {
        tokio::time::sleep(Duration::from_millis(dice.u64(0..500))).await;
        cut(&server.url()).await;
        load.goes_on().await;
        tokio::time::sleep(Duration::from_millis(dice.u64(0..500))).await;
        let since = Instant::now();
        tokio::task::block_in_place(|| server.restart());
        println!("restart {n} took {:.1?}", since.elapsed());
        load.goes_on().await;
    }
    let errors = load.end().await;
    assert!(!errors.is_empty(), "nobody has met a restart");
    drop(store);
}

/// Ends all connections but the one that does it.
async fn cut(url: &str) {
    let mut connection = AnyConnection::connect(url).await.unwrap();
    let all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    sqlx::raw_sql(all).execute(&mut connection).await.unwrap();
}
