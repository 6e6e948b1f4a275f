//! Seals of the ledger's rows: a sum over every column. Chains cover what transfers say; a seal covers the row as it
//! stands, its place and its numbers of versions too, so that a row that anything else has written to is known.

use neuropod_core::id::Hash;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::table::Column::{self, Int, Text};
use crate::table::Table;

/// The column of the seal, the last one. Rows of releases without have none.
pub(crate) const SEAL: Column = Int("seal");

impl Table {
    /// The row with its seal.
    pub(crate) fn sealed(&self, mut row: Value) -> Value {
        let mut text = Vec::new();
        for column in self.covered() {
            match &row[column.name()] {
                Value::String(s) => put(&mut text, Some(s.as_bytes())),
                Value::Number(n) => put(&mut text, Some(n.to_string().as_bytes())),
                _ => put(&mut text, None),
            }
        }
        row[SEAL.name()] = json!(seal(&text));
        row
    }

    /// Whether a row, in all its columns, is as it was sealed; `None` if it never was.
    pub(crate) fn is_intact(&self, row: &AnyRow) -> Option<bool> {
        let mut text = Vec::new();
        let mut at = 0;
        for column in self.covered() {
            let read = match column {
                Text(_) => row.try_get::<Option<String>, _>(at),
                Int(_) => row
                    .try_get::<Option<i64>, _>(at)
                    .map(|n| n.map(|n| n.to_string())),
            };
            // A column that holds something of another kind was not written by us.
            let Ok(value) = read else {
                return Some(false);
            };
            put(&mut text, value.as_ref().map(String::as_bytes));
            at += 1;
        }
        match row.try_get::<Option<i64>, _>(at) {
            Ok(stored) => Some(stored? == seal(&text)),
            Err(_) => Some(false),
        }
    }

    fn covered(&self) -> impl Iterator<Item = Column> {
        self.columns().filter(|column| column.name() != SEAL.name())
    }
}

/// After its length, so that no two rows are one text.
fn put(text: &mut Vec<u8>, value: Option<&[u8]>) {
    let length = value.map_or(u64::MAX, |value| value.len() as u64);
    text.extend(length.to_be_bytes());
    text.extend(value.unwrap_or_default());
}

fn seal(text: &[u8]) -> i64 {
    let hash = Hash::of(text);
    let first = hash.as_bytes().first_chunk().expect("a hash is longer");
    i64::from_be_bytes(*first)
}
