//! The trait of billing, and the two that are shipped: [`Unmetered`] and (over the store's ledger) [`Prepaid`].

mod prepaid;
mod unmetered;

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use prepaid::Prepaid;
pub use unmetered::Unmetered;

use crate::error::{Error, ErrorKind, Result};
use crate::id::{AccountId, PodId, UserId};
use crate::money::Money;
use crate::pod::{PodSpec, Terms};
use crate::pricing::PriceList;
use crate::store::{Condition, Meter, MeterTotal, Page, Transfer, TransferQuery, Used};
use crate::time::Time;
use crate::user::User;

/// Prices pods, admits launches, and settles meters. Totals are set, never added, so everything may be repeated.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Billing: fmt::Debug + Send + Sync + 'static {
    /// What a launch or start would cost, frozen into the run.
    async fn quote(&self, ask: &Ask) -> Result<Quote>;

    /// Whether it may happen: conditions that the store judges inside the one write. An outside biller reserves by
    /// (pod, generation), idempotently, and answers none.
    async fn admit(&self, admission: &Admission) -> Result<Vec<Condition>>;

    /// What the store is to post, and what must hold, inside the one write that opens, posts or closes a meter, so that
    /// no total comes from a row that has changed meanwhile. A meter is told with a total of nothing when it opens. An
    /// outside biller makes the total of each meter equal [`Reading::total`] by itself, idempotently, and answers
    /// nothing: open meters only go up; the last reading sets it exactly and closes the meter; a closed meter ignores
    /// everything.
    async fn settle(&self, readings: &[Reading]) -> Result<Settlement>;

    /// What is to be written so that money is booked onto an account, once per [`Credit::id`]. An outside biller books it by
    /// itself, idempotently, and answers nothing; the same id with other content is a `Conflict`.
    async fn credit(&self, credit: &Credit) -> Result<Vec<Transfer>>;

    /// What is to be written so that an account has just so much available: the transfers, and what must hold for them. An
    /// outside biller, whose money is elsewhere, has no answer to that.
    ///
    /// # Errors
    /// `Unsupported`; `InvalidTransition` for an account that never runs out.
    async fn adjust(&self, adjustment: &Adjustment) -> Result<Adjusted> {
        let _ = adjustment;
        Err(Error::new(
            ErrorKind::Unsupported,
            "This installation's balances are kept elsewhere; change them there.",
        ))
    }

    /// What an account has at `at`. When it runs dry, its pods are stopped and its volumes kept without charge, by
    /// what this says, so an outside biller can have that too.
    async fn balance(&self, account: &AccountId, at: Time) -> Result<Balance>;

    /// Transfers of an account, newest first.
    async fn statement(&self, query: &TransferQuery) -> Result<Page<Transfer>>;
}

/// Asks for a price.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Who will pay.
    pub payer: User,
    /// For what.
    pub spec: PodSpec,
    /// At these prices.
    pub prices: PriceList,
    /// The version of those prices.
    pub price_version: u64,
}

/// A price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// Payer, rates, price version: frozen into the run.
    pub terms: Terms,
    /// What must be available at launch.
    pub hold: Money,
    /// Its parts, per hour.
    pub parts: Vec<Part>,
}

impl Quote {
    /// All parts, per hour.
    pub fn per_hour(&self) -> Money {
        self.parts.iter().map(|part| part.per_hour).sum()
    }
}

/// A part of a price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Part {
    /// `gpu`, `containerDisk` or `volumeDisk`.
    pub name: String,
    /// Per hour.
    pub per_hour: Money,
}

/// A launch or start that wants to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Which pod.
    pub pod: PodId,
    /// Which generation of its wish.
    pub generation: u64,
    /// At which price.
    pub quote: Quote,
    /// When.
    pub at: Time,
}

/// The total of a meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Which meter.
    pub meter: Meter,
    /// Who pays.
    pub payer: AccountId,
    /// For which generation of the pod.
    pub generation: u64,
    /// The whole amount so far.
    pub total: Money,
    /// Nothing comes after this.
    pub last: bool,
    /// When it was read, in our time.
    pub at: Time,
    /// What was used for the total.
    pub used: Used,
}

/// What belongs into the write that a reading was taken for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settlement {
    /// What the store posts.
    pub totals: Vec<MeterTotal>,
    /// What must hold.
    pub conditions: Vec<Condition>,
}

/// Money for an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credit {
    /// Made by the caller, unique for ever.
    pub id: String,
    /// Whose.
    pub account: AccountId,
    /// Where it comes from: `funding` or `grants`.
    pub from: AccountId,
    /// More than nothing.
    pub amount: Money,
    /// What for, for people.
    pub memo: String,
    /// Who did it; `None` for the platform itself.
    pub actor: Option<UserId>,
    /// When, in our time.
    pub at: Time,
}

/// A balance that is to be what is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    /// Of the transfer; made by the caller, unique for ever.
    pub id: String,
    /// Whose.
    pub account: AccountId,
    /// What is to be available; not less than nothing.
    pub available: Money,
    /// Where the difference comes from, or goes to.
    pub other: AccountId,
    /// What for, for people.
    pub memo: String,
    /// Who did it; `None` for the platform itself.
    pub actor: Option<UserId>,
    /// When, in our time.
    pub at: Time,
}

/// What an [`Adjustment`] leads to, in one write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Adjusted {
    /// One, or none if it is so already.
    pub transfers: Vec<Transfer>,
    /// That nothing has changed meanwhile.
    pub conditions: Vec<Condition>,
}

/// What an account has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// All transfers.
    pub posted: Money,
    /// Set aside and not used up yet.
    pub held: Money,
    /// What a launch may use.
    pub available: Money,
    /// Never runs out.
    pub unlimited: bool,
    /// What everything that is metered now costs per hour.
    pub burn_per_hour: Money,
    /// The last instant at which there is something left, if all goes on as it does; `None` if it lasts.
    pub runs_dry_at: Option<Time>,
}

impl Balance {
    /// Of an account that never runs out, and that nothing is known of.
    pub fn unlimited() -> Self {
        Self {
            posted: Money::ZERO,
            held: Money::ZERO,
            available: Money::ZERO,
            unlimited: true,
            burn_per_hour: Money::ZERO,
            runs_dry_at: None,
        }
    }

    /// What is left, holds included.
    pub fn left(&self) -> Money {
        self.available + self.held
    }
}
