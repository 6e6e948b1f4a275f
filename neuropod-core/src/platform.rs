//! [`Platform`]: what users call. It writes wishes; the loops make the backend agree.

mod broadcast;
mod builder;
mod catalogue;
mod crediting;
pub(crate) mod force;
mod launching;
mod money;
mod people;
mod reads;
mod seed;
mod standing;
mod templates;
mod verbs;

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing::{Instrument, info_span};

use crate::activity::Did;
use crate::auth::Identity;
use crate::believed::Believed;
use crate::decide::CLOCK_SPREAD;
use crate::error::{Error, Result};
use crate::event::{EventKind, NewEvent};
use crate::feed::Feed;
use crate::figures::Tally;
use crate::id::{AccountId, Entropy, PodId, RunId};
use crate::log::Hubs;
use crate::metrics::Metrics;
use crate::money::Money;
use crate::orchestrator::{Capacity, Fence, Workload};
use crate::pod::{Pod, Run};
use crate::pricing::PriceList;
use crate::store::{Changes, DocChange, StoreExt};
use crate::time::Time;
use crate::{Auth, Billing, Clock, Orchestrator, Store, activity, idle, loops, workload};

pub use builder::PlatformBuilder;
pub use launching::Offer;
pub(crate) use money::spans;
pub use people::{Person, Repaired};
use seed::{CURRENT, PRICES};
pub use standing::Ended;
pub(crate) use verbs::add as add_wish;

/// The whole platform: four traits and a clock, put together. Cheap to clone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> neuropod_core::Result<()> {
/// use neuropod_core::{Platform, auth::Identity, launch::Launch};
///
/// let platform = Platform::builder().build().await?;
/// let pod = platform.launch(&Identity::local(), &Launch::image("demo").gpu("cpu")).await?;
/// platform.run_until_idle().await?;
/// assert!(platform.pod(&Identity::local(), pod.id).await?.run.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Platform(pub(crate) Core);

/// What the verbs and the loops share.
#[derive(Debug, Clone)]
pub(crate) struct Core(Arc<Parts>);

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) orchestrator: Arc<dyn Orchestrator>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) billing: Arc<dyn Billing>,
    pub(crate) auth: Arc<dyn Auth>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Entropy,
    pub(crate) settings: Settings,
    capacity: Mutex<Option<(Time, Capacity)>>,
    reported: Mutex<HashSet<PodId>>,
    pub(crate) looks: activity::Looks,
    dry: Believed<AccountId, Option<Time>>,
    pub(crate) metrics: Metrics,
    pub(crate) idle: idle::Looks,
    pub(crate) hubs: Hubs,
    pub(crate) feed: Feed,
    pub(crate) tally: Tally,
}

impl std::ops::Deref for Core {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// What can be configured of a platform, beside its parts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Host ports that pods may lease, first and last.
    pub port_range: (u16, u16),
    /// How many passes run at the same time on this replica.
    pub workers: usize,
    /// How long a piece of work is leased, so how long it rests when a replica is killed. A pass that takes longer
    /// renews it with the replica's next claim, unless another replica is first or all workers are busy; two passes
    /// over one pod are harmless, but cost calls.
    pub lease: Duration,
    /// How often work is looked for when no hint comes.
    pub look_every: Duration,
    /// An owner of whom less than this is left is told so.
    pub low_balance: Money,
    /// How long a volume is kept after the balance of who pays for it has run out.
    pub volume_grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port_range: (20_000, 29_999),
            workers: 32,
            lease: Duration::from_secs(5),
            look_every: Duration::from_millis(500),
            low_balance: Money::from_micros(5_000_000),
            volume_grace: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

impl Platform {
    /// Starts to put a platform together.
    pub fn builder() -> PlatformBuilder {
        PlatformBuilder::default()
    }

    /// Drives the loops until `shutdown`, then lets the passes under way end. Safe on any number of replicas; an
    /// API-only replica leaves it out.
    ///
    /// # Errors
    /// None that end it: what fails is tried again.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        loops::run(&self.0, shutdown).await;
    }

    /// Works until nothing is due now; for tests and for programs that end.
    ///
    /// # Errors
    /// The first error of a store that does not answer.
    pub async fn run_until_idle(&self) -> Result<()> {
        loops::run_until_idle(&self.0).await
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }
    /// The orchestrator.
    pub fn orchestrator(&self) -> &Arc<dyn Orchestrator> {
        &self.0.orchestrator
    }
    /// Billing.
    pub fn billing(&self) -> &Arc<dyn Billing> {
        &self.0.billing
    }
    /// Sign-in.
    pub fn auth(&self) -> &Arc<dyn Auth> {
        &self.0.auth
    }
    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }
}

/// The price list in force, and its version, if a store has one.
pub(crate) async fn prices_in(store: &dyn Store, now: Time) -> Result<Option<(u64, PriceList)>> {
    let Some(document) = store.document(PRICES, CURRENT, now).await? else {
        return Ok(None);
    };
    let list = serde_json::from_value(document.body)
        .map_err(|e| Error::internal("The price list in the store can't be read.").caused_by(e))?;
    Ok(Some((document.version, list)))
}

impl Core {
    /// Commits `changes` as of now.
    pub(crate) async fn commit(&self, changes: Changes) -> Result<()> {
        let changes = Changes {
            now: self.clock.now(),
            ..changes
        };
        let began = Instant::now();
        let written = self.store.commit(&changes);
        let written = written.instrument(info_span!("commit")).await;
        self.tally.committed(&changes, began, &written);
        // Whether or not it is known to be written.
        for account in money::accounts_of(&changes) {
            self.dry.forget_one(account);
        }
        written
    }

    /// What the open run of `pod` is to be.
    pub(crate) async fn workload(&self, pod: &Pod, run: &Run) -> Result<Workload> {
        let products = if pod.spec.devices > 0 {
            let (_, mut prices) = self.prices().await?;
            prices
                .gpus
                .remove(&pod.spec.gpu)
                .map(|entry| entry.matches.products)
        } else {
            None
        };
        Ok(workload::workload(pod, run, products.unwrap_or_default()))
    }

    /// Asks the row whether `id` may start: still open, not started, and current.
    pub(crate) fn fence(&self, id: RunId) -> Fence {
        let store = Arc::clone(&self.store);
        Fence::new(move || {
            let store = Arc::clone(&store);
            Box::pin(async move {
                let pod = store.pod(id.pod).await?;
                Ok(pod.is_some_and(|pod| {
                    let open = pod
                        .run
                        .as_ref()
                        .filter(|run| pod.run_id(run) == id && run.started_at.is_none());
                    open.is_some_and(|run| pod.is_current(run))
                }))
            })
        })
    }

    /// The price list in force, and its version.
    pub(crate) async fn prices(&self) -> Result<(u64, PriceList)> {
        let prices = prices_in(&*self.store, self.clock.now()).await?;
        prices.ok_or_else(|| Error::internal("The store has no price list."))
    }

    /// What the backend has, as of at most ten seconds ago.
    pub(crate) async fn capacity(&self) -> Result<Capacity> {
        let now = self.clock.now();
        if let Some((at, capacity)) = &*self.capacity.lock().expect("no panic while held")
            && now.since(*at) < CLOCK_SPREAD
        {
            return Ok(capacity.clone());
        }
        self.capacity_now().await
    }

    /// What the backend has now.
    pub(crate) async fn capacity_now(&self) -> Result<Capacity> {
        let now = self.clock.now();
        let capacity = self.orchestrator.capacity().await?;
        *self.capacity.lock().expect("no panic while held") = Some((now, capacity.clone()));
        Ok(capacity)
    }

    /// The account, if it is one that is locked.
    pub(crate) fn lockable(&self, account: &AccountId) -> Option<AccountId> {
        account.is_customer().then(|| account.clone())
    }

    /// What notes that `who` did that, to be written with what was done.
    pub(crate) fn did(&self, who: &Identity, did: Did, details: serde_json::Value) -> DocChange {
        activity::did(&self.entropy, self.clock.now(), who.user.id, did, details)
    }

    /// Whether this replica has not reported this unknown pod before.
    pub(crate) fn first_report(&self, pod: PodId) -> bool {
        self.reported
            .lock()
            .expect("no panic while held")
            .insert(pod)
    }

    /// An event about a pod, with what a stranger may not see left out.
    pub(crate) fn pod_event(&self, kind: EventKind, pod: &Pod) -> NewEvent {
        NewEvent {
            kind,
            at: self.clock.now(),
            pod: Some(pod.id),
            owner: Some(pod.owner),
            body: serde_json::json!({
                "podName": pod.spec.name,
                "gpu": pod.spec.gpu,
                "phase": pod.phase(),
                "reason": pod.reason,
                "message": pod.message,
                "exitCode": pod.exit_code,
            }),
        }
    }

    /// Brings a container about without a row or a fence: what a broken build does.
    #[cfg(feature = "testing")]
    pub(crate) async fn create_unfenced(&self, workload: &Workload) -> Result<()> {
        use crate::orchestrator::Ensured;
        while let Ensured::Pulling { .. } =
            self.orchestrator.ensure(workload, &Fence::open()).await?
        {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }
}
