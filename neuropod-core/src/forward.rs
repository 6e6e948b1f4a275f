//! Pointers to a backend are backends: `Arc` and `Box`, also of `dyn` traits.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::auth::{Action, Auth, Credential, Identity, Owner, SignedIn};
use crate::billing::{
    Adjusted, Adjustment, Admission, Ask, Balance, Billing, Credit, Quote, Reading, Settlement,
};
use crate::error::Result;
use crate::id::{AccountId, PodId, RunId, UserId};
use crate::orchestrator::{
    Capacity, Ensured, Fence, Found, Interactive, LogLine, LogQuery, Orchestrator, Seen, Usage,
    Workload,
};
use crate::pod::Pod;
use crate::store::{
    Account, Changes, Claim, Condition, DocQuery, Document, EventPage, EventQuery, Lease,
    LedgerQuery, LedgerRow, Meter, Page, PodQuery, Posted, Store, Transfer, TransferQuery,
    UserQuery, Work,
};
use crate::time::Time;
use crate::user::User;

macro_rules! forward {
    ($trait:ident $methods:tt) => {
        forward!(Arc $trait $methods);
        forward!(Box $trait $methods);
    };
    ($pointer:ident $trait:ident {
        $(async fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*
        $(fn $plain:ident() -> $plain_answer:ty;)*
    }) => {
        #[async_trait]
        impl<T: $trait + ?Sized> $trait for $pointer<T> {
            $(async fn $name(&self, $($argument: $type),*) -> $answer {
                (**self).$name($($argument),*).await
            })*
            $(fn $plain(&self) -> $plain_answer {
                (**self).$plain()
            })*
        }
    };
}

forward!(Orchestrator {
    async fn ensure(workload: &Workload, fence: &Fence) -> Result<Ensured>;
    async fn stop(run: RunId, grace: Duration) -> Result<()>;
    async fn remove(run: RunId) -> Result<()>;
    async fn purge(pod: PodId) -> Result<()>;
    async fn observe(pod: PodId) -> Result<Seen>;
    async fn list() -> Result<BoxStream<'static, Result<Found>>>;
    async fn watch() -> Result<BoxStream<'static, PodId>>;
    async fn logs(run: RunId, query: &LogQuery) -> Result<BoxStream<'static, Result<LogLine>>>;
    async fn usage(run: RunId) -> Result<Usage>;
    async fn capacity() -> Result<Capacity>;
    fn interactive() -> Option<Arc<dyn Interactive>>;
});

forward!(Store {
    async fn commit(changes: &Changes) -> Result<()>;
    async fn pod(id: PodId) -> Result<Option<Pod>>;
    async fn pods(query: &PodQuery) -> Result<Page<Pod>>;
    async fn user(id: UserId) -> Result<Option<User>>;
    async fn users(query: &UserQuery) -> Result<Page<User>>;
    async fn account(id: &AccountId) -> Result<Option<Account>>;
    async fn transfers(query: &TransferQuery) -> Result<Page<Transfer>>;
    async fn meters(meters: &[Meter]) -> Result<Vec<Option<Posted>>>;
    async fn ledger(query: &LedgerQuery) -> Result<Page<LedgerRow>>;
    async fn leases(prefix: &str) -> Result<Vec<Lease>>;
    async fn documents(query: &DocQuery) -> Result<Page<Document>>;
    async fn claim(claim: &Claim) -> Result<Vec<Work>>;
    async fn events(query: &EventQuery) -> Result<EventPage>;
    async fn newest() -> Result<String>;
    async fn changed() -> Result<BoxStream<'static, ()>>;
    async fn installation() -> Result<String>;
});

forward!(Billing {
    async fn quote(ask: &Ask) -> Result<Quote>;
    async fn admit(admission: &Admission) -> Result<Vec<Condition>>;
    async fn settle(readings: &[Reading]) -> Result<Settlement>;
    async fn credit(credit: &Credit) -> Result<Vec<Transfer>>;
    async fn adjust(adjustment: &Adjustment) -> Result<Adjusted>;
    async fn balance(account: &AccountId, at: Time) -> Result<Balance>;
    async fn statement(query: &TransferQuery) -> Result<Page<Transfer>>;
});

forward!(Auth {
    async fn authenticate(credential: &Credential) -> Result<Identity>;
    async fn authorize(who: &Identity, action: Action, owner: Owner) -> Result<()>;
    async fn sign_in(credential: &Credential) -> Result<SignedIn>;
    async fn sign_out(who: &Identity) -> Result<()>;
    async fn ends_at(who: &Identity) -> Result<Option<Time>>;
    async fn changed(user: UserId) -> ();
});
