//! An engine in memory that keeps the whole contract of [`Orchestrator`].

mod behaviour;
mod container;
#[cfg(feature = "testing")]
mod control;
mod engine;
mod log;
mod pull;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::broadcast;

pub use behaviour::Behaviour;
#[cfg(feature = "testing")]
pub use control::{Inventory, Kept, Ran};
use engine::{Engine, Prepared};

use crate::error::{Error, Result};
use crate::id::{PodId, RunId};
use crate::orchestrator::{
    Capacity, Device, Ensured, Fence, Found, LogLine, LogQuery, Orchestrator, Seen, Usage, Workload,
};
use crate::rule::{Rule, broken};
use crate::time::{Clock, SystemClock, Time};

/// Simulates an engine: pulls, containers, volumes, ports and devices with their times, and no program runs. Its state
/// is computed from the time at each call, so that it needs no task and costs nothing while idle; with a paused tokio
/// clock it is virtual and repeatable.
///
/// Images are described by [`MemoryOrchestratorBuilder::image`]. Any other is pulled for 2 s and runs until it is
/// stopped, but for those under `missing/` and `denied/`, which no registry has or gives.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use neuropod_core::memory::{Behaviour, MemoryOrchestrator};
/// use neuropod_core::Orchestrator;
///
/// let engine = MemoryOrchestrator::builder()
///     .image("trainer", Behaviour::default())
///     .build();
/// assert!(engine.capacity().await?.simulated);
/// # Ok::<_, neuropod_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct MemoryOrchestrator(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    engine: Mutex<Engine>,
    clock: Arc<dyn Clock>,
    unreachable: AtomicBool,
}

/// Builds a [`MemoryOrchestrator`].
#[derive(Debug, Default)]
pub struct MemoryOrchestratorBuilder {
    clock: Option<Arc<dyn Clock>>,
    host: Option<String>,
    devices: Vec<Device>,
    images: BTreeMap<String, Arc<Behaviour>>,
}

impl MemoryOrchestratorBuilder {
    /// The engine's own clock, which may be wrong; the system's if not given.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }
    /// The host of every endpoint, `localhost` if not given.
    pub fn public_host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }
    /// Its devices. Each serves one running container at a time.
    pub fn devices(mut self, devices: impl IntoIterator<Item = Device>) -> Self {
        self.devices.extend(devices);
        self
    }
    /// Describes an image.
    pub fn image(mut self, name: impl Into<String>, behaviour: Behaviour) -> Self {
        self.images.insert(name.into(), Arc::new(behaviour));
        self
    }
    /// An engine without containers.
    pub fn build(self) -> MemoryOrchestrator {
        let clock = self
            .clock
            .unwrap_or_else(|| Arc::new(SystemClock::default()));
        let host = self.host.unwrap_or_else(|| "localhost".to_owned());
        MemoryOrchestrator(Arc::new(Shared {
            engine: Mutex::new(Engine::new(clock.now(), host, self.devices, self.images)),
            clock,
            unreachable: AtomicBool::new(false),
        }))
    }
}

impl Default for MemoryOrchestrator {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl MemoryOrchestrator {
    /// Describes an engine.
    pub fn builder() -> MemoryOrchestratorBuilder {
        MemoryOrchestratorBuilder::default()
    }
}

impl Shared {
    /// The engine as it is now, if it answers.
    fn engine(&self) -> Result<MutexGuard<'_, Engine>> {
        if self.unreachable.load(Ordering::Relaxed) {
            return Err(Error::unreachable("The engine does not answer."));
        }
        Ok(self.engine_itself())
    }

    /// The engine as it is now, whether or not it answers.
    fn engine_itself(&self) -> MutexGuard<'_, Engine> {
        let mut engine = self.engine.lock().expect("no panic while held");
        engine.advance(self.clock.now());
        engine
    }

    /// Waits for a hint, or until something is due, or until `at`.
    async fn next_change(
        &self,
        hints: &mut broadcast::Receiver<PodId>,
        at: Option<Time>,
    ) -> Option<PodId> {
        let due = self.engine_itself().next_due();
        let wake = [due, at].into_iter().flatten().min();
        let elapsed = async {
            match wake {
                Some(at) => tokio::time::sleep(at.since(self.clock.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            hint = hints.recv() => hint.ok(),
            () = elapsed => None,
        }
    }
}

#[async_trait]
impl Orchestrator for MemoryOrchestrator {
    async fn ensure(&self, workload: &Workload, fence: &Fence) -> Result<Ensured> {
        let prepared = self.0.engine()?.prepare(workload)?;
        let id = match prepared {
            Prepared::Done(ensured) => {
                #[cfg(feature = "testing")]
                if matches!(ensured, Ensured::Pulling { .. }) && broken(Rule::OnlyThePassCreates) {
                    self.create_after_pull(workload.clone());
                }
                return Ok(ensured);
            }
            Prepared::Created(id) => id,
        };
        if !fence.holds().await? && !broken(Rule::StartBehindFence) {
            return Ok(Ensured::Fenced);
        }
        self.0.engine()?.start(workload.run, id)
    }

    async fn stop(&self, run: RunId, grace: Duration) -> Result<()> {
        self.0.engine()?.stop(run, grace);
        Ok(())
    }

    async fn remove(&self, run: RunId) -> Result<()> {
        let mut engine = self.0.engine()?;
        if broken(Rule::RemoveByRun) {
            for any in engine.runs_of(run.pod) {
                engine.remove(any);
            }
        }
        engine.remove(run);
        Ok(())
    }

    async fn purge(&self, pod: PodId) -> Result<()> {
        self.0.engine()?.purge(pod);
        Ok(())
    }

    async fn observe(&self, pod: PodId) -> Result<Seen> {
        Ok(self.0.engine()?.observe(pod))
    }

    async fn list(&self) -> Result<BoxStream<'static, Result<Found>>> {
        let found = self.0.engine()?.list();
        Ok(stream::iter(found.into_iter().map(Ok)).boxed())
    }

    async fn watch(&self) -> Result<BoxStream<'static, PodId>> {
        let hints = self.0.engine()?.hints.subscribe();
        let changes = stream::unfold((self.0.clone(), hints), |(shared, mut hints)| async move {
            loop {
                let hint = shared.next_change(&mut hints, None).await;
                if shared.engine().is_err() {
                    return None;
                }
                if let Some(pod) = hint {
                    return Some((pod, (shared, hints)));
                }
            }
        });
        Ok(changes.boxed())
    }

    async fn logs(
        &self,
        run: RunId,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine>>> {
        drop(self.0.engine()?);
        Ok(log::stream(self.0.clone(), run, query.clone()))
    }

    async fn usage(&self, run: RunId) -> Result<Usage> {
        let engine = self.0.engine()?;
        let container = engine.containers.get(&run);
        Ok(container.map_or_else(Usage::default, |c| c.usage(engine.now)))
    }

    async fn capacity(&self) -> Result<Capacity> {
        Ok(Capacity {
            devices: self.0.engine()?.devices.clone(),
            needs_host_ports: true,
            simulated: true,
            caveats: vec!["Nothing really runs: this backend simulates.".to_owned()],
            ..Capacity::default()
        })
    }
}
