//! What only a test can do to the simulated engine, and all that it knows about it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::MemoryOrchestrator;
use super::container::{End, KILLED, Life};
use super::engine::Prepared;
use crate::id::{DeviceId, PodId, RunId};
use crate::orchestrator::{Ensured, ExitCause, Instance, Workload};
use crate::time::Time;

/// Everything that exists on the engine, and everything that ever ran there, in the engine's time.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory {
    /// The engine's time.
    pub at: Time,
    /// Every container that is there.
    pub containers: Vec<Kept>,
    /// Every volume that is there, and its identity.
    pub volumes: Vec<(PodId, String)>,
    /// Runs that wait for a pull.
    pub pulling: BTreeSet<RunId>,
    /// Every start that ever succeeded, in order, also of containers that are gone.
    pub ran: Vec<Ran>,
}

/// A container that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// As it is observed.
    pub instance: Instance,
    /// The devices it was made with.
    pub devices: Vec<DeviceId>,
}

/// One interval in which a program ran. It used its devices all that time.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// Of which run.
    pub run: RunId,
    /// The devices it used.
    pub devices: Vec<DeviceId>,
    /// From then.
    pub started_at: Time,
    /// Until then, even where the engine reports no end; `None` while it runs.
    pub finished_at: Option<Time>,
}

impl MemoryOrchestrator {
    /// From now on every call fails, or none does.
    pub fn unreachable(&self, unreachable: bool) {
        self.0.unreachable.store(unreachable, Ordering::Relaxed);
        // Whoever follows a log or watches finds out by looking again.
        self.0.engine_itself().hint(PodId::from_bytes([0; 8]));
    }

    /// Somebody else kills every running container of the pod.
    pub fn kill_containers(&self, pod: PodId) {
        let mut engine = self.0.engine_itself();
        for run in engine.runs_of(pod) {
            engine.kill(run);
        }
    }

    /// Somebody else removes every container of the pod by force.
    pub fn vanish_containers(&self, pod: PodId) {
        let mut engine = self.0.engine_itself();
        for run in engine.runs_of(pod) {
            engine.remove(run);
        }
    }

    /// Somebody else removes the pod's volume.
    pub fn vanish_volume(&self, pod: PodId) {
        let mut engine = self.0.engine_itself();
        engine.volumes.remove(&pod);
        engine.hint(pod);
    }

    /// Somebody else restarts every container of the pod that has run.
    pub fn restart_containers(&self, pod: PodId) {
        let mut engine = self.0.engine_itself();
        for run in engine.runs_of(pod) {
            engine.kill(run);
            if let Some(Life::Ended { started_at, .. }) =
                engine.containers.get(&run).map(|c| c.life)
            {
                let at = engine.now.max(started_at + Duration::from_micros(1));
                engine.begin(run, at);
            }
        }
    }

    /// The engine restarts: every program ends and pulls are lost. `observed`: the engine says when that was; else
    /// it has the end of none, as Docker with its code 255.
    pub fn restart_engine(&self, observed: bool) {
        let mut engine = self.0.engine_itself();
        engine.pulls.interrupt();
        let end = End {
            at: engine.now,
            code: if observed { KILLED } else { 255 },
            cause: ExitCause::EngineRestart,
        };
        let runs: Vec<_> = engine.containers.keys().copied().collect();
        for run in runs {
            engine.end(run, end, observed);
        }
    }

    /// Somebody else takes, or frees, a host port.
    pub fn occupy_port(&self, port: u16, occupied: bool) {
        let mut engine = self.0.engine_itself();
        if occupied {
            engine.ports.entry(port).or_insert(None);
        } else if engine.ports.get(&port) == Some(&None) {
            engine.ports.remove(&port);
        }
    }

    /// A device fails, or works again.
    pub fn break_device(&self, device: &DeviceId, broken: bool) {
        let mut engine = self.0.engine_itself();
        let mut devices = engine.devices.iter_mut();
        if let Some(device) = devices.find(|known| known.id == *device) {
            device.healthy = !broken;
        }
    }

    /// What a backend must not do: a task that goes on after its caller is gone, and creates and starts.
    pub(super) fn create_after_pull(&self, workload: Workload) {
        let shared = self.0.clone();
        tokio::spawn(async move {
            loop {
                let prepared = shared.engine_itself().prepare(&workload);
                match prepared {
                    Ok(Prepared::Done(Ensured::Pulling { .. })) => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    Ok(Prepared::Created(id)) => {
                        let _ = shared.engine_itself().start(workload.run, id);
                        return;
                    }
                    _ => return,
                }
            }
        });
    }

    /// Everything there is.
    pub fn inventory(&self) -> Inventory {
        let engine = self.0.engine_itself();
        let containers = engine.containers.iter().map(|(run, c)| Kept {
            instance: c.instance(*run, engine.now, &engine.host),
            devices: c.devices.clone(),
        });
        Inventory {
            at: engine.now,
            containers: containers.collect(),
            volumes: engine.volumes.clone().into_iter().collect(),
            pulling: engine.pulls.waiting(),
            ran: engine.ran.clone(),
        }
    }
}
