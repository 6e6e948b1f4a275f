//! A platform over memory backends on a paused clock, for the tests of the loops. A test drives them round by round,
//! sees every call, and may delay or refuse it or meddle before it happens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;

use crate::auth::Identity;
use crate::billing::Prepaid;
use crate::fault::{Call, Fault, Faulty};
use crate::fixture::NOW;
use crate::id::{DeviceId, Entropy, PodId, RunId};
use crate::memory::{Behaviour, MemoryOrchestrator, MemoryStore};
use crate::orchestrator::{Device, Ensured, Fence, Usage, Workload};
use crate::platform::Core;
use crate::pod::Pod;
use crate::store::{Changes, Claim, Work, WorkKey};
use crate::time::SystemClock;
use crate::{Clock, Launch, Orchestrator, Platform, Settings, Store, loops};

type Plan = Box<dyn FnMut(&'static str) -> Fault + Send>;

/// One replica. Its engine has the device `GPU-1`, an `rtx-4050`, and images that need no pull: `there` answers on its
/// ports after 5 s, `quiet` uses nothing, and `busy` computes.
pub(crate) struct Scene {
    pub(crate) platform: Platform,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) engine: MemoryOrchestrator,
    calls: Arc<Mutex<Vec<&'static str>>>,
    plan: Arc<Mutex<Plan>>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let clock = SystemClock::anchored(NOW);
        let store = Arc::new(MemoryStore::new());
        let engine = engine(&clock);
        let calls: Arc<Mutex<Vec<&'static str>>> = Arc::default();
        let plan: Arc<Mutex<Plan>> = Arc::new(Mutex::new(Box::new(|_| Fault::default())));
        let seen = {
            let (calls, plan) = (calls.clone(), plan.clone());
            move |call: Call| {
                calls.lock().unwrap().push(call.operation);
                (plan.lock().unwrap())(call.operation)
            }
        };
        let platform = Platform::builder()
            .store(Faulty::new(store.clone(), seen.clone()))
            .orchestrator(Faulty::new(engine.clone(), seen))
            .billing(Prepaid::new(store.clone()))
            .clock(clock)
            .entropy(Entropy::seeded(1))
            .settings(settings)
            .build();
        Self {
            platform: platform.await.unwrap(),
            store,
            engine,
            calls,
            plan,
        }
    }

    pub(crate) fn core(&self) -> &Core {
        &self.platform.0
    }

    /// From now on `plan` sees every call before it happens, and says what becomes of it.
    pub(crate) fn plan(&self, plan: impl FnMut(&'static str) -> Fault + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    /// The calls since this was asked last.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    pub(crate) async fn launch(&self, ask: Launch) -> PodId {
        let launched = self.platform.launch(&Identity::local(), &ask).await;
        launched.unwrap().id
    }

    /// Makes a container like that of the run of `like` behind the platform's back.
    pub(crate) async fn make_container(&self, like: &Pod, run: RunId, devices: Vec<DeviceId>) {
        let known = like.run.as_ref().unwrap();
        let workload = Workload {
            run,
            ports: Vec::new(),
            volume: None,
            devices,
            ..self.core().workload(like, known).await.unwrap()
        };
        let made = self.engine.ensure(&workload, &Fence::open()).await;
        assert_eq!(made.unwrap(), Ensured::Present);
    }

    /// One pass over each piece of work that is due now.
    pub(crate) async fn round(&self) {
        loops::round(self.core()).await.unwrap();
    }

    /// A lease of that work, which must be due.
    pub(crate) async fn claim(&self, key: &WorkKey) -> Work {
        let claim = Claim {
            limit: 100,
            now: self.core().clock.now(),
            lease: self.core().settings.lease,
        };
        let due = self.store.claim(&claim).await.unwrap();
        due.into_iter().find(|work| work.key == *key).unwrap()
    }

    pub(crate) async fn pod(&self, id: PodId) -> Pod {
        self.store.pod(id).await.unwrap().unwrap()
    }

    /// In what time that work is due; `None` if there is none.
    pub(crate) fn due(&self, key: &WorkKey) -> Option<Duration> {
        let ready = self.store.ready();
        let found = ready.iter().find(|(_, k)| k == key);
        found.map(|(at, _)| at.since(self.core().clock.now()))
    }
}

fn engine(clock: &SystemClock) -> MemoryOrchestrator {
    let device = Device {
        id: DeviceId::from("GPU-1"),
        product: "NVIDIA GeForce RTX 4050".to_owned(),
        memory_mib: 6144,
        healthy: true,
    };
    let there = Behaviour {
        ready_after: Some(Duration::from_secs(5)),
        ..Behaviour::default()
    };
    let uses = |cpu_milli| Behaviour {
        usage: Usage {
            cpu_milli: Some(cpu_milli),
            rx_bytes: Some(0),
            tx_bytes: Some(0),
            ..Usage::default()
        },
        ..Behaviour::default()
    };
    MemoryOrchestrator::builder()
        .clock(clock.clone())
        .devices([device])
        .image("there", there)
        .image("quiet", uses(0))
        .image("busy", uses(900))
        .build()
}

/// Writes `change` to the row at once, as somebody else would.
pub(crate) fn change(store: &MemoryStore, id: PodId, change: impl FnOnce(&mut Pod)) {
    let mut pod = store.pod(id).now_or_never().unwrap().unwrap().unwrap();
    change(&mut pod);
    let changes = Changes {
        pods: vec![pod],
        ..Changes::default()
    };
    store.commit(&changes).now_or_never().unwrap().unwrap();
}
