//! [`Faulty`]: a backend or store whose calls are late, lost, or never answered, by a plan. For tests.
//!
//! What a call does is done by a task of its own: a caller that is killed meanwhile does not take it along, so its
//! effect may land long after.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::error::{Error, Result};
use crate::id::{AccountId, PodId, RunId};
use crate::orchestrator::{
    Capacity, Ensured, Fence, Found, LogLine, LogQuery, Orchestrator, Seen, Usage, Workload,
};
use crate::pod::Pod;
use crate::store::{
    Account, Changes, Claim, DocQuery, Document, EventPage, EventQuery, Lease, LedgerQuery,
    LedgerRow, Meter, Page, PodQuery, Posted, Store, Transfer, TransferQuery, UserQuery, Work,
};
use crate::user::User;

/// A call that is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The method's name, `ensure`.
    pub operation: &'static str,
    /// Which call of this wrapper it is, from 1.
    pub n: u64,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fault {
    /// So long until it takes effect.
    pub before: Duration,
    /// It never takes effect, and fails as unreachable.
    pub refuse: bool,
    /// So long from the effect to the answer.
    pub after: Duration,
    /// The answer is lost.
    pub reply: Reply,
}

/// Whether an answer arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reply {
    /// It does.
    #[default]
    Given,
    /// The caller is told that the backend did not answer.
    Lost,
    /// The caller waits for ever.
    Never,
}

type Plan = Arc<dyn Fn(Call) -> Fault + Send + Sync>;

/// A backend or store whose calls are late, lost, or never answered.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> neuropod_core::Result<()> {
/// use neuropod_core::fault::{Fault, Faulty, Reply};
/// use neuropod_core::memory::MemoryOrchestrator;
/// use neuropod_core::{Launch, Platform, auth::Identity};
///
/// // Containers start, and nobody is told.
/// let faulty = Faulty::new(MemoryOrchestrator::default(), |call| Fault {
///     reply: if call.operation == "ensure" { Reply::Lost } else { Reply::Given },
///     ..Fault::default()
/// });
/// let platform = Platform::builder().orchestrator(faulty).build().await?;
/// let me = Identity::local();
/// let pod = platform.launch(&me, &Launch::image("demo")).await?;
/// platform.run_until_idle().await?;
/// let run = platform.pod(&me, pod.id).await?.run;
/// assert!(run.is_some(), "nobody takes a lost answer for a failed start");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Faulty<T> {
    inner: T,
    plan: Plan,
    calls: Arc<AtomicU64>,
}

impl<T> Faulty<T> {
    /// `inner`, with what `plan` says done to each call.
    pub fn new(inner: T, plan: impl Fn(Call) -> Fault + Send + Sync + 'static) -> Self {
        Self {
            inner,
            plan: Arc::new(plan),
            calls: Arc::default(),
        }
    }

    async fn call<R: Send + 'static>(
        &self,
        operation: &'static str,
        effect: impl Future<Output = Result<R>> + Send + 'static,
    ) -> Result<R> {
        let fault = (self.plan)(Call {
            operation,
            n: self.calls.fetch_add(1, Ordering::Relaxed) + 1,
        });
        let lost = || Error::unreachable("The backend does not answer.").during(operation);
        let done = tokio::spawn(async move {
            pause(fault.before).await;
            let result = if fault.refuse {
                Err(lost())
            } else {
                effect.await
            };
            pause(fault.after).await;
            match fault.reply {
                Reply::Given => result,
                Reply::Lost => Err(lost()),
                Reply::Never => std::future::pending().await,
            }
        });
        done.await.unwrap_or_else(|_| Err(lost()))
    }
}

async fn pause(d: Duration) {
    if d > Duration::ZERO {
        tokio::time::sleep(d).await;
    }
}

impl<T: fmt::Debug> fmt::Debug for Faulty<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faulty").field(&self.inner).finish()
    }
}

/// Forwards a method through [`Faulty::call`], with arguments that the detached task owns.
macro_rules! faulty {
    ($self:ident.$method:ident($($arg:ident),*)) => {{
        let inner = $self.inner.clone();
        $(let $arg = $arg.to_owned();)*
        $self.call(stringify!($method), async move { inner.$method($(faulty!(@ $arg)),*).await }).await
    }};
    (@ $arg:ident) => { $arg.as_argument() };
}

/// How an owned argument is passed on: by reference or by value, as the method takes it.
trait AsArgument {
    type Argument<'a>
    where
        Self: 'a;
    fn as_argument(&self) -> Self::Argument<'_>;
}

macro_rules! by_reference {
    ($($t:ty),*) => { $(impl AsArgument for $t {
        type Argument<'a> = &'a $t;
        fn as_argument(&self) -> &$t { self }
    })* };
}
macro_rules! by_value {
    ($($t:ty),*) => { $(impl AsArgument for $t {
        type Argument<'a> = $t;
        fn as_argument(&self) -> $t { *self }
    })* };
}
by_reference!(
    Workload,
    Fence,
    LogQuery,
    Changes,
    PodQuery,
    UserQuery,
    AccountId,
    TransferQuery,
    Vec<Meter>
);
by_reference!(DocQuery, Claim, EventQuery, LedgerQuery);
by_value!(RunId, PodId, Duration, crate::id::UserId);
impl AsArgument for String {
    type Argument<'a> = &'a str;
    fn as_argument(&self) -> &str {
        self
    }
}

#[async_trait]
impl<T: Orchestrator + Clone> Orchestrator for Faulty<T> {
    async fn ensure(&self, workload: &Workload, fence: &Fence) -> Result<Ensured> {
        faulty!(self.ensure(workload, fence))
    }
    async fn stop(&self, run: RunId, grace: Duration) -> Result<()> {
        faulty!(self.stop(run, grace))
    }
    async fn remove(&self, run: RunId) -> Result<()> {
        faulty!(self.remove(run))
    }
    async fn purge(&self, pod: PodId) -> Result<()> {
        faulty!(self.purge(pod))
    }
    async fn observe(&self, pod: PodId) -> Result<Seen> {
        faulty!(self.observe(pod))
    }
    async fn list(&self) -> Result<BoxStream<'static, Result<Found>>> {
        // A list that takes its time is taken whole first: what it shows is how things were at one instant.
        let inner = self.inner.clone();
        let all = async move { Ok(inner.list().await?.collect::<Vec<_>>().await) };
        Ok(futures::stream::iter(self.call("list", all).await?).boxed())
    }
    async fn watch(&self) -> Result<BoxStream<'static, PodId>> {
        faulty!(self.watch())
    }
    async fn logs(
        &self,
        run: RunId,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine>>> {
        faulty!(self.logs(run, query))
    }
    async fn usage(&self, run: RunId) -> Result<Usage> {
        faulty!(self.usage(run))
    }
    async fn capacity(&self) -> Result<Capacity> {
        faulty!(self.capacity())
    }
}

#[async_trait]
impl<T: Store + Clone> Store for Faulty<T> {
    async fn commit(&self, changes: &Changes) -> Result<()> {
        faulty!(self.commit(changes))
    }
    async fn pod(&self, id: PodId) -> Result<Option<Pod>> {
        faulty!(self.pod(id))
    }
    async fn pods(&self, query: &PodQuery) -> Result<Page<Pod>> {
        faulty!(self.pods(query))
    }
    async fn user(&self, id: crate::id::UserId) -> Result<Option<User>> {
        faulty!(self.user(id))
    }
    async fn users(&self, query: &UserQuery) -> Result<Page<User>> {
        faulty!(self.users(query))
    }
    async fn account(&self, id: &AccountId) -> Result<Option<Account>> {
        faulty!(self.account(id))
    }
    async fn transfers(&self, query: &TransferQuery) -> Result<Page<Transfer>> {
        faulty!(self.transfers(query))
    }
    async fn meters(&self, meters: &[Meter]) -> Result<Vec<Option<Posted>>> {
        faulty!(self.meters(meters))
    }
    async fn ledger(&self, query: &LedgerQuery) -> Result<Page<LedgerRow>> {
        faulty!(self.ledger(query))
    }
    async fn leases(&self, prefix: &str) -> Result<Vec<Lease>> {
        faulty!(self.leases(prefix))
    }
    async fn documents(&self, query: &DocQuery) -> Result<Page<Document>> {
        faulty!(self.documents(query))
    }
    async fn claim(&self, claim: &Claim) -> Result<Vec<Work>> {
        faulty!(self.claim(claim))
    }
    async fn events(&self, query: &EventQuery) -> Result<EventPage> {
        faulty!(self.events(query))
    }
    async fn newest(&self) -> Result<String> {
        faulty!(self.newest())
    }
    async fn changed(&self) -> Result<BoxStream<'static, ()>> {
        faulty!(self.changed())
    }
    async fn installation(&self) -> Result<String> {
        faulty!(self.installation())
    }
}
