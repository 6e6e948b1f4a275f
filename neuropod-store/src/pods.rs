//! Pods, and the places where they are found.

use std::collections::BTreeMap;
use std::sync::Arc;

use neuropod_core::Result;
use neuropod_core::id::{AccountId, PodId};
use neuropod_core::pod::Pod;
use neuropod_core::store::{Page, PodFilter, PodQuery, Tables};
use serde_json::{Value, json};
use sqlx::{AnyPool, Row};

use crate::batch::Touched;
use crate::error::{decode, ours, parse};
use crate::table::Column::{Int, Text};
use crate::table::{Db, Table};

const PODS: Table = Table {
    name: "pods",
    key: &[Text("id")],
    rest: &[Text("body")],
};

const PLACES: Table = Table {
    name: "pod_places",
    key: &[Text("place"), Int("position"), Text("pod")],
    rest: &[],
};

/// The places of pods as they are stored.
pub(crate) type Places = BTreeMap<PodId, Vec<(PodFilter, i64)>>;

/// Loads these pods, locked.
pub(crate) async fn load(
    db: &mut Db<'_>,
    ids: impl IntoIterator<Item = PodId>,
    tables: &mut Tables,
) -> sqlx::Result<()> {
    let keys = ids.into_iter().map(|id| json!({ "id": id }));
    for row in PODS.load(db, keys.collect()).await? {
        tables.put_pod(decode(row.try_get(1)?)?);
    }
    Ok(())
}

/// Loads every pod that one of these accounts pays for. The lock of the account keeps them as they are.
pub(crate) async fn load_paid(
    db: &mut Db<'_>,
    payers: impl IntoIterator<Item = &AccountId>,
    tables: &mut Tables,
) -> sqlx::Result<()> {
    let places = payers.into_iter().map(|id| PodFilter::PaidBy(id.clone()));
    let sql = format!(
        "SELECT p.id, p.body FROM {} CROSS JOIN pod_places AS t CROSS JOIN pods AS p \
         WHERE t.place = r.place AND p.id = t.pod",
        db.dialect.rows([Text("place")].into_iter())
    );
    let keys = places.map(|place| json!({ "place": place.to_string() }));
    for row in db.fetch(sql, keys.collect()).await? {
        if !tables.pods.contains_key(&parse(row.try_get(0)?)?) {
            tables.put_pod(decode(row.try_get(1)?)?);
        }
    }
    Ok(())
}

/// Counts the pods that answer these filters and are not loaded.
pub(crate) async fn count_elsewhere(
    db: &mut Db<'_>,
    filters: impl IntoIterator<Item = &PodFilter>,
    tables: &mut Tables,
) -> sqlx::Result<()> {
    let sql = format!(
        "SELECT t.place, COUNT(*) FROM {} CROSS JOIN pod_places AS t \
         WHERE t.place = r.place GROUP BY t.place",
        db.dialect.rows([Text("place")].into_iter())
    );
    let filters: BTreeMap<String, _> = filters.into_iter().map(|f| (f.to_string(), f)).collect();
    let keys = filters.keys().map(|place| json!({ "place": place }));
    for row in db.fetch(sql, keys.collect()).await? {
        let filter = filters[row.try_get::<&str, _>(0)?];
        let all = row.try_get::<i64, _>(1)?.unsigned_abs();
        let here = tables.pods_in(filter, None).count() as u64;
        let elsewhere = all.saturating_sub(here);
        tables.elsewhere.insert(filter.clone(), elsewhere);
    }
    Ok(())
}

/// Writes these pods as they are in `tables`, and their places where those have changed.
pub(crate) async fn save(
    db: &mut Db<'_>,
    touched: &Touched<PodId>,
    before: &Places,
    tables: &Tables,
) -> sqlx::Result<()> {
    let row = |id: &PodId| body_row(&tables.pods[id]);
    PODS.save(db, touched, |id| json!({ "id": id }), row)
        .await?;
    let (mut gone, mut new) = (Vec::new(), Vec::new());
    let none = Vec::new();
    for id in touched.keys() {
        let (old, now) = (before.get(id).unwrap_or(&none), tables.pods[id].places());
        let rows = |places: &[(PodFilter, i64)], others: &[(PodFilter, i64)]| {
            let changed = places.iter().filter(|place| !others.contains(place));
            let rows = changed.map(|(place, position)| {
                json!({ "place": place.to_string(), "position": position, "pod": id })
            });
            rows.collect::<Vec<_>>()
        };
        gone.extend(rows(old, &now));
        new.extend(rows(&now, old));
    }
    PLACES.delete(db, gone).await?;
    PLACES.insert(db, new).await
}

fn body_row(pod: &Arc<Pod>) -> Option<Value> {
    let body = serde_json::to_string(&**pod).expect("a pod is plain data");
    Some(json!({ "id": pod.id, "body": body }))
}

/// One pod.
pub(crate) async fn one(pool: &AnyPool, id: PodId) -> Result<Option<Pod>> {
    let row = sqlx::query("SELECT body FROM pods WHERE id = $1").bind(id.to_string());
    let read = async {
        let row = row.fetch_optional(pool).await?;
        row.map(|row| decode(row.try_get(0)?)).transpose()
    };
    read.await.map_err(|e| ours(e, "read a pod"))
}

/// A page of pods.
pub(crate) async fn page(pool: &AnyPool, query: &PodQuery) -> Result<Page<Pod>> {
    let limit = Page::<Pod>::limit(query.limit)?;
    let after = query.after.as_deref().map(PodFilter::parse_after);
    let (position, id) = match after.transpose()? {
        Some((position, id)) => (position, id.to_string()),
        None => (i64::MIN, String::new()),
    };
    // All of them as one text: each row that the driver hands over costs more than what is in it. Within it they have no
    // order yet: SQLite would write all bodies once more to give them one.
    let sql = "SELECT '[' || string_agg(body, ',') || ']' FROM ( \
               SELECT p.body FROM pod_places AS t JOIN pods AS p ON p.id = t.pod \
               WHERE t.place = $1 AND (t.position, t.pod) > ($2, $3) \
               ORDER BY t.position, t.pod LIMIT 0 + $4) AS page";
    let read = async {
        let row = sqlx::query(sql)
            .bind(query.filter.to_string())
            .bind(position)
            .bind(id)
            .bind(limit as i64 + 1)
            .fetch_one(pool)
            .await?;
        row.try_get::<Option<&str>, _>(0)?
            .map_or(Ok(Vec::new()), decode)
    };
    let rows: sqlx::Result<Vec<Pod>> = read.await;
    let mut rows = rows.map_err(|e| ours(e, "list pods"))?;
    rows.sort_by_cached_key(|pod| (query.filter.position(pod), pod.id));
    Ok(query.filter.page(rows, limit))
}
