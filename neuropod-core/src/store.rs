//! The trait of stores: one atomic write, plain reads.
//!
//! Whoever writes a store of his own finds what a commit does, as pure functions over rows, in [`Tables`]: load the
//! rows that a write names, [`Tables::judge`] it, write down what that answers.

mod chain;
mod charge;
mod judge;
mod pages;
mod places;
mod proof;
mod tables;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::event::{Event, NewEvent};
use crate::id::{AccountId, GpuId, PodId, Token, UserId};
use crate::money::Money;
use crate::pod::Pod;
use crate::time::Time;
use crate::user::User;

pub use chain::{Booked, Link};
pub use charge::{Charge, Used};
pub use pages::prefix_end;
pub use proof::{LedgerFilter, LedgerKey, LedgerQuery, LedgerRow};
pub use tables::{Tables, Wish, Writes};

/// Keeps everything. [`commit`](Store::commit) is the only way anything changes.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// All or nothing: checks every version and condition, then writes everything. Durable when it returns.
    ///
    /// # Errors
    /// `Conflict` if a version, lease token or unique key does not match; `Condition` with the first condition that
    /// does not hold; `Unreachable` if nothing is known about the outcome. In the first two nothing has happened.
    async fn commit(&self, changes: &Changes) -> Result<()>;

    /// One pod, tombstones too.
    async fn pod(&self, id: PodId) -> Result<Option<Pod>>;
    /// Pods, a page at a time.
    async fn pods(&self, query: &PodQuery) -> Result<Page<Pod>>;
    /// One user.
    async fn user(&self, id: UserId) -> Result<Option<User>>;
    /// Users by id, a page at a time.
    async fn users(&self, query: &UserQuery) -> Result<Page<User>>;
    /// One account of the ledger.
    async fn account(&self, id: &AccountId) -> Result<Option<Account>>;
    /// Transfers of an account, newest first, a page at a time.
    async fn transfers(&self, query: &TransferQuery) -> Result<Page<Transfer>>;
    /// The posted totals of meters, in the order asked; a meter nobody posted to is `None`.
    async fn meters(&self, meters: &[Meter]) -> Result<Vec<Option<Posted>>>;
    /// Rows of the ledger for [`crate::ledger::verify`], a page at a time.
    async fn ledger(&self, query: &LedgerQuery) -> Result<Page<LedgerRow>>;
    /// Leases whose resource starts with `prefix`, in order.
    async fn leases(&self, prefix: &str) -> Result<Vec<Lease>>;
    /// Documents, a page at a time. Expired ones are not there.
    async fn documents(&self, query: &DocQuery) -> Result<Page<Document>>;

    /// Up to `limit` pieces of work that are due and not leased, leased until `now + lease` with a new token. Two
    /// callers never get the same piece. Claiming does not clear the wish: it stays until it is finished.
    async fn claim(&self, claim: &Claim) -> Result<Vec<Work>>;

    /// Events after a cursor, in an order that never reveals an earlier event later: so one may show a little after its
    /// commit has returned, once no earlier one can come. They are kept until there is one that is 7 days younger.
    async fn events(&self, query: &EventQuery) -> Result<EventPage>;

    /// The cursor after every event that shows now: asked from there, only later ones come.
    async fn newest(&self) -> Result<String>;

    /// Hints that events or due work may exist; may be silent for ever.
    async fn changed(&self) -> Result<BoxStream<'static, ()>>;

    /// The id of this installation, made when the store was made.
    async fn installation(&self) -> Result<String>;
}

/// One atomic write. Rows carry the version they were read at; the stored row gets that version + 1. Version 0
/// creates, and is a `Conflict` if the row is there.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Changes {
    /// Our time: documents that have expired by then count as not there.
    pub now: Time,
    /// What must hold, judged on the committed state *before* this write.
    pub conditions: Vec<Condition>,
    /// Accounts to lock first and whose version is raised: every commit that opens, records or closes a meter or
    /// sets a cutoff names the payer. One that is not there yet is made, with nothing on it.
    pub touch: Vec<AccountId>,
    /// Pods to create or replace.
    pub pods: Vec<Pod>,
    /// Users to create or replace.
    pub users: Vec<User>,
    /// Users to remove.
    pub forget_users: Vec<UserId>,
    /// Whether accounts are unlimited; made if not there.
    pub accounts: Vec<AccountChange>,
    /// Documents to create, replace or remove.
    pub documents: Vec<DocChange>,
    /// Transfers to write; an id that is there with the same content is a no-op, with other content a `Conflict`.
    pub transfers: Vec<Transfer>,
    /// Totals of meters to set. See [`MeterTotal`].
    pub meters: Vec<MeterTotal>,
    /// Leases to take or free.
    pub leases: Vec<LeaseChange>,
    /// Events to append.
    pub events: Vec<NewEvent>,
    /// Work to wake.
    pub wakes: Vec<Wake>,
    /// One leased piece of work that is finished by this write.
    pub finish: Option<Finish>,
}

/// Something that must hold for a commit to happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// The payer's available balance at `at`, leaving out what `pod` itself holds, covers `amount`. Always true for
    /// an unlimited account. Judged by [`crate::funds::available`].
    Hold {
        /// Who pays.
        payer: AccountId,
        /// Whose own hold is left out.
        pod: PodId,
        /// What must be available.
        amount: Money,
        /// When.
        at: Time,
    },
    /// The payer's balance at `at` is not below zero. Always true for an unlimited account. Judged by
    /// [`crate::funds::balance`].
    Funded {
        /// Who pays.
        payer: AccountId,
        /// When.
        at: Time,
    },
    /// No pod but `except` waits for this product.
    NobodyQueued {
        /// The product: an entry of the price list.
        product: GpuId,
        /// Who does not count.
        except: PodId,
    },
    /// The owner has fewer than `max` pods whose delete was not accepted yet.
    FewerPods {
        /// Whose pods.
        owner: UserId,
        /// The limit.
        max: u32,
    },
    /// The user is there at this version.
    UserAt {
        /// Which user.
        user: UserId,
        /// At which version.
        version: u64,
    },
    /// The account is there at this version: nothing that it pays for was opened, recorded, closed or cut meanwhile.
    AccountAt {
        /// Which account.
        account: AccountId,
        /// At which version.
        version: u64,
    },
    /// The lease can be taken: judged when a [`LeaseChange::Take`] finds another holder.
    LeaseFree {
        /// Which resource.
        resource: String,
    },
}

/// A page of rows in the order of the query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Ask again with this as `after` for more; `None` at the end.
    pub next: Option<String>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            next: None,
        }
    }
}

/// Which pods. Those at the same position come by id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PodFilter {
    /// Every pod that is not a tombstone, by id.
    Alive,
    /// An owner's pods whose delete was not accepted yet, newest first.
    OwnedBy(UserId),
    /// Pods of an owner that are not tombstones, by id.
    LeftOf(UserId),
    /// Pods with an open run, a hold, or a volume that is not closed, that this account pays for, by id.
    PaidBy(AccountId),
    /// Pods that wait for this product, the longest wait first.
    QueuedFor(GpuId),
    /// Pods with an open run, by id.
    Open,
    /// Tombstones, by id.
    Tombstones,
}

/// Which pods, and how many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodQuery {
    /// Which; also sets the order.
    pub filter: PodFilter,
    /// Where the last page ended.
    pub after: Option<String>,
    /// At most so many, 1 to 1000.
    pub limit: u32,
}

/// Which users.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UserQuery {
    /// Only those whose e-mail or name contains this, in any case; not a pattern.
    pub contains: Option<String>,
    /// Where the last page ended.
    pub after: Option<String>,
    /// At most so many, 1 to 1000.
    pub limit: u32,
}

/// An account of the ledger. Only customers' accounts are rows: those of the platform itself would be hot, so
/// theirs are added up when they are read, are never locked, have version 0, and never run out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Credits less debits of all transfers.
    pub posted: Money,
    /// Never runs out; nothing is held.
    pub unlimited: bool,
    /// Raised by every write that touches it.
    pub version: u64,
    /// The end of its chain.
    pub head: Link,
}

impl Account {
    /// One that was never touched.
    pub fn new(id: AccountId) -> Self {
        Self {
            id,
            posted: Money::ZERO,
            unlimited: false,
            version: 0,
            head: Link::default(),
        }
    }
}

/// Makes an account, or sets whether it is unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountChange {
    /// Which account.
    pub id: AccountId,
    /// Whether it never runs out.
    pub unlimited: bool,
}

/// Money that moved from one account to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Made by the caller, unique for ever. What begins with `meter/` is the store's own.
    pub id: String,
    /// Where it went from.
    pub debit: AccountId,
    /// Where it went to.
    pub credit: AccountId,
    /// More than nothing.
    pub amount: Money,
    /// What for, for people.
    pub memo: String,
    /// Who did it; `None` for the platform itself.
    pub actor: Option<UserId>,
    /// When, in our time. Not part of the content that is compared.
    pub at: Time,
    /// What for, if the store booked it for a meter; a caller's own transfers have none.
    pub charge: Option<Charge>,
}

/// Which transfers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferQuery {
    /// Of which account, debit or credit.
    pub account: AccountId,
    /// Where the last page ended.
    pub after: Option<String>,
    /// At most so many, 1 to 1000.
    pub limit: u32,
}

/// What is metered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Meter {
    /// One run: GPU and container disk.
    Run(PodId, u32),
    /// A pod's volume.
    Volume(PodId),
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(pod, n) => write!(f, "run/{pod}/{n}"),
            Self::Volume(pod) => write!(f, "volume/{pod}"),
        }
    }
}

impl FromStr for Meter {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let other = || Error::invalid("", "A meter is run/<pod>/<number> or volume/<pod>.");
        let meter = match s.split_once('/').ok_or_else(other)? {
            ("run", rest) => {
                let (pod, n) = rest.split_once('/').ok_or_else(other)?;
                Self::Run(pod.parse()?, n.parse().map_err(|_| other())?)
            }
            ("volume", pod) => Self::Volume(pod.parse()?),
            _ => return Err(other()),
        };
        // So that no two texts are one meter.
        Some(meter)
            .filter(|meter| meter.to_string() == s)
            .ok_or_else(other)
    }
}

/// Makes the posted total of a meter equal `total`: never "add". While a meter is open its total only goes up, and
/// a lower one is a no-op; `last` sets it exactly (a refund if need be) and closes it; a closed meter ignores
/// everything. The store books the difference as one transfer between the payer and `revenue`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterTotal {
    /// Which meter.
    pub meter: Meter,
    /// Who pays: a customer's account, or `grants` for an unlimited payer.
    pub payer: AccountId,
    /// The whole amount since the meter was opened.
    pub total: Money,
    /// Nothing comes after this.
    pub last: bool,
    /// When, in our time.
    pub at: Time,
    /// What was used for all of that, since the meter was opened.
    pub used: Used,
}

/// What is posted of a meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// The total.
    pub total: Money,
    /// Nothing more comes.
    pub closed: bool,
    /// The end of the span that it covers; `None` in rows of earlier releases.
    pub until: Option<Time>,
}

/// A resource of which there is one: a device or a host port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// `device/<uuid>` or `port/<number>`.
    pub resource: String,
    /// Whose it is; `None` while it is set aside for nobody.
    pub pod: Option<PodId>,
    /// When it may be taken from nobody; `None` for never.
    pub until: Option<Time>,
}

impl Lease {
    /// Whether anybody may take it at `at`: it was set aside until then at the latest.
    pub fn is_free(&self, at: Time) -> bool {
        self.pod.is_none() && self.until.is_some_and(|until| until <= at)
    }
}

/// Takes or frees a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseChange {
    /// Makes it `pod`'s; a no-op if it is already; [`Condition::LeaseFree`] fails if it is somebody else's, or set
    /// aside until after `at`.
    Take {
        /// Which resource.
        resource: String,
        /// For whom.
        pod: PodId,
        /// When, in our time.
        at: Time,
    },
    /// Frees it if it is `pod`'s, else a no-op.
    Free {
        /// Which resource.
        resource: String,
        /// Whose.
        pod: PodId,
    },
    /// Takes it from `pod` and sets it aside for nobody; a no-op if it is not `pod`'s.
    SetAside {
        /// Which resource.
        resource: String,
        /// Whose it was.
        pod: PodId,
        /// Until when; `None` until somebody clears it.
        until: Option<Time>,
    },
    /// Clears a resource that is set aside; a no-op if it is not.
    Clear {
        /// Which resource.
        resource: String,
    },
}

/// A small versioned JSON value: a template, a price list, a session, an activity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// What it is, `template`.
    pub kind: String,
    /// Its key, unique within the kind.
    pub key: String,
    /// The value.
    pub body: serde_json::Value,
    /// Up to three values to find it by.
    pub index: [Option<String>; 3],
    /// When it is gone by itself.
    pub expires_at: Option<Time>,
    /// Raised by every write; 0 in one that is to be created. One that has expired counts as not there.
    pub version: u64,
}

/// Writes or removes a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum DocChange {
    /// Creates or replaces.
    Put(Document),
    /// Removes; `Conflict` if it is not at that version.
    Remove {
        /// Its kind.
        kind: String,
        /// Its key.
        key: String,
        /// The version it was read at.
        version: u64,
    },
}

impl DocChange {
    /// Takes `document` away, if it is as it was read.
    pub fn remove(document: &Document) -> Self {
        Self::Remove {
            kind: document.kind.clone(),
            key: document.key.clone(),
            version: document.version,
        }
    }
}

/// Which documents, by key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DocQuery {
    /// The kind.
    pub kind: String,
    /// Only keys that start with this.
    pub prefix: String,
    /// Only those whose index value of that number (0 to 2) equals the text.
    pub index: Option<(u8, String)>,
    /// In falling order of keys.
    pub newest_first: bool,
    /// Where the last page ended.
    pub after: Option<String>,
    /// At most so many, 1 to 1000.
    pub limit: u32,
    /// What has expired by then is not there.
    pub now: Time,
}

/// What a piece of work is about. The order is that of the texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WorkKey {
    /// One account.
    Account(AccountId),
    /// One pod.
    Pod(PodId),
    /// The queue for one product.
    Queue(GpuId),
    /// The sweep over one backend.
    Sweep(String),
}

impl fmt::Display for WorkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(id) => write!(f, "pod/{id}"),
            Self::Account(id) => write!(f, "account/{id}"),
            Self::Queue(id) => write!(f, "queue/{id}"),
            Self::Sweep(backend) => write!(f, "sweep/{backend}"),
        }
    }
}

/// Makes work due: `due = min(due, at)`, and raises its wake number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wake {
    /// What.
    pub key: WorkKey,
    /// When, in our time.
    pub at: Time,
}

/// Asks for work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// At most so many.
    pub limit: u32,
    /// Our time.
    pub now: Time,
    /// How long nobody else gets it.
    pub lease: Duration,
}

/// A leased piece of work. While it is leased its due time is the end of the lease, so a wake meanwhile shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// What it is about.
    pub key: WorkKey,
    /// Proof of the lease.
    pub token: Token,
    /// How often it had been woken when it was claimed.
    pub wake: u64,
}

/// Finishes leased work. `Conflict` if the token is not the lease's any more. If it was woken since the claim the
/// wish stays, due at the earliest of those wakes and `next`; otherwise it is due at `next`, or gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// The work as it was claimed.
    pub work: Work,
    /// When to look again in any case.
    pub next: Option<Time>,
}

/// Which events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventQuery {
    /// After this one; `None` from the oldest there is.
    pub after: Option<String>,
    /// At most so many, 1 to 1000.
    pub limit: u32,
}

/// Events in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Ask from here next time, even if there were none.
    pub cursor: String,
    /// The cursor asked for is too old or of another life of the database: events may be missing before these.
    pub reset: bool,
}

/// What follows from [`Store`]'s own methods.
#[async_trait]
pub trait StoreExt: Store {
    /// One document, if it is there and has not expired.
    async fn document(&self, kind: &str, key: &str, now: Time) -> Result<Option<Document>> {
        let query = DocQuery {
            kind: kind.to_owned(),
            prefix: key.to_owned(),
            limit: 1,
            now,
            ..DocQuery::default()
        };
        // Keys come in order, so the key itself comes before the longer ones that start with it.
        Ok(self
            .documents(&query)
            .await?
            .items
            .into_iter()
            .next()
            .filter(|d| d.key == key))
    }

    /// What is posted of these meters; nothing of those that are not known.
    async fn posted(&self, meters: &[Meter]) -> Result<BTreeMap<Meter, Posted>> {
        let posted = self.meters(meters).await?;
        let known = meters.iter().zip(posted);
        Ok(known
            .filter_map(|(meter, posted)| Some((*meter, posted?)))
            .collect())
    }

    /// Every pod of a filter, page by page.
    async fn all_pods(&self, filter: PodFilter) -> Result<Vec<Pod>> {
        let mut query = PodQuery {
            filter,
            after: None,
            limit: 1000,
        };
        let mut pods = Vec::new();
        loop {
            let page = self.pods(&query).await?;
            pods.extend(page.items);
            query.after = page.next;
            if query.after.is_none() {
                return Ok(pods);
            }
        }
    }
}

impl<T: Store + ?Sized> StoreExt for T {}
