//! Prepaid balances over the store's ledger.

use std::sync::Arc;

use async_trait::async_trait;

use super::unmetered::quote;
use super::{Admission, Ask, Balance, Billing, Credit, Quote, Reading};
use crate::error::{Error, Result};
use crate::funds;
use crate::id::AccountId;
use crate::money::Money;
use crate::store::{
    Account, Changes, Condition, Meter, MeterTotal, Page, PodFilter, PodQuery, Store, Transfer,
    TransferQuery,
};
use crate::time::Time;
use crate::user::Role;

/// Prepaid balances: a launch needs one hour's price available, totals of meters are booked when they close.
///
/// ```
/// # use std::sync::Arc;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> neuropod_core::Result<()> {
/// use neuropod_core::billing::{Billing, Credit, Prepaid};
/// use neuropod_core::id::{AccountId, UserId};
/// use neuropod_core::memory::MemoryStore;
/// use neuropod_core::time::{Clock, SystemClock};
///
/// let billing = Prepaid::new(Arc::new(MemoryStore::new()));
/// let now = SystemClock::new().now();
/// let account = AccountId::of(UserId::from_bytes([7; 12]));
/// let credit = Credit {
///     id: "payment 4711".to_owned(), // the same one again is no second credit
///     account: account.clone(),
///     from: AccountId::from("funding"),
///     amount: "25".parse()?,
///     memo: "by card".to_owned(),
///     actor: None,
///     at: now,
/// };
/// billing.credit(&credit).await?;
/// billing.credit(&credit).await?;
/// assert_eq!(billing.balance(&account, now).await?.available, "25".parse()?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Prepaid {
    store: Arc<dyn Store>,
}

impl Prepaid {
    /// Over the ledger of `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Billing for Prepaid {
    async fn quote(&self, ask: &Ask) -> Result<Quote> {
        match ask.payer.role {
            Role::Client => quote(ask, AccountId::of(ask.payer.id)),
            // An unlimited payer's runs are booked on `grants`; nothing is held.
            Role::Admin => Ok(Quote {
                hold: Money::ZERO,
                ..quote(ask, AccountId::from("grants"))?
            }),
        }
    }

    async fn admit(&self, a: &Admission) -> Result<Vec<Condition>> {
        let payer = a.quote.terms.payer.clone();
        Ok(if payer.is_customer() {
            vec![Condition::Hold {
                payer,
                pod: a.pod,
                amount: a.quote.hold,
                at: a.at,
            }]
        } else {
            Vec::new()
        })
    }

    async fn settle(&self, readings: &[Reading]) -> Result<Vec<MeterTotal>> {
        let total = |r: &Reading| MeterTotal {
            meter: r.meter,
            payer: r.payer.clone(),
            total: r.total,
            last: r.last,
            at: r.at,
        };
        Ok(readings.iter().map(total).collect())
    }

    async fn credit(&self, c: &Credit) -> Result<()> {
        if c.amount <= Money::ZERO {
            return Err(Error::invalid("/amount", "A credit is more than nothing."));
        }
        let transfer = Transfer {
            id: c.id.clone(),
            debit: c.from.clone(),
            credit: c.account.clone(),
            amount: c.amount,
            memo: c.memo.clone(),
            actor: c.actor,
            at: c.at,
        };
        let touch = vec![c.account.clone()];
        self.store
            .commit(&Changes {
                now: c.at,
                touch,
                transfers: vec![transfer],
                ..Changes::default()
            })
            .await
    }

    async fn balance(&self, account: &AccountId, at: Time) -> Result<Balance> {
        let none = Account {
            id: account.clone(),
            posted: Money::ZERO,
            unlimited: false,
            version: 0,
        };
        let account = self.store.account(account).await?.unwrap_or(none);
        let mut pods = Vec::new();
        let mut query = PodQuery {
            filter: PodFilter::PaidBy(account.id.clone()),
            after: None,
            limit: 1000,
        };
        loop {
            let page = self.store.pods(&query).await?;
            pods.extend(page.items);
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        let meters: Vec<Meter> = pods
            .iter()
            .flat_map(|p| funds::meters(&account.id, p, at))
            .map(|(m, _)| m)
            .collect();
        let posted = self.store.meters(&meters).await?;
        let of = |m: Meter| meters.iter().position(|x| *x == m).and_then(|i| posted[i]);
        let balance = funds::balance(&account, &pods, of, at);
        let available = funds::available(&account, &pods, of, None, at);
        Ok(Balance {
            posted: account.posted,
            held: balance - available,
            available,
            unlimited: account.unlimited,
        })
    }

    async fn statement(&self, query: &TransferQuery) -> Result<Page<Transfer>> {
        self.store.transfers(query).await
    }
}
