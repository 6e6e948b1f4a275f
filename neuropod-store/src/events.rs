//! Events, in an order that never reveals an earlier one later.
//!
//! A serial number would not do: a transaction that took its number first may commit last, and whoever has read past
//! it misses it. So an event stands at the number of its transaction, and only what is below every transaction under
//! way is shown. Where transactions begin to count anew, the epoch rises.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use neuropod_core::event::{Event, NewEvent};
use neuropod_core::store::{EventPage, EventQuery, Page};
use neuropod_core::{Error, Result, Time};
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, AssertSqlSafe, Row};

use crate::dialect::Dialect;
use crate::error::{decode, ours};
use crate::table::Column::{Int, Text};
use crate::table::{Db, Table};

const EVENTS: Table = Table {
    name: "events",
    key: &[Int("epoch"), Int("xid"), Int("n")],
    rest: &[Int("at"), Text("body")],
};

/// How long events are kept.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// A place in the order of all that is written: epoch, transaction, and which one of that transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) epoch: i64,
    pub(crate) xid: i64,
    pub(crate) n: i64,
}

impl Position {
    /// Before everything.
    const START: Self = Self {
        epoch: 0,
        xid: 0,
        n: 0,
    };
    /// After everything.
    pub(crate) const END: Self = Self {
        epoch: i64::MAX,
        xid: 0,
        n: 0,
    };

    /// The first one of the transaction under way.
    pub(crate) async fn first(db: &mut Db<'_>) -> sqlx::Result<Self> {
        let query = sqlx::query(db.dialect.transaction());
        let row = query.fetch_one(&mut *db.connection).await?;
        Ok(Self {
            epoch: row.try_get(0)?,
            xid: row.try_get(1)?,
            n: 0,
        })
    }

    /// From three columns.
    pub(crate) fn read(row: &AnyRow, column: usize) -> sqlx::Result<Self> {
        Ok(Self {
            epoch: row.try_get(column)?,
            xid: row.try_get(column + 1)?,
            n: row.try_get(column + 2)?,
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch, self.xid, self.n)
    }
}

impl FromStr for Position {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<i64> = text
            .split('.')
            .map_while(|part| part.parse().ok())
            .collect();
        match parts[..] {
            [epoch, xid, n] if text.split('.').count() == 3 => Ok(Self { epoch, xid, n }),
            _ => Err(Error::invalid("", "A position is three numbers.")),
        }
    }
}

/// Appends events, from `first` on.
pub(crate) async fn append(
    db: &mut Db<'_>,
    first: Position,
    events: &[NewEvent],
) -> sqlx::Result<()> {
    let rows = (first.n..).zip(events).map(|(n, event)| {
        json!({
            "epoch": first.epoch,
            "xid": first.xid,
            "n": n,
            "at": event.at.as_micros(),
            "body": serde_json::to_string(event).expect("an event is plain data"),
        })
    });
    EVENTS.insert(db, rows.collect()).await
}

/// Removes events that are too old beside one of `newest`, and notes how far: those before the first that is young
/// enough. Others may write young ones before that one meanwhile, so age counts for each.
pub(crate) async fn forget_old(db: &mut Db<'_>, newest: Time) -> sqlx::Result<()> {
    let oldest = (newest - KEPT_FOR).as_micros();
    let first_kept =
        "SELECT epoch, xid, n FROM events WHERE at >= $1 ORDER BY epoch, xid, n LIMIT 1";
    let query = sqlx::query(first_kept).bind(oldest);
    let Some(row) = query.fetch_optional(&mut *db.connection).await? else {
        return Ok(());
    };
    let kept = Position::read(&row, 0)?;
    for sql in [
        "UPDATE life SET gone_epoch = e.epoch, gone_xid = e.xid, gone_n = e.n FROM ( \
             SELECT epoch, xid, n FROM events WHERE at < $1 AND (epoch, xid, n) < ($2, $3, $4) \
             ORDER BY epoch DESC, xid DESC, n DESC LIMIT 1) AS e",
        "DELETE FROM events WHERE at < $1 AND (epoch, xid, n) < ($2, $3, $4)",
    ] {
        let query = sqlx::query(sql).bind(oldest);
        let query = query.bind(kept.epoch).bind(kept.xid).bind(kept.n);
        query.execute(&mut *db.connection).await?;
    }
    Ok(())
}

/// A page of events. `installation` tells the cursors of one database from those of another.
pub(crate) async fn page(
    pool: &AnyPool,
    dialect: Dialect,
    installation: &str,
    query: &EventQuery,
) -> Result<EventPage> {
    let limit = Page::<Event>::limit(query.limit)?;
    let cursor = |position: Position| format!("{installation}.{position}");
    let asked = query.after.as_deref().map(|after| {
        let position = after.strip_prefix(installation)?.strip_prefix('.')?;
        position.parse::<Position>().ok()
    });
    let read = async {
        let from = asked.flatten();
        let mut found = after(pool, dialect, from.unwrap_or(Position::START), limit).await?;
        let reset = match (asked, from) {
            (None, _) => false,
            (Some(_), Some(from)) if found.gone <= from && from < found.horizon => false,
            _ => true,
        };
        if reset && from.is_some() {
            found = after(pool, dialect, Position::START, limit).await?;
        }
        let last = found.events.last().map(|(position, _)| *position);
        let went_on = from.filter(|_| !reset).unwrap_or(found.gone);
        let events = found.events.into_iter().map(|(position, event)| Event {
            cursor: cursor(position),
            event,
        });
        Ok(EventPage {
            events: events.collect(),
            cursor: cursor(last.unwrap_or(went_on)),
            reset,
        })
    };
    read.await.map_err(|e| ours(e, "read events"))
}

/// The cursor of the last event that shows; where there is none, of the last one that was removed.
pub(crate) async fn newest(pool: &AnyPool, dialect: Dialect, installation: &str) -> Result<String> {
    let horizon = dialect.horizon();
    let sql = format!(
        "SELECT COALESCE(e.epoch, life.gone_epoch), COALESCE(e.xid, life.gone_xid), \
             COALESCE(e.n, life.gone_n) \
         FROM life LEFT JOIN ( \
             SELECT epoch, xid, n FROM events \
             WHERE (epoch, xid) < (SELECT epoch, {horizon} FROM life) \
             ORDER BY epoch DESC, xid DESC, n DESC LIMIT 1) AS e ON 1 = 1"
    );
    let read = async {
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(pool).await?;
        Ok(format!("{installation}.{}", Position::read(&row, 0)?))
    };
    read.await.map_err(|e| ours(e, "find the last event"))
}

/// Events, and what is known of the order at the same instant.
struct Found {
    /// The last one that was removed for its age.
    gone: Position,
    /// Nothing that is written later stands before this.
    horizon: Position,
    events: Vec<(Position, NewEvent)>,
}

/// The events after a position, in one statement: what is gone may not change between two.
async fn after(
    pool: &AnyPool,
    dialect: Dialect,
    from: Position,
    limit: usize,
) -> sqlx::Result<Found> {
    let horizon = dialect.horizon();
    let sql = format!(
        "SELECT life.gone_epoch, life.gone_xid, life.gone_n, life.epoch, {horizon}, \
             e.epoch, e.xid, e.n, e.body \
         FROM life LEFT JOIN ( \
             SELECT epoch, xid, n, body FROM events WHERE (epoch, xid, n) > ($1, $2, $3) \
             AND (epoch, xid) < (SELECT epoch, {horizon} FROM life) \
             ORDER BY epoch, xid, n LIMIT 0 + $4) AS e ON 1 = 1 \
         ORDER BY e.epoch, e.xid, e.n"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(from.epoch)
        .bind(from.xid)
        .bind(from.n)
        .bind(limit as i64)
        .fetch_all(pool)
        .await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let event = |row: &AnyRow| {
        let body: Option<&str> = row.try_get(8)?;
        let read = |body| Ok((Position::read(row, 5)?, decode(body)?));
        body.map(read).transpose()
    };
    let events = rows.iter().filter_map(|row| event(row).transpose());
    Ok(Found {
        gone: Position::read(first, 0)?,
        horizon: Position {
            epoch: first.try_get(3)?,
            xid: first.try_get(4)?,
            n: 0,
        },
        events: events.collect::<sqlx::Result<_>>()?,
    })
}
