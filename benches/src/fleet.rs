//! Pods that run already: their rows, and a backend that takes no memory for their containers, as a real one takes
//! none of ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use neuropod_core::auth::Identity;
use neuropod_core::id::{AccountId, PodId, RunId, RunKey, UserId};
use neuropod_core::memory::{Behaviour, MemoryOrchestrator};
use neuropod_core::money::Money;
use neuropod_core::orchestrator::{
    Capacity, Ensured, Fence, Found, Instance, LogLine, LogQuery, Orchestrator, Seen, State, Usage,
    Workload,
};
use neuropod_core::pod::{Desired, Phase, Pod};
use neuropod_core::store::{Changes, Store};
use neuropod_core::{Error, ErrorKind, Launch, Platform, Result};

/// So many rows go into one commit.
const AT_ONCE: usize = 1000;

/// So many accounts pay for pods that run already.
const PAYERS: u64 = 1000;

/// What each of them costs per hour.
const PRICE: Money = Money::from_micros(3_600_000);

/// The image of every pod here.
pub const IMAGE: &str = "demo";

/// An engine in memory that has the image.
pub fn engine() -> MemoryOrchestrator {
    MemoryOrchestrator::builder()
        .image(IMAGE, Behaviour::default())
        .build()
}

/// What a user asks for here: an image, and a port.
pub fn launch() -> Launch {
    Launch::image(IMAGE).gpu("cpu").port(8080)
}

/// A pod that was launched and runs.
pub async fn running_pod() -> Result<Pod> {
    let platform = Platform::builder().orchestrator(engine()).build().await?;
    let me = Identity::local();
    let id = platform.launch(&me, &launch()).await?.id;
    platform.run_until_idle().await?;
    let pod = platform.pod(&me, id).await?;
    assert_eq!(pod.phase(), Phase::Running);
    Ok(pod)
}

/// The run of pod number `n`. Ids are spread like random ones.
pub fn run(n: u64) -> RunId {
    let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    RunId {
        pod: PodId::from_bytes(spread(n)),
        n: 1,
        key: RunKey::from_bytes(spread(!n)),
    }
}

/// Who pays for pod number `n`, one of `PAYERS`.
pub fn payer(n: u64) -> AccountId {
    let mut id = [0; 12];
    id[4..].copy_from_slice(&(n % PAYERS).to_be_bytes());
    AccountId::of(UserId::from_bytes(id))
}

/// Writes rows of pods number 0 to `size`, made after `sample`.
pub async fn fill(store: &dyn Store, sample: &Pod, size: u64) -> Result<()> {
    let pods: Vec<u64> = (0..size).collect();
    for numbers in pods.chunks(AT_ONCE) {
        let pods = numbers.iter().map(|n| {
            let mut pod = sample.clone();
            (pod.id, pod.version) = (run(*n).pod, 0);
            pod.created_at = sample.created_at + Duration::from_millis(*n);
            if let Some(open) = &mut pod.run {
                open.key = run(*n).key;
                open.terms.payer = payer(*n);
                open.terms.run_rate = PRICE;
            }
            if let Some(volume) = &mut pod.volume {
                volume.payer = payer(*n);
            }
            pod
        });
        let pods = pods.collect();
        store
            .commit(&Changes {
                pods,
                ..Changes::default()
            })
            .await?;
    }
    Ok(())
}

/// The same pod, stopped: nothing of it runs, and nobody looks at it.
pub fn stopped(mut pod: Pod) -> Pod {
    pod.desired = Desired::Stopped;
    pod.generation += 1;
    pod.run = None;
    pod.ports.clear();
    pod
}

/// A backend where the pods of [`fill`] run, and go on running.
#[derive(Debug, Clone)]
pub struct Fleet {
    size: u64,
    state: State,
    changes: Arc<AtomicBool>,
}

impl Fleet {
    /// `size` containers that started when that of `sample` did.
    pub fn new(size: u64, sample: &Pod) -> Self {
        let open = sample.run.as_ref().expect("it runs");
        Self {
            size,
            state: State::Running {
                started_at: open.started_at.expect("it has started"),
                endpoints: open.endpoints.clone(),
            },
            changes: Arc::default(),
        }
    }

    /// From now on something happens to its pods, so that they may be looked at.
    pub fn changes(&self) {
        self.changes.store(true, Ordering::Relaxed);
    }
}

fn not_here<T>() -> Result<T> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "This fleet only stands there.",
    ))
}

#[async_trait]
impl Orchestrator for Fleet {
    async fn list(&self) -> Result<BoxStream<'static, Result<Found>>> {
        let state = self.state.clone();
        let found = move |n| {
            Ok(Found {
                pod: run(n).pod,
                instance: Some(Instance {
                    run: run(n),
                    generation: 1,
                    state: state.clone(),
                }),
            })
        };
        Ok(stream::iter((0..self.size).map(found)).boxed())
    }
    async fn watch(&self) -> Result<BoxStream<'static, PodId>> {
        Ok(stream::pending().boxed())
    }
    async fn capacity(&self) -> Result<Capacity> {
        Ok(Capacity::default())
    }
    async fn observe(&self, pod: PodId) -> Result<Seen> {
        let changes = self.changes.load(Ordering::Relaxed);
        assert!(
            changes,
            "{pod} was looked at, although nothing about it has changed"
        );
        not_here()
    }
    async fn ensure(&self, _: &Workload, _: &Fence) -> Result<Ensured> {
        not_here()
    }
    async fn stop(&self, _: RunId, _: Duration) -> Result<()> {
        not_here()
    }
    async fn remove(&self, _: RunId) -> Result<()> {
        not_here()
    }
    async fn purge(&self, _: PodId) -> Result<()> {
        not_here()
    }
    async fn logs(&self, _: RunId, _: &LogQuery) -> Result<BoxStream<'static, Result<LogLine>>> {
        not_here()
    }
    async fn usage(&self, _: RunId) -> Result<Usage> {
        not_here()
    }
}
