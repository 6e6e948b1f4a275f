//! Documents.

use neuropod_core::store::{DocQuery, Document, Page, Tables, prefix_end};
use neuropod_core::{Result, Time};
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyPool, AssertSqlSafe, Row};

use crate::batch::Touched;
use crate::error::{decode, ours};
use crate::table::Column::{Int, Text};
use crate::table::{Db, Table};

const DOCUMENTS: Table = Table {
    name: "documents",
    key: &[Text("kind"), Text("key")],
    rest: &[
        Text("index0"),
        Text("index1"),
        Text("index2"),
        Int("expires_at"),
        Int("version"),
        Text("body"),
    ],
};

/// Kind and key.
pub(crate) type Id = (String, String);

fn key((kind, key): &Id) -> Value {
    json!({ "kind": kind, "key": key })
}

/// Loads these documents, locked; expired ones too.
pub(crate) async fn load(
    db: &mut Db<'_>,
    ids: impl IntoIterator<Item = &Id>,
    tables: &mut Tables,
) -> sqlx::Result<()> {
    let keys = ids.into_iter().map(key).collect();
    for row in DOCUMENTS.load(db, keys).await? {
        let document = read(&row)?;
        let id = (document.kind.clone(), document.key.clone());
        tables.documents.insert(id, document);
    }
    Ok(())
}

/// Writes or removes these documents as they are in `tables`.
pub(crate) async fn save(
    db: &mut Db<'_>,
    touched: &Touched<Id>,
    tables: &Tables,
) -> sqlx::Result<()> {
    let row = |id: &Id| {
        tables.documents.get(id).map(|d| {
            json!({
                "kind": d.kind,
                "key": d.key,
                "index0": d.index[0],
                "index1": d.index[1],
                "index2": d.index[2],
                "expires_at": d.expires_at.map(Time::as_micros),
                "version": d.version,
                "body": d.body.to_string(),
            })
        })
    };
    DOCUMENTS.save(db, touched, key, row).await
}

fn read(row: &AnyRow) -> sqlx::Result<Document> {
    let expires_at = row.try_get::<Option<i64>, _>(5)?;
    Ok(Document {
        kind: row.try_get(0)?,
        key: row.try_get(1)?,
        index: [row.try_get(2)?, row.try_get(3)?, row.try_get(4)?],
        expires_at: expires_at.map(Time::from_micros),
        version: row.try_get::<i64, _>(6)?.unsigned_abs(),
        body: decode(row.try_get(7)?)?,
    })
}

/// Removes documents that expired before `at`.
pub(crate) async fn forget_expired(db: &mut Db<'_>, at: Time) -> sqlx::Result<()> {
    let sql = "DELETE FROM documents WHERE expires_at < $1";
    let query = sqlx::query(sql).bind(at.as_micros());
    query.execute(&mut *db.connection).await?;
    Ok(())
}

/// A page of documents.
pub(crate) async fn page(pool: &AnyPool, query: &DocQuery) -> Result<Page<Document>> {
    let limit = query.rows()?;
    let mut sql = String::from(
        "SELECT kind, key, index0, index1, index2, expires_at, version, body FROM documents \
         WHERE kind = $1 AND (expires_at IS NULL OR expires_at > $2) AND key >= $3",
    );
    let mut texts = Vec::new();
    let mut and = |condition: String, text: &str| {
        texts.push(text.to_owned());
        sql.push_str(&format!(" AND {condition} ${}", texts.len() + 4));
    };
    if let Some(end) = prefix_end(&query.prefix) {
        and("key <".to_owned(), &end);
    }
    if let Some((n, value)) = &query.index {
        and(format!("index{n} ="), value);
    }
    let (past, order) = match query.newest_first {
        false => ("key >", "ASC"),
        true => ("key <", "DESC"),
    };
    if let Some(after) = &query.after {
        and(past.to_owned(), after);
    }
    sql.push_str(&format!(" ORDER BY key {order} LIMIT 0 + $4"));
    let mut statement = sqlx::query(AssertSqlSafe(sql))
        .bind(&query.kind)
        .bind(query.now.as_micros())
        .bind(&query.prefix)
        .bind(limit as i64 + 1);
    for text in texts {
        statement = statement.bind(text);
    }
    let rows = async { statement.fetch_all(pool).await?.iter().map(read).collect() };
    let rows: sqlx::Result<Vec<Document>> = rows.await;
    let rows = rows.map_err(|e| ours(e, "list documents"))?;
    Ok(Page::of(rows, limit, |d| d.key.clone()))
}
