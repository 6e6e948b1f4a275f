//! What a database does with the rows of a launch when nothing is judged, locked, or read: the best that any program
//! could reach over the same driver.

use std::time::Instant;

use neuropod_core::Result;
use neuropod_store::SqlStore;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Connection, Transaction};

use crate::report::{Limit, figure};
use crate::{Scale, fleet, process};

/// So many launches' rows go into one transaction.
const BATCH: u64 = 1000;

/// How often a launch writes its row: accepted, opened, recorded.
const VERSIONS: u64 = 3;

/// Rows that a launch writes in all: the pod's, its five places, its work, its port, an event each time.
const ROWS: u64 = VERSIONS + 5 + VERSIONS + 1 + VERSIONS;

/// A connection to a database that has the store's tables.
async fn tables(url: &str) -> Result<AnyConnection> {
    drop(SqlStore::open(url).await?);
    let mut connection = AnyConnection::connect(url)
        .await
        .expect("it was open just now");
    if url.starts_with("sqlite") {
        let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL";
        let told = sqlx::raw_sql(settings).execute(&mut connection).await;
        told.expect("SQLite does what the store tells it too");
    }
    Ok(connection)
}

/// Writes the rows of many settlements in plain batches: a meter, a transfer, and one of `accounts` accounts each. How
/// many settlements a second.
pub async fn settlements(url: &str, count: u64, accounts: u64) -> Result<f64> {
    let mut connection = tables(url).await?;
    let began = Instant::now();
    let mut first = 0;
    while first < count {
        let batch = first..(first + BATCH).min(count);
        first = batch.end;
        let transaction = connection.begin().await.expect("a transaction begins");
        let written = settle(transaction, batch, accounts).await;
        written.expect("plain rows can be written");
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

async fn settle(
    mut transaction: Transaction<'_, Any>,
    batch: std::ops::Range<u64>,
    accounts: u64,
) -> sqlx::Result<()> {
    let hash = "0".repeat(64);
    for n in batch {
        let meter = format!("run/{}/1", fleet::run(n).pod);
        let account = format!("user:{}", n % accounts);
        let sql = "INSERT INTO accounts (id, posted, unlimited, version, transfers, head, seal) \
                   VALUES ($1, 0, 0, 1, 1, $2, 0) ON CONFLICT (id) DO UPDATE SET \
                   posted = excluded.posted, version = excluded.version, \
                   transfers = excluded.transfers, head = excluded.head, seal = excluded.seal";
        let query = sqlx::query(sql).bind(&account).bind(&hash);
        query.execute(&mut *transaction).await?;
        let sql = "INSERT INTO meters (meter, total, closed, until, seal) VALUES ($1, 1, 1, 1, 1)";
        let query = sqlx::query(sql).bind(&meter);
        query.execute(&mut *transaction).await?;
        let sql = "INSERT INTO transfers (id, epoch, xid, n, debit, credit, amount, memo, at, \
                   meter, product, quantity, rate, used_from, used_to, debit_seq, debit_hash, seal) \
                   VALUES ($1, 1, 1, $2, $3, 'revenue', 1, $1, 1, $4, 'rtx-4090', 1, 1, 1, 1, 1, $5, 1)";
        let query = sqlx::query(sql)
            .bind(format!("meter/{meter}/last"))
            .bind(n as i64)
            .bind(&account)
            .bind(&meter)
            .bind(&hash);
        query.execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

/// Writes the rows of many launches in plain batches.
pub async fn measure(url: &str, scale: Scale) -> Result<()> {
    let mut connection = tables(url).await?;
    let body = serde_json::to_string(&fleet::running_pod().await?).expect("a pod is plain data");
    let launches = scale.of(20_000, 20);
    let (began, cpu) = (Instant::now(), process::cpu());
    let mut first = 0;
    while first < launches {
        let batch = first..(first + BATCH).min(launches);
        first = batch.end;
        for version in 0..VERSIONS {
            let transaction = connection.begin().await.expect("a transaction begins");
            let written = write(transaction, batch.clone(), version, &body).await;
            written.expect("plain rows can be written");
        }
    }
    let (took, cpu) = (began.elapsed(), process::cpu() - cpu);
    let per = |time: std::time::Duration| launches as f64 / time.as_secs_f64().max(0.01);
    figure(
        "raw: the same rows, in launches per second of CPU time",
        per(cpu),
        "/s",
        Limit::None,
    );
    figure("  in launches per second", per(took), "/s", Limit::None);
    figure(
        "  in rows per second",
        per(took) * ROWS as f64,
        "/s",
        Limit::None,
    );
    Ok(())
}

async fn write(
    mut transaction: Transaction<'_, Any>,
    batch: std::ops::Range<u64>,
    version: u64,
    body: &str,
) -> sqlx::Result<()> {
    for n in batch {
        let id = fleet::run(n).pod.to_string();
        if version == 0 {
            let sql = "INSERT INTO pods (id, body) VALUES ($1, $2)";
            sqlx::query(sql)
                .bind(&id)
                .bind(body)
                .execute(&mut *transaction)
                .await?;
            for place in 0..5 {
                let sql = format!(
                    "INSERT INTO pod_places (place, position, pod) VALUES ('place {place}', 0, $1)"
                );
                sqlx::query(AssertSqlSafe(sql))
                    .bind(&id)
                    .execute(&mut *transaction)
                    .await?;
            }
            let sql = "INSERT INTO work (key, ready, wake) VALUES ($1, 0, 1)";
            sqlx::query(sql)
                .bind(&id)
                .execute(&mut *transaction)
                .await?;
            let sql = "INSERT INTO leases (resource, pod) VALUES ($1, $1)";
            sqlx::query(sql)
                .bind(&id)
                .execute(&mut *transaction)
                .await?;
        } else {
            let sql = "UPDATE pods SET body = $2 WHERE id = $1";
            sqlx::query(sql)
                .bind(&id)
                .bind(body)
                .execute(&mut *transaction)
                .await?;
            let sql = "UPDATE work SET wake = wake + 1 WHERE key = $1";
            sqlx::query(sql)
                .bind(&id)
                .execute(&mut *transaction)
                .await?;
        }
        let sql = "INSERT INTO events (epoch, xid, n, at, body) VALUES (1, $1, $2, 0, $3)";
        let event = &body[..200];
        let query = sqlx::query(sql)
            .bind(version as i64)
            .bind(n as i64)
            .bind(event);
        query.execute(&mut *transaction).await?;
    }
    transaction.commit().await
}
