//! What differs between the two engines.

use std::fmt::Write;

use neuropod_core::{Error, ErrorKind, Result};

use crate::table::Column;

/// The engine that keeps the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The engine that `url` names.
    pub(crate) fn of(url: &str) -> Result<Self> {
        let scheme = url.split(':').next().unwrap_or_default();
        let (dialect, built_in) = match scheme {
            "sqlite" => (Self::Sqlite, cfg!(feature = "sqlite")),
            "postgres" | "postgresql" => (Self::Postgres, cfg!(feature = "postgres")),
            _ => {
                return Err(Error::invalid(
                    "",
                    "The URL of a store begins with sqlite:// or postgres://.",
                ));
            }
        };
        if !built_in {
            let message = format!("This program is built without the feature for {scheme}.");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok(dialect)
    }

    /// Begins a transaction that writes. SQLite must say so: one that first reads can't wait for another writer.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// What each new connection is told.
    pub(crate) fn settings(self) -> &'static str {
        match self {
            // A cache of 16 MiB a connection, so that the inner pages of 100,000 rows stay in it.
            Self::Sqlite => {
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; \
                 PRAGMA cache_size = -16384"
            }
            // Every statement goes by keys. A plan that was made while a table was small, and kept, must not go
            // through the whole of it later.
            Self::Postgres => {
                "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
                 SET jit = off"
            }
        }
    }

    /// The text of a migration for this engine.
    pub(crate) fn schema(self, sql: &str) -> String {
        match self {
            Self::Sqlite => sql.to_owned(),
            Self::Postgres => sql
                .replace(" TEXT NOT NULL", " TEXT COLLATE \"C\" NOT NULL")
                .replace(" TEXT PRIMARY", " TEXT COLLATE \"C\" PRIMARY")
                .replace(" TEXT,", " TEXT COLLATE \"C\",")
                .replace(" TEXT;", " TEXT COLLATE \"C\";"),
        }
    }

    /// A table `r` of the rows in the JSON array `$1`: one parameter and one statement for any number of rows.
    pub(crate) fn rows(self, columns: impl Iterator<Item = Column>) -> String {
        let mut list = String::new();
        for column in columns {
            let comma = if list.is_empty() { "" } else { ", " };
            let name = column.name();
            let done = match (self, column) {
                (Self::Sqlite, _) => write!(list, "{comma}value->>'{name}' AS {name}"),
                (Self::Postgres, Column::Text(_)) => write!(list, "{comma}{name} TEXT"),
                (Self::Postgres, Column::Int(_)) => write!(list, "{comma}{name} BIGINT"),
            };
            done.expect("a text can be written to");
        }
        match self {
            Self::Sqlite => format!("(SELECT {list} FROM json_each($1)) AS r"),
            Self::Postgres => format!("json_to_recordset(CAST($1 AS json)) AS r({list})"),
        }
    }

    /// Locks the rows of table `t` that a statement reads, where others may write meanwhile.
    pub(crate) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE OF t",
        }
    }

    /// Locks the rows that a statement reads, and leaves out those that others have locked.
    pub(crate) fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// Epoch and number of the transaction under way.
    pub(crate) fn transaction(self) -> &'static str {
        match self {
            Self::Sqlite => "UPDATE life SET xid = xid + 1 RETURNING epoch, xid",
            Self::Postgres => {
                "SELECT epoch, CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT) FROM life"
            }
        }
    }

    /// The number below which no transaction is under way any more.
    pub(crate) fn horizon(self) -> &'static str {
        match self {
            Self::Sqlite => "life.xid + 1",
            Self::Postgres => {
                "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)"
            }
        }
    }

    /// What changes when transactions begin to count anew. A file of SQLite may be an older copy each time it is
    /// opened.
    pub(crate) fn cluster(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT CAST(random() AS TEXT)",
            Self::Postgres => "SELECT CAST(system_identifier AS TEXT) FROM pg_control_system()",
        }
    }
}
