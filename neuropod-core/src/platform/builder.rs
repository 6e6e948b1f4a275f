//! Putting a platform together.

use std::sync::{Arc, Mutex};

use super::seed::seed;
use super::{Core, Parts, Platform, Settings};
use crate::activity::Looks;
use crate::auth::AllowAll;
use crate::believed::Believed;
use crate::billing::Unmetered;
use crate::error::Result;
use crate::feed::Feed;
use crate::figures::Tally;
use crate::id::Entropy;
use crate::log::Hubs;
use crate::memory::{MemoryOrchestrator, MemoryStore};
use crate::metrics::Metrics;
use crate::time::SystemClock;
use crate::{Auth, Billing, Clock, Orchestrator, Store, idle, loops};

/// Puts a [`Platform`] together. What is not given is in memory, unmetered, and open to everybody who can reach it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> neuropod_core::Result<()> {
/// use std::sync::Arc;
/// use neuropod_core::billing::Prepaid;
/// use neuropod_core::memory::MemoryStore;
/// use neuropod_core::{Platform, Settings, Store};
///
/// let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
/// let platform = Platform::builder()
///     .billing(Prepaid::new(Arc::clone(&store)))
///     .store(store)
///     .settings(Settings {
///         port_range: (30_000, 30_999),
///         ..Settings::default()
///     })
///     .build()
///     .await?;
/// # drop(platform);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct PlatformBuilder {
    orchestrator: Option<Arc<dyn Orchestrator>>,
    store: Option<Arc<dyn Store>>,
    billing: Option<Arc<dyn Billing>>,
    auth: Option<Arc<dyn Auth>>,
    clock: Option<Arc<dyn Clock>>,
    entropy: Entropy,
    settings: Settings,
}

impl PlatformBuilder {
    /// Runs containers with this.
    pub fn orchestrator(mut self, orchestrator: impl Orchestrator) -> Self {
        self.orchestrator = Some(Arc::new(orchestrator));
        self
    }
    /// Keeps everything in this.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }
    /// Bills with this.
    pub fn billing(mut self, billing: impl Billing) -> Self {
        self.billing = Some(Arc::new(billing));
        self
    }
    /// Signs in with this.
    pub fn auth(mut self, auth: impl Auth) -> Self {
        self.auth = Some(Arc::new(auth));
        self
    }
    /// Tells the time by this.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }
    /// Takes ids and keys from here; a seeded one repeats itself, for tests only.
    pub fn entropy(mut self, entropy: Entropy) -> Self {
        self.entropy = entropy;
        self
    }
    /// Everything else.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Puts it together, and seeds price list and templates if the store has none.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn build(self) -> Result<Platform> {
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let core = Core(Arc::new(Parts {
            orchestrator: self
                .orchestrator
                .unwrap_or_else(|| Arc::new(MemoryOrchestrator::default())),
            store: self.store.unwrap_or_else(|| Arc::new(MemoryStore::new())),
            billing: self.billing.unwrap_or_else(|| Arc::new(Unmetered)),
            auth: self.auth.unwrap_or_else(|| Arc::new(AllowAll)),
            clock,
            metrics: Metrics::new(),
            idle: idle::Looks::default(),
            hubs: Hubs::default(),
            entropy: self.entropy,
            settings: self.settings,
            capacity: Mutex::new(None),
            reported: Mutex::default(),
            looks: Looks::default(),
            dry: Believed::default(),
            feed: Feed::default(),
            tally: Tally::default(),
        }));
        seed(&core).await?;
        loops::start(&core).await?;
        Ok(Platform(core))
    }
}
