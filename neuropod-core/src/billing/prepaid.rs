//! Prepaid balances over the store's ledger.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::unmetered::quote;
use super::{
    Adjusted, Adjustment, Admission, Ask, Balance, Billing, Credit, Quote, Reading, Settlement,
};
use crate::error::{Error, ErrorKind, Result};
use crate::funds;
use crate::id::AccountId;
use crate::money::{Money, price};
use crate::store::{
    Account, Condition, Meter, MeterTotal, Page, PodFilter, Store, StoreExt, Transfer,
    TransferQuery,
};
use crate::time::Time;
use crate::user::Role;

/// Prepaid balances: a launch needs the price of some time available, one hour if nothing else is said; totals of meters
/// are booked when they close; what runs dry is stopped.
///
/// ```
/// # use std::sync::Arc;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> neuropod_core::Result<()> {
/// use neuropod_core::Platform;
/// use neuropod_core::billing::{Credit, Prepaid};
/// use neuropod_core::id::{AccountId, UserId};
/// use neuropod_core::memory::MemoryStore;
///
/// let store = Arc::new(MemoryStore::new());
/// let billing = Prepaid::new(store.clone());
/// let platform = Platform::builder().store(store).billing(billing).build().await?;
/// let credit = Credit {
///     id: "payment 4711".to_owned(), // the same one again is no second credit
///     account: AccountId::of(UserId::from_bytes([7; 12])),
///     from: AccountId::from("funding"),
///     amount: "25".parse()?,
///     memo: "by card".to_owned(),
///     actor: None,
///     at: platform.clock().now(),
/// };
/// platform.book(&credit).await?;
/// assert_eq!(platform.book(&credit).await?.available, "25".parse()?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Prepaid {
    store: Arc<dyn Store>,
    hold_for: Duration,
}

impl Prepaid {
    /// Over the ledger of `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            hold_for: Duration::from_secs(3600),
        }
    }

    /// A launch or start needs the price of so much time available.
    pub fn hold_for(self, hold_for: Duration) -> Self {
        Self { hold_for, ..self }
    }
}

#[async_trait]
impl Billing for Prepaid {
    async fn quote(&self, ask: &Ask) -> Result<Quote> {
        match ask.payer.role {
            Role::Client => {
                let quote = quote(ask, AccountId::of(ask.payer.id))?;
                let hold = price(quote.per_hour(), self.hold_for);
                Ok(Quote { hold, ..quote })
            }
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

    async fn settle(&self, readings: &[Reading]) -> Result<Settlement> {
        let total = |r: &Reading| MeterTotal {
            meter: r.meter,
            payer: r.payer.clone(),
            total: r.total,
            last: r.last,
            at: r.at,
            used: r.used.clone(),
        };
        // What is written after the balance ran out must not come before what that leads to.
        let funded = |r: &Reading| Condition::Funded {
            payer: r.payer.clone(),
            at: r.at,
        };
        let customers = readings.iter().filter(|r| r.payer.is_customer());
        let mut conditions: Vec<_> = customers.map(funded).collect();
        conditions.dedup();
        Ok(Settlement {
            totals: readings.iter().map(total).collect(),
            conditions,
        })
    }

    async fn credit(&self, c: &Credit) -> Result<Vec<Transfer>> {
        if c.amount <= Money::ZERO {
            return Err(Error::invalid("/amount", "A credit is more than nothing."));
        }
        Ok(vec![Transfer {
            id: c.id.clone(),
            debit: c.from.clone(),
            credit: c.account.clone(),
            amount: c.amount,
            memo: c.memo.clone(),
            actor: c.actor,
            at: c.at,
            charge: None,
        }])
    }

    async fn adjust(&self, a: &Adjustment) -> Result<Adjusted> {
        // Read first: whatever changes what is read after it raises its version.
        let row = self.store.account(&a.account).await?;
        let balance = self.balance(&a.account, a.at).await?;
        if balance.unlimited {
            return Err(Error::new(
                ErrorKind::InvalidTransition,
                "This account never runs out, so it has no balance to set.",
            ));
        }
        let (debit, credit, amount) = if a.available >= balance.available {
            (&a.other, &a.account, a.available - balance.available)
        } else {
            (&a.account, &a.other, balance.available - a.available)
        };
        let transfer = (amount > Money::ZERO).then(|| Transfer {
            id: a.id.clone(),
            debit: debit.clone(),
            credit: credit.clone(),
            amount,
            memo: a.memo.clone(),
            actor: a.actor,
            at: a.at,
            charge: None,
        });
        // An account that is not there has nothing that could be spent meanwhile.
        let unchanged = row.map(|row| Condition::AccountAt {
            account: a.account.clone(),
            version: row.version,
        });
        Ok(Adjusted {
            transfers: transfer.into_iter().collect(),
            conditions: unchanged.into_iter().collect(),
        })
    }

    async fn balance(&self, account: &AccountId, at: Time) -> Result<Balance> {
        let there = self.store.account(account).await?;
        let account = there.unwrap_or_else(|| Account::new(account.clone()));
        let paid = PodFilter::PaidBy(account.id.clone());
        let pods = self.store.all_pods(paid).await?;
        let meters: Vec<Meter> = pods
            .iter()
            .flat_map(|p| funds::meters(&account.id, p, at))
            .map(|(m, _)| m)
            .collect();
        let posted = self.store.posted(&meters).await?;
        let of = |meter: Meter| posted.get(&meter).copied();
        let balance = funds::balance(&account, &pods, of, at);
        let available = funds::available(&account, &pods, of, None, at);
        let limited = !account.unlimited && account.id.is_customer();
        Ok(Balance {
            posted: account.posted,
            held: balance - available,
            available,
            unlimited: !limited,
            burn_per_hour: funds::burn(&account.id, &pods, at),
            runs_dry_at: limited
                .then(|| funds::runs_dry_at(&account, &pods, of))
                .flatten(),
        })
    }

    async fn statement(&self, query: &TransferQuery) -> Result<Page<Transfer>> {
        self.store.transfers(query).await
    }
}
