//! Keeps NeuroPod's rows in SQLite or PostgreSQL: [`SqlStore`].

mod batch;
mod dialect;
mod documents;
mod error;
mod events;
mod leases;
mod ledger;
mod notify;
mod open;
mod pods;
mod proof;
mod seal;
mod table;
mod users;
mod work;
mod writer;

use std::fmt;

use async_trait::async_trait;
use futures::stream::BoxStream;
use neuropod_core::Result;
use neuropod_core::id::{AccountId, PodId, UserId};
use neuropod_core::pod::Pod;
use neuropod_core::store::{
    Account, Changes, Claim, DocQuery, Document, EventPage, EventQuery, Lease, LedgerQuery,
    LedgerRow, Meter, Page, PodQuery, Posted, Store, Transfer, TransferQuery, UserQuery, Work,
};
use neuropod_core::user::User;
use sqlx::AnyPool;
use tokio::task::JoinSet;

use crate::dialect::Dialect;
use crate::error::ours;
use crate::notify::Hints;
use crate::table::Db;
use crate::writer::Writer;

/// A store over SQLite (`sqlite://neuropod.db`) or PostgreSQL (`postgres://user:password@host/database`).
///
/// ```no_run
/// # async fn open() -> neuropod_core::Result<()> {
/// use neuropod_core::Platform;
/// use neuropod_store::SqlStore;
///
/// let store = SqlStore::open("sqlite://neuropod.db").await?; // makes the file, and its tables
/// let platform = Platform::builder().store(store).build().await?;
/// # drop(platform);
/// # Ok(())
/// # }
/// ```
pub struct SqlStore {
    /// Connections that read.
    pool: AnyPool,
    dialect: Dialect,
    installation: String,
    writer: Writer,
    /// Changes that this process has made.
    local: Hints,
    /// Changes that anybody has made.
    hints: Hints,
    /// Exchange hints with other processes.
    _sharing: JoinSet<()>,
}

impl fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the pool: its URL may have a password.
        f.debug_struct("SqlStore")
            .field("dialect", &self.dialect)
            .field("installation", &self.installation)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn commit(&self, changes: &Changes) -> Result<()> {
        // Before any of it is looked for in the database.
        changes.check()?;
        self.writer.commit(changes).await?;
        self.local.give();
        self.hints.give();
        Ok(())
    }

    async fn pod(&self, id: PodId) -> Result<Option<Pod>> {
        pods::one(&self.pool, id).await
    }

    async fn pods(&self, query: &PodQuery) -> Result<Page<Pod>> {
        pods::page(&self.pool, query).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        users::one(&self.pool, id).await
    }

    async fn users(&self, query: &UserQuery) -> Result<Page<User>> {
        users::page(&self.pool, query).await
    }

    async fn account(&self, id: &AccountId) -> Result<Option<Account>> {
        ledger::account(&self.pool, id).await
    }

    async fn transfers(&self, query: &TransferQuery) -> Result<Page<Transfer>> {
        ledger::transfers(&self.pool, query).await
    }

    async fn meters(&self, meters: &[Meter]) -> Result<Vec<Option<Posted>>> {
        let connection = self.pool.acquire().await;
        let mut connection = connection.map_err(|e| ours(e, "read meters"))?;
        let mut db = Db {
            connection: &mut connection,
            dialect: self.dialect,
        };
        ledger::meters(&mut db, meters).await
    }

    async fn ledger(&self, query: &LedgerQuery) -> Result<Page<LedgerRow>> {
        proof::page(&self.pool, query).await
    }

    async fn leases(&self, prefix: &str) -> Result<Vec<Lease>> {
        leases::starting_with(&self.pool, prefix).await
    }

    async fn documents(&self, query: &DocQuery) -> Result<Page<Document>> {
        documents::page(&self.pool, query).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Work>> {
        let due = work::is_due(&self.pool, claim.now).await;
        if !due.map_err(|e| ours(e, "look for work"))? {
            return Ok(Vec::new());
        }
        self.writer.claim(claim).await
    }

    async fn events(&self, query: &EventQuery) -> Result<EventPage> {
        events::page(&self.pool, self.dialect, &self.installation, query).await
    }

    async fn newest(&self) -> Result<String> {
        events::newest(&self.pool, self.dialect, &self.installation).await
    }

    async fn changed(&self) -> Result<BoxStream<'static, ()>> {
        Ok(self.hints.stream())
    }

    async fn installation(&self) -> Result<String> {
        Ok(self.installation.clone())
    }
}
