//! How often a database has been written to.

use sqlx::{AnyConnection, Connection, Row};

/// Transactions that wrote, so far.
pub async fn count(url: &str) -> u64 {
    match url.strip_prefix("sqlite://") {
        Some(path) => in_wal_index(path),
        None => in_cluster(url).await,
    }
}

/// SQLite counts them in the third word of the index of its write-ahead log.
fn in_wal_index(path: &str) -> u64 {
    let index = std::fs::read(format!("{path}-shm")).expect("a database that is open has an index");
    u64::from(u32::from_ne_bytes(
        index[8..12].try_into().expect("four bytes"),
    ))
}

/// PostgreSQL numbers them, all databases of the cluster together.
async fn in_cluster(url: &str) -> u64 {
    let mut connection = AnyConnection::connect(url)
        .await
        .expect("it was open just now");
    let sql = "SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS TEXT) AS BIGINT)";
    let row = sqlx::query(sql).fetch_one(&mut connection).await;
    let number: i64 = row.and_then(|row| row.try_get(0)).expect("a number");
    number.unsigned_abs()
}
