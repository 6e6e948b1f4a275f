//! Leases of devices and ports.

use neuropod_core::store::{Lease, Tables, prefix_end};
use neuropod_core::{Result, Time};
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row};

use crate::batch::Touched;
use crate::error::{ours, parse};
use crate::table::Column::{Int, Text};
use crate::table::{Db, Table};

const LEASES: Table = Table {
    name: "leases",
    key: &[Text("resource")],
    rest: &[Text("pod"), Int("until")],
};

fn key(resource: &String) -> Value {
    json!({ "resource": resource })
}

/// Loads these leases, locked.
pub(crate) async fn load(
    db: &mut Db<'_>,
    resources: impl IntoIterator<Item = &String>,
    tables: &mut Tables,
) -> sqlx::Result<()> {
    let keys = resources.into_iter().map(key).collect();
    for row in LEASES.load(db, keys).await? {
        let lease = read(&row)?;
        tables.leases.insert(lease.resource.clone(), lease);
    }
    Ok(())
}

/// Writes or removes these leases as they are in `tables`.
pub(crate) async fn save(
    db: &mut Db<'_>,
    touched: &Touched<String>,
    tables: &Tables,
) -> sqlx::Result<()> {
    let row = |resource: &String| {
        tables.leases.get(resource).map(|lease| {
            json!({
                "resource": resource,
                "pod": lease.pod,
                "until": lease.until.map(Time::as_micros),
            })
        })
    };
    LEASES.save(db, touched, key, row).await
}

fn read(row: &AnyRow) -> sqlx::Result<Lease> {
    let pod = row.try_get::<Option<String>, _>(1)?;
    let until = row.try_get::<Option<i64>, _>(2)?;
    Ok(Lease {
        resource: row.try_get(0)?,
        pod: pod.as_deref().map(parse).transpose()?,
        until: until.map(Time::from_micros),
    })
}

/// Those that start with `prefix`.
pub(crate) async fn starting_with(pool: &AnyPool, prefix: &str) -> Result<Vec<Lease>> {
    let end = prefix_end(prefix);
    let sql = match end {
        Some(_) => {
            "SELECT resource, pod, until FROM leases WHERE resource >= $1 AND resource < $2 \
             ORDER BY resource"
        }
        None => "SELECT resource, pod, until FROM leases WHERE resource >= $1 ORDER BY resource",
    };
    let query = sqlx::query(sql).bind(prefix);
    let query = match end {
        Some(end) => query.bind(end),
        None => query,
    };
    let rows = async { query.fetch_all(pool).await?.iter().map(read).collect() };
    let rows: sqlx::Result<Vec<Lease>> = rows.await;
    rows.map_err(|e| ours(e, "list leases"))
}
