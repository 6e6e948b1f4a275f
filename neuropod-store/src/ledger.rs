//! Accounts, transfers, and the totals of meters.

use std::collections::BTreeMap;
use std::sync::Arc;

use neuropod_core::id::AccountId;
use neuropod_core::money::Money;
use neuropod_core::store::{
    Account, Booked, Charge, Link, Meter, Page, Posted, Tables, Transfer, TransferQuery, Used,
};
use neuropod_core::{Error, Result, Time};
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row};

use crate::batch::Touched;
use crate::error::{ours, parse};
use crate::events::Position;
use crate::seal::SEAL;
use crate::table::Column::{Int, Text};
use crate::table::{Db, Table};

pub(crate) const ACCOUNTS: Table = Table {
    name: "accounts",
    key: &[Text("id")],
    rest: &[
        Int("posted"),
        Int("unlimited"),
        Int("version"),
        Int("transfers"),
        Text("head"),
        SEAL,
    ],
};

pub(crate) const TRANSFERS: Table = Table {
    name: "transfers",
    key: &[Text("id")],
    rest: &[
        Int("epoch"),
        Int("xid"),
        Int("n"),
        Text("debit"),
        Text("credit"),
        Int("amount"),
        Text("memo"),
        Text("actor"),
        Int("at"),
        Text("meter"),
        Text("product"),
        Int("quantity"),
        Int("rate"),
        Int("used_from"),
        Int("used_to"),
        Int("debit_seq"),
        Text("debit_hash"),
        Int("credit_seq"),
        Text("credit_hash"),
        SEAL,
    ],
};

pub(crate) const METERS: Table = Table {
    name: "meters",
    key: &[Text("meter")],
    rest: &[Int("total"), Int("closed"), Int("until"), SEAL],
};

/// Loads these accounts, locked.
pub(crate) async fn load_accounts(
    db: &mut Db<'_>,
    ids: impl IntoIterator<Item = &AccountId>,
    tables: &mut Tables,
) -> sqlx::Result<()> {
    let keys = ids.into_iter().map(|id| json!({ "id": id }));
    for row in ACCOUNTS.load(db, keys.collect()).await? {
        let account = read_account(&row)?;
        tables.accounts.insert(account.id.clone(), account);
    }
    Ok(())
}

pub(crate) fn read_account(row: &AnyRow) -> sqlx::Result<Account> {
    Ok(Account {
        id: AccountId::new(row.try_get::<String, _>(0)?),
        posted: Money::from_micros(row.try_get(1)?),
        unlimited: row.try_get::<i64, _>(2)? != 0,
        version: row.try_get::<i64, _>(3)?.unsigned_abs(),
        head: read_link(row, 4)?.unwrap_or_default(),
    })
}

/// The place in a chain that stands in two columns from `first` on.
fn read_link(row: &AnyRow, first: usize) -> sqlx::Result<Option<Link>> {
    let Some(seq) = row.try_get::<Option<i64>, _>(first)? else {
        return Ok(None);
    };
    Ok(Some(Link {
        seq: seq.unsigned_abs(),
        hash: parse(row.try_get(first + 1)?)?,
    }))
}

/// Writes these accounts as they are in `tables`.
pub(crate) async fn save_accounts(
    db: &mut Db<'_>,
    touched: &Touched<AccountId>,
    tables: &Tables,
) -> sqlx::Result<()> {
    let row = |id: &AccountId| {
        let account = &tables.accounts[id];
        Some(ACCOUNTS.sealed(json!({
            "id": id,
            "posted": account.posted.as_micros(),
            "unlimited": i64::from(account.unlimited),
            "version": account.version,
            "transfers": account.head.seq,
            "head": account.head.hash,
        })))
    };
    ACCOUNTS
        .save(db, touched, |id| json!({ "id": id }), row)
        .await
}

/// Loads those of these transfers that are there.
pub(crate) async fn load_transfers(
    db: &mut Db<'_>,
    ids: impl IntoIterator<Item = &String>,
    tables: &mut Tables,
) -> sqlx::Result<()> {
    let keys = ids.into_iter().map(|id| json!({ "id": id }));
    for row in TRANSFERS.load(db, keys.collect()).await? {
        let booked = read_booked(&row)?;
        let id = booked.transfer.id.clone();
        tables.transfers.insert(id, Arc::new(booked));
    }
    Ok(())
}

pub(crate) fn read_booked(row: &AnyRow) -> sqlx::Result<Booked> {
    Ok(Booked {
        transfer: read_transfer(row)?,
        debit: read_link(row, 16)?,
        credit: read_link(row, 18)?,
    })
}

fn read_transfer(row: &AnyRow) -> sqlx::Result<Transfer> {
    let actor = row.try_get::<Option<String>, _>(8)?;
    Ok(Transfer {
        id: row.try_get(0)?,
        debit: AccountId::new(row.try_get::<String, _>(4)?),
        credit: AccountId::new(row.try_get::<String, _>(5)?),
        amount: Money::from_micros(row.try_get(6)?),
        memo: row.try_get(7)?,
        actor: actor.as_deref().map(parse).transpose()?,
        at: Time::from_micros(row.try_get(9)?),
        charge: read_charge(row)?,
    })
}

fn read_charge(row: &AnyRow) -> sqlx::Result<Option<Charge>> {
    // Not there for what is no meter's, and in rows of earlier releases.
    let Some(meter) = row.try_get::<Option<String>, _>(10)? else {
        return Ok(None);
    };
    let number = |e| sqlx::Error::Decode(Box::new(e));
    Ok(Some(Charge {
        meter: parse(&meter)?,
        used: Used {
            product: row.try_get(11)?,
            quantity: u32::try_from(row.try_get::<i64, _>(12)?).map_err(number)?,
            rate: Money::from_micros(row.try_get(13)?),
            from: Time::from_micros(row.try_get(14)?),
            to: Time::from_micros(row.try_get(15)?),
        },
    }))
}

/// Writes new transfers, from `first` on in their order.
pub(crate) async fn insert_transfers(
    db: &mut Db<'_>,
    first: Position,
    transfers: &[Booked],
) -> sqlx::Result<()> {
    let rows = (first.n..).zip(transfers).map(|(n, booked)| {
        let t = &booked.transfer;
        let used = t.charge.as_ref().map(|c| &c.used);
        TRANSFERS.sealed(json!({
            "id": t.id,
            "epoch": first.epoch,
            "xid": first.xid,
            "n": n,
            "debit": t.debit,
            "credit": t.credit,
            "amount": t.amount.as_micros(),
            "memo": t.memo,
            "actor": t.actor,
            "at": t.at.as_micros(),
            "meter": t.charge.as_ref().map(|c| c.meter.to_string()),
            "product": used.map(|u| &u.product),
            "quantity": used.map(|u| u.quantity),
            "rate": used.map(|u| u.rate.as_micros()),
            "used_from": used.map(|u| u.from.as_micros()),
            "used_to": used.map(|u| u.to.as_micros()),
            "debit_seq": booked.debit.map(|link| link.seq),
            "debit_hash": booked.debit.map(|link| link.hash),
            "credit_seq": booked.credit.map(|link| link.seq),
            "credit_hash": booked.credit.map(|link| link.hash),
        }))
    });
    TRANSFERS.insert(db, rows.collect()).await
}

/// Loads what is posted of these meters, locked.
pub(crate) async fn load_meters(
    db: &mut Db<'_>,
    meters: impl IntoIterator<Item = Meter>,
    tables: &mut Tables,
) -> sqlx::Result<()> {
    let meters = by_text(meters);
    let keys = meters.keys().map(meter_key).collect();
    for row in METERS.load(db, keys).await? {
        let meter = meters[row.try_get::<&str, _>(0)?];
        tables.meters.insert(meter, read_posted(&row)?);
    }
    Ok(())
}

fn by_text(meters: impl IntoIterator<Item = Meter>) -> BTreeMap<String, Meter> {
    meters.into_iter().map(|m| (m.to_string(), m)).collect()
}

fn meter_key(meter: &impl ToString) -> Value {
    json!({ "meter": meter.to_string() })
}

pub(crate) fn read_posted(row: &AnyRow) -> sqlx::Result<Posted> {
    Ok(Posted {
        total: Money::from_micros(row.try_get(1)?),
        closed: row.try_get::<i64, _>(2)? != 0,
        until: row.try_get::<Option<i64>, _>(3)?.map(Time::from_micros),
    })
}

/// Writes these meters as they are in `tables`.
pub(crate) async fn save_meters(
    db: &mut Db<'_>,
    touched: &Touched<Meter>,
    tables: &Tables,
) -> sqlx::Result<()> {
    let row = |meter: &Meter| {
        let posted = tables.meters[meter];
        Some(METERS.sealed(json!({
            "meter": meter.to_string(),
            "total": posted.total.as_micros(),
            "closed": i64::from(posted.closed),
            "until": posted.until.map(Time::as_micros),
        })))
    };
    METERS.save(db, touched, meter_key, row).await
}

/// One account.
pub(crate) async fn account(pool: &AnyPool, id: &AccountId) -> Result<Option<Account>> {
    let read = async {
        if id.is_customer() {
            let sql = "SELECT id, posted, unlimited, version, transfers, head FROM accounts \
                       WHERE id = $1";
            let row = sqlx::query(sql)
                .bind(id.as_str())
                .fetch_optional(pool)
                .await?;
            return row.as_ref().map(read_account).transpose();
        }
        let sql = "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT), COUNT(*) FROM ( \
                   SELECT amount FROM transfers WHERE credit = $1 UNION ALL \
                   SELECT -amount FROM transfers WHERE debit = $1) AS t";
        let row = sqlx::query(sql).bind(id.as_str()).fetch_one(pool).await?;
        let posted = Money::from_micros(row.try_get(0)?);
        let there = row.try_get::<i64, _>(1)? > 0;
        Ok(there.then(|| Account {
            posted,
            unlimited: true,
            ..Account::new(id.clone())
        }))
    };
    read.await.map_err(|e| ours(e, "read an account"))
}

/// A page of transfers.
pub(crate) async fn transfers(pool: &AnyPool, query: &TransferQuery) -> Result<Page<Transfer>> {
    let limit = Page::<Transfer>::limit(query.limit)?;
    let before = match query.after.as_deref().map(str::parse::<Position>) {
        None => Position::END,
        Some(Ok(position)) => position,
        Some(Err(_)) => {
            let message = "This is not where a page of transfers ended.";
            return Err(Error::invalid("/after", message));
        }
    };
    const SQL: &str = "SELECT * FROM (SELECT * FROM ( \
             SELECT * FROM transfers WHERE debit = $1 AND (epoch, xid, n) < ($2, $3, $4) \
             ORDER BY epoch DESC, xid DESC, n DESC LIMIT 0 + $5) AS d \
         UNION ALL SELECT * FROM ( \
             SELECT * FROM transfers WHERE credit = $1 AND (epoch, xid, n) < ($2, $3, $4) \
             ORDER BY epoch DESC, xid DESC, n DESC LIMIT 0 + $5) AS c) AS t \
         ORDER BY epoch DESC, xid DESC, n DESC LIMIT 0 + $5";
    let read = async {
        let rows = sqlx::query(SQL)
            .bind(query.account.as_str())
            .bind(before.epoch)
            .bind(before.xid)
            .bind(before.n)
            .bind(limit as i64 + 1)
            .fetch_all(pool)
            .await?;
        let read = |row: &AnyRow| Ok((Position::read(row, 1)?, read_transfer(row)?));
        rows.iter().map(read).collect()
    };
    let rows: sqlx::Result<Vec<(Position, Transfer)>> = read.await;
    let rows = rows.map_err(|e| ours(e, "list transfers"))?;
    let page = Page::of(rows, limit, |(position, _)| position.to_string());
    Ok(page.map(|(_, transfer)| transfer))
}

/// What is posted of meters, in the order asked.
pub(crate) async fn meters(db: &mut Db<'_>, meters: &[Meter]) -> Result<Vec<Option<Posted>>> {
    let keys = by_text(meters.iter().copied());
    let read = async {
        let rows = METERS
            .read(db, keys.keys().map(meter_key).collect())
            .await?;
        let posted = |row: &AnyRow| Ok((keys[row.try_get::<&str, _>(0)?], read_posted(row)?));
        rows.iter().map(posted).collect()
    };
    let posted: sqlx::Result<BTreeMap<Meter, Posted>> = read.await;
    let posted = posted.map_err(|e| ours(e, "read meters"))?;
    Ok(meters.iter().map(|m| posted.get(m).copied()).collect())
}
