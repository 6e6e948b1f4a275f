//! Tables whose rows go in and out many at a time, as one JSON text per statement.
//!
//! Statements are prepared once. One with a bare parameter as its limit SQLite would plan anew for each value, so limits are
//! written `LIMIT 0 + $1`.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use crate::dialect::Dialect;

/// A transaction under way.
#[derive(Debug)]
pub(crate) struct Db<'c> {
    pub(crate) connection: &'c mut AnyConnection,
    pub(crate) dialect: Dialect,
}

/// A column: what it holds, and its name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    Text(&'static str),
    Int(&'static str),
}

impl Column {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Int(name) => name,
        }
    }
}

/// A table. Rows are JSON objects with the names of its columns.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) key: &'static [Column],
    pub(crate) rest: &'static [Column],
}

impl Table {
    /// The rows with these keys, locked until the transaction ends: first the key's columns, then the rest.
    pub(crate) async fn load(
        &self,
        db: &mut Db<'_>,
        keys: Vec<Value>,
    ) -> sqlx::Result<Vec<AnyRow>> {
        let lock = db.dialect.for_update();
        self.select(db, keys, lock).await
    }

    /// The rows with these keys, as they are now.
    pub(crate) async fn read(
        &self,
        db: &mut Db<'_>,
        keys: Vec<Value>,
    ) -> sqlx::Result<Vec<AnyRow>> {
        self.select(db, keys, "").await
    }

    async fn select(
        &self,
        db: &mut Db<'_>,
        keys: Vec<Value>,
        lock: &str,
    ) -> sqlx::Result<Vec<AnyRow>> {
        let sql = format!(
            "SELECT {} FROM {} CROSS JOIN {} AS t WHERE {} ORDER BY {}{lock}",
            list(self.columns(), |c| format!("t.{c}")),
            db.dialect.rows(self.key.iter().copied()),
            self.name,
            self.same_key("t"),
            list(self.key.iter().copied(), |c| format!("t.{c}")),
        );
        db.fetch(sql, keys).await
    }

    /// Writes rows that are not there. Another writer may have been quicker: then the unique key fails.
    pub(crate) async fn insert(&self, db: &mut Db<'_>, rows: Vec<Value>) -> sqlx::Result<()> {
        let columns = list(self.columns(), str::to_owned);
        let source = db.dialect.rows(self.columns());
        let sql = format!(
            "INSERT INTO {} ({columns}) SELECT {columns} FROM {source}",
            self.name
        );
        db.execute(sql, rows).await
    }

    /// Overwrites rows that are there.
    pub(crate) async fn update(&self, db: &mut Db<'_>, rows: Vec<Value>) -> sqlx::Result<()> {
        let set = list(self.rest.iter().copied(), |c| format!("{c} = r.{c}"));
        let source = db.dialect.rows(self.columns());
        let same = self.same_key(self.name);
        let sql = format!("UPDATE {} SET {set} FROM {source} WHERE {same}", self.name);
        db.execute(sql, rows).await
    }

    /// Removes rows.
    pub(crate) async fn delete(&self, db: &mut Db<'_>, keys: Vec<Value>) -> sqlx::Result<()> {
        let columns = list(self.key.iter().copied(), str::to_owned);
        let source = db.dialect.rows(self.key.iter().copied());
        let sql = format!(
            "DELETE FROM {} WHERE ({columns}) IN (SELECT {columns} FROM {source})",
            self.name
        );
        db.execute(sql, keys).await
    }

    /// Writes, overwrites or removes each row: the keys come with whether the row was there.
    pub(crate) async fn save<K>(
        &self,
        db: &mut Db<'_>,
        keys: &BTreeMap<K, bool>,
        key: impl Fn(&K) -> Value,
        row: impl Fn(&K) -> Option<Value>,
    ) -> sqlx::Result<()> {
        let (mut new, mut changed, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for (k, was_there) in keys {
            match (row(k), was_there) {
                (Some(row), false) => new.push(row),
                (Some(row), true) => changed.push(row),
                (None, true) => gone.push(key(k)),
                (None, false) => {}
            }
        }
        self.delete(db, gone).await?;
        self.update(db, changed).await?;
        self.insert(db, new).await
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = Column> {
        self.key.iter().chain(self.rest).copied()
    }

    fn same_key(&self, table: &str) -> String {
        let same: Vec<_> = self.key.iter().map(|c| c.name()).collect();
        let same = same.into_iter().map(|c| format!("{table}.{c} = r.{c}"));
        same.collect::<Vec<_>>().join(" AND ")
    }
}

fn list(columns: impl Iterator<Item = Column>, form: impl Fn(&str) -> String) -> String {
    columns
        .map(|c| form(c.name()))
        .collect::<Vec<_>>()
        .join(", ")
}

impl Db<'_> {
    /// The answer of a statement over some rows; nothing if there are none.
    pub(crate) async fn fetch(
        &mut self,
        sql: String,
        rows: Vec<Value>,
    ) -> sqlx::Result<Vec<AnyRow>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        sqlx::query(AssertSqlSafe(sql))
            .bind(Value::Array(rows).to_string())
            .fetch_all(&mut *self.connection)
            .await
    }

    /// Executes a statement over some rows; nothing if there are none.
    pub(crate) async fn execute(&mut self, sql: String, rows: Vec<Value>) -> sqlx::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query(AssertSqlSafe(sql))
            .bind(Value::Array(rows).to_string())
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }
}
