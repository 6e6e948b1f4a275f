//! From the driver's errors to ours.

use neuropod_core::{Error, ErrorKind};
use serde::de::DeserializeOwned;

/// What went wrong in the driver, in our words.
pub(crate) fn ours(error: sqlx::Error, during: &'static str) -> Error {
    let (kind, message) = match &error {
        sqlx::Error::Database(e) => match e.code().as_deref() {
            // The character NUL, which PostgreSQL has in no text.
            Some("22021" | "22P05") => (
                ErrorKind::Invalid,
                "The database can't keep a NUL character.",
            ),
            // It has waited for that.
            Some(code) if of_sqlite(code) == Some(5) => (
                ErrorKind::Unreachable,
                "Another program keeps the database locked.",
            ),
            Some(code) if is_passing(code) => {
                (ErrorKind::Unreachable, "The database can't do this now.")
            }
            _ => (ErrorKind::Internal, "The database refused a statement."),
        },
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => (
            ErrorKind::Internal,
            "The database holds a row that can't be read.",
        ),
        sqlx::Error::Configuration(_) => {
            (ErrorKind::Invalid, "The URL of the database can't be read.")
        }
        sqlx::Error::PoolTimedOut => (
            ErrorKind::Unreachable,
            "No connection to the database was free, or could be opened, in time.",
        ),
        _ => (ErrorKind::Unreachable, "The database did not answer."),
    };
    Error::new(kind, message).during(during).caused_by(error)
}

/// Whether a code of an engine says that it may be otherwise later.
fn is_passing(code: &str) -> bool {
    match of_sqlite(code) {
        // Busy, locked, read-only, IO, full, can't open.
        Some(kind) => matches!(kind, 5 | 6 | 8 | 10 | 13 | 14),
        // Connection, resources, operator intervention, serialisation and deadlock.
        None => ["08", "53", "57", "40"]
            .iter()
            .any(|class| code.starts_with(class)),
    }
}

/// SQLite has a number whose low byte is the kind; PostgreSQL has five characters.
fn of_sqlite(code: &str) -> Option<i32> {
    let number = code.parse::<i32>().ok().filter(|_| code.len() != 5);
    number.map(|number| number & 0xff)
}

/// Whether the transaction lost against another, so that it is to be judged anew: nothing has happened.
pub(crate) fn lost_a_race(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(e) => {
            e.is_unique_violation() || matches!(e.code().as_deref(), Some("40001" | "40P01"))
        }
        _ => false,
    }
}

/// A value from its JSON text.
pub(crate) fn decode<T: DeserializeOwned>(body: &str) -> sqlx::Result<T> {
    serde_json::from_str(body).map_err(|e| sqlx::Error::Decode(e.into()))
}

/// An id from its text.
pub(crate) fn parse<T: std::str::FromStr<Err = Error>>(text: &str) -> sqlx::Result<T> {
    text.parse()
        .map_err(|e: Error| sqlx::Error::Decode(e.into()))
}
