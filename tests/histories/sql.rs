//! Histories over a database.
//!
//! Its answers take real time, and tokio's paused clock jumps ahead whenever every task waits: a history would race
//! through its minutes while the disk writes. So each call holds the history's only thread until the database, on
//! threads of its own, has answered. The clock can't go on meanwhile, nothing comes between a check and the commit it
//! is about, and a call takes no time but what `Faulty` gives it: as over the store in memory.

use std::sync::Arc;
use std::sync::mpsc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use neuropod::Result;
use neuropod::id::{AccountId, PodId, UserId};
use neuropod::pod::Pod;
use neuropod::sql::SqlStore;
use neuropod::store::*;
use neuropod::user::User;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::driver;
use crate::watched::Record;

/// The history of `seed`, over the empty database at `url`.
pub(crate) fn play_over(url: &str, seed: u64) -> Record {
    let runtime = threads();
    let store = runtime.block_on(SqlStore::open(url)).unwrap();
    let store = Arc::new(Held {
        store: Arc::new(store),
        threads: runtime.handle().clone(),
    });
    driver::play_over(seed, |_| store)
}

fn threads() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// A store each of whose calls holds the caller's thread.
#[derive(Debug)]
struct Held {
    store: Arc<SqlStore>,
    threads: Handle,
}

impl Held {
    fn ask<R: Send + 'static, F: Future<Output = Result<R>> + Send>(
        &self,
        call: impl FnOnce(Arc<SqlStore>) -> F + Send + 'static,
    ) -> Result<R> {
        let (reply, answer) = mpsc::channel();
        let store = self.store.clone();
        self.threads
            .spawn(async move { reply.send(call(store).await) });
        answer.recv().expect("the database answers")
    }
}

#[async_trait]
impl Store for Held {
    async fn commit(&self, changes: &Changes) -> Result<()> {
        let changes = changes.to_owned();
        self.ask(|store| async move { store.commit(&changes).await })
    }
    async fn pod(&self, id: PodId) -> Result<Option<Pod>> {
        self.ask(move |store| async move { store.pod(id).await })
    }
    async fn pods(&self, query: &PodQuery) -> Result<Page<Pod>> {
        let query = query.to_owned();
        self.ask(|store| async move { store.pods(&query).await })
    }
    async fn user(&self, id: UserId) -> Result<Option<User>> {
        self.ask(move |store| async move { store.user(id).await })
    }
    async fn users(&self, query: &UserQuery) -> Result<Page<User>> {
        let query = query.to_owned();
        self.ask(|store| async move { store.users(&query).await })
    }
    async fn account(&self, id: &AccountId) -> Result<Option<Account>> {
        let id = id.to_owned();
        self.ask(|store| async move { store.account(&id).await })
    }
    async fn transfers(&self, query: &TransferQuery) -> Result<Page<Transfer>> {
        let query = query.to_owned();
        self.ask(|store| async move { store.transfers(&query).await })
    }
    async fn meters(&self, meters: &[Meter]) -> Result<Vec<Option<Posted>>> {
        let meters = meters.to_owned();
        self.ask(|store| async move { store.meters(&meters).await })
    }
    async fn ledger(&self, query: &LedgerQuery) -> Result<Page<LedgerRow>> {
        let query = query.to_owned();
        self.ask(|store| async move { store.ledger(&query).await })
    }
    async fn leases(&self, prefix: &str) -> Result<Vec<Lease>> {
        let prefix = prefix.to_owned();
        self.ask(|store| async move { store.leases(&prefix).await })
    }
    async fn documents(&self, query: &DocQuery) -> Result<Page<Document>> {
        let query = query.to_owned();
        self.ask(|store| async move { store.documents(&query).await })
    }
    async fn claim(&self, claim: &Claim) -> Result<Vec<Work>> {
        let claim = claim.to_owned();
        self.ask(|store| async move { store.claim(&claim).await })
    }
    async fn events(&self, query: &EventQuery) -> Result<EventPage> {
        let query = query.to_owned();
        self.ask(|store| async move { store.events(&query).await })
    }
    async fn newest(&self) -> Result<String> {
        self.ask(|store| async move { store.newest().await })
    }
    async fn changed(&self) -> Result<BoxStream<'static, ()>> {
        self.ask(|store| async move { store.changed().await })
    }
    async fn installation(&self) -> Result<String> {
        self.ask(|store| async move { store.installation().await })
    }
}
