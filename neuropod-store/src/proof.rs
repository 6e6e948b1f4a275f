//! Rows of the ledger for its proof: each is held against its seal before anything is read from it.

use neuropod_core::id::AccountId;
use neuropod_core::store::{LedgerFilter, LedgerKey, LedgerQuery, LedgerRow, Link, Page};
use neuropod_core::{Error, Result};
use sqlx::any::AnyRow;
use sqlx::{AnyPool, AssertSqlSafe, Row};

use crate::error::{ours, parse};
use crate::events::Position;
use crate::ledger::{ACCOUNTS, METERS, TRANSFERS, read_account, read_booked, read_posted};
use crate::table::Table;

/// A page of rows.
pub(crate) async fn page(pool: &AnyPool, query: &LedgerQuery) -> Result<Page<LedgerRow>> {
    let limit = Page::<LedgerRow>::limit(query.limit)?;
    let after = query.after.as_deref().unwrap_or_default();
    let most = limit as i64 + 1;
    let rows = match &query.filter {
        LedgerFilter::Accounts => accounts(pool, after, most).await,
        LedgerFilter::Account(id) => {
            let after = match after {
                "" => FIRST,
                after => after.parse().map_err(|_| {
                    Error::invalid("/after", "This is not where a page of the ledger ended.")
                })?,
            };
            of_account(pool, id, after, most).await
        }
        LedgerFilter::Transfers => transfers(pool, after, most).await,
        LedgerFilter::Meters => meters(pool, after, most).await,
    };
    let rows = rows.map_err(|e| ours(e, "read the ledger"))?;
    Ok(Page::of(rows, limit, |(place, _)| place.clone()).map(|(_, row)| row))
}

/// Before every row, whatever was written into it.
const FIRST: Position = Position {
    epoch: i64::MIN,
    xid: i64::MIN,
    n: i64::MIN,
};

/// Rows with the places that the next page goes on from.
type Rows = sqlx::Result<Vec<(String, LedgerRow)>>;

/// Accounts, and who is only named by transfers: by three steps in indexes for each.
async fn accounts(pool: &AnyPool, after: &str, most: i64) -> Rows {
    const NEXT: &str = "SELECT MIN(id) FROM ( \
             SELECT MIN(id) AS id FROM accounts WHERE id > $1 \
             UNION ALL SELECT MIN(debit) FROM transfers WHERE debit > $1 AND debit >= 'user:' AND debit < 'user;' \
             UNION ALL SELECT MIN(credit) FROM transfers WHERE credit > $1 AND credit >= 'user:' AND credit < 'user;') AS ids";
    let one = format!("SELECT {} FROM accounts WHERE id = $1", columns(&ACCOUNTS));
    let (mut rows, mut after) = (Vec::new(), after.to_owned());
    while (rows.len() as i64) < most {
        let next = sqlx::query(NEXT).bind(&after).fetch_one(pool).await?;
        let Some(id) = next.try_get::<Option<String>, _>(0)? else {
            break;
        };
        let query = sqlx::query(AssertSqlSafe(one.as_str())).bind(&id);
        let row = match query.fetch_optional(pool).await? {
            Some(row) => account(&row, &id),
            None => LedgerRow::NoAccount(AccountId::new(id.as_str())),
        };
        rows.push((id.clone(), row));
        after = id;
    }
    Ok(rows)
}

fn account(row: &AnyRow, id: &str) -> LedgerRow {
    let account = read_account(row).ok();
    let account = account.filter(|account| match ACCOUNTS.is_intact(row) {
        Some(intact) => intact,
        None => account.head == Link::default(),
    });
    let touched = || LedgerRow::Touched(LedgerKey::Account(id.to_owned()));
    account.map_or_else(touched, LedgerRow::Account)
}

async fn of_account(pool: &AnyPool, id: &AccountId, after: Position, most: i64) -> Rows {
    let side = |side| {
        format!(
            "SELECT * FROM (SELECT {} FROM transfers \
             WHERE {side} = $1 AND (epoch, xid, n) > ($2, $3, $4) \
             ORDER BY epoch, xid, n LIMIT 0 + $5) AS {side}s",
            columns(&TRANSFERS)
        )
    };
    let sql = format!(
        "SELECT * FROM ({} UNION ALL {}) AS t ORDER BY epoch, xid, n LIMIT 0 + $5",
        side("debit"),
        side("credit")
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(id.as_str())
        .bind(after.epoch)
        .bind(after.xid)
        .bind(after.n)
        .bind(most)
        .fetch_all(pool)
        .await?;
    let read = |row| {
        // What is no number comes after all numbers.
        let place = Position::read(row, 1).unwrap_or(Position::END);
        Ok((place.to_string(), transfer(row)?))
    };
    rows.iter().map(read).collect()
}

async fn transfers(pool: &AnyPool, after: &str, most: i64) -> Rows {
    let sql = format!(
        "SELECT {} FROM transfers WHERE id > $1 ORDER BY id LIMIT 0 + $2",
        columns(&TRANSFERS)
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(after).bind(most);
    let rows = query.fetch_all(pool).await?;
    let read = |row: &AnyRow| Ok((row.try_get(0)?, transfer(row)?));
    rows.iter().map(read).collect()
}

fn transfer(row: &AnyRow) -> sqlx::Result<LedgerRow> {
    let booked = read_booked(row).ok();
    let booked = booked.filter(|booked| match TRANSFERS.is_intact(row) {
        Some(intact) => intact,
        None => booked.debit.is_none() && booked.credit.is_none(),
    });
    Ok(match booked {
        Some(booked) => LedgerRow::Transfer(Box::new(booked)),
        None => LedgerRow::Touched(LedgerKey::Transfer(row.try_get(0)?)),
    })
}

async fn meters(pool: &AnyPool, after: &str, most: i64) -> Rows {
    let sql = format!(
        "SELECT {} FROM meters WHERE meter > $1 ORDER BY meter LIMIT 0 + $2",
        columns(&METERS)
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(after).bind(most);
    let rows = query.fetch_all(pool).await?;
    let read = |row: &AnyRow| {
        let name: String = row.try_get(0)?;
        let posted = read_posted(row).ok();
        let posted = posted.filter(|posted| match METERS.is_intact(row) {
            Some(intact) => intact,
            None => posted.until.is_none(),
        });
        let row = match (parse(&name), posted) {
            (Ok(meter), Some(posted)) => LedgerRow::Meter(meter, posted),
            _ => LedgerRow::Touched(LedgerKey::Meter(name.clone())),
        };
        Ok((name, row))
    };
    rows.iter().map(read).collect()
}

fn columns(table: &Table) -> String {
    let names: Vec<_> = table.columns().map(|column| column.name()).collect();
    names.join(", ")
}
