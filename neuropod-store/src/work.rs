//! Work: wishes that stay until they are finished, and their leases.

use std::collections::BTreeMap;

use neuropod_core::id::{AccountId, GpuId, Token};
use neuropod_core::store::{Claim, Tables, Wish, Work, WorkKey};
use neuropod_core::{Error, Time};
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row};

use crate::batch::Touched;
use crate::dialect::Dialect;
use crate::error::parse;
use crate::table::Column::{Int, Text};
use crate::table::{Db, Table};

const WORK: Table = Table {
    name: "work",
    key: &[Text("key")],
    rest: &[Int("ready"), Int("wake"), Text("token"), Int("woken")],
};

fn key(key: &WorkKey) -> Value {
    json!({ "key": key.to_string() })
}

/// Loads these wishes, locked.
pub(crate) async fn load(
    db: &mut Db<'_>,
    keys: impl IntoIterator<Item = &WorkKey>,
    tables: &mut Tables,
) -> sqlx::Result<()> {
    let keys: BTreeMap<_, _> = keys.into_iter().map(|k| (k.to_string(), k)).collect();
    let rows = WORK
        .load(db, keys.values().map(|k| key(k)).collect())
        .await?;
    for row in rows {
        let key = keys[row.try_get::<&str, _>(0)?];
        tables.wishes.insert(key.clone(), read(&row)?);
    }
    Ok(())
}

fn read(row: &AnyRow) -> sqlx::Result<Wish> {
    let token = row.try_get::<Option<String>, _>(3)?;
    let woken = row.try_get::<Option<i64>, _>(4)?;
    Ok(Wish {
        ready: Time::from_micros(row.try_get(1)?),
        wake: row.try_get::<i64, _>(2)?.unsigned_abs(),
        token: token.as_deref().map(parse).transpose()?,
        woken: woken.map(Time::from_micros),
    })
}

/// Writes or removes these wishes as they are in `tables`.
pub(crate) async fn save(
    db: &mut Db<'_>,
    touched: &Touched<WorkKey>,
    tables: &Tables,
) -> sqlx::Result<()> {
    let row = |key: &WorkKey| {
        tables.wishes.get(key).map(|wish| {
            json!({
                "key": key.to_string(),
                "ready": wish.ready.as_micros(),
                "wake": wish.wake,
                "token": wish.token,
                "woken": wish.woken.map(Time::as_micros),
            })
        })
    };
    WORK.save(db, touched, key, row).await
}

/// Whether anything is due. Who only looks for work writes nothing while there is none.
pub(crate) async fn is_due(pool: &AnyPool, now: Time) -> sqlx::Result<bool> {
    let sql = "SELECT key FROM work WHERE ready <= $1 ORDER BY ready, key LIMIT 1";
    let query = sqlx::query(sql).bind(now.as_micros());
    Ok(query.fetch_optional(pool).await?.is_some())
}

/// Leases what is due: [`Wish::leased`] as a statement.
pub(crate) async fn claim(
    connection: &mut AnyConnection,
    dialect: Dialect,
    claim: &Claim,
    token: Token,
) -> sqlx::Result<Vec<Work>> {
    let sql = format!(
        "WITH picked AS MATERIALIZED ( \
             SELECT key FROM work WHERE ready <= $1 ORDER BY ready, key LIMIT 0 + $2{}) \
         UPDATE work SET ready = $3, token = $4, woken = NULL FROM picked \
         WHERE work.key = picked.key RETURNING work.key, work.wake",
        dialect.skip_locked()
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(claim.now.as_micros())
        .bind(i64::from(claim.limit))
        .bind((claim.now + claim.lease).as_micros())
        .bind(token.to_string())
        .fetch_all(connection)
        .await?;
    let read = |row: &AnyRow| {
        Ok(Work {
            key: parse_key(row.try_get(0)?)?,
            token,
            wake: row.try_get::<i64, _>(1)?.unsigned_abs(),
        })
    };
    rows.iter().map(read).collect()
}

/// The inverse of how a [`WorkKey`] is displayed.
fn parse_key(text: &str) -> sqlx::Result<WorkKey> {
    match text.split_once('/') {
        Some(("pod", id)) => Ok(WorkKey::Pod(parse(id)?)),
        Some(("account", id)) => Ok(WorkKey::Account(AccountId::from(id))),
        Some(("queue", product)) => Ok(WorkKey::Queue(GpuId::from(product))),
        Some(("sweep", backend)) => Ok(WorkKey::Sweep(backend.to_owned())),
        _ => Err(sqlx::Error::Decode(
            Error::internal("There is no such kind of work.")
                .with("key", text)
                .into(),
        )),
    }
}
