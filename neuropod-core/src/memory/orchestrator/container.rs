//! One container of the simulated engine.

use std::sync::Arc;
use std::time::Duration;

use super::behaviour::Behaviour;
use crate::error::RetryCause;
use crate::id::{DeviceId, RunId};
use crate::orchestrator::{ExitCause, GpuUsage, Instance, PortMap, State, Usage, Workload};
use crate::pod::{Endpoint, Reason};
use crate::time::Time;

/// Exit codes as a container engine gives them: 128 + the number of the signal.
pub(super) const KILLED: i64 = 137;
const TERMINATED: i64 = 143;

#[derive(Debug)]
pub(super) struct Container {
    /// Never reused: starting by it can't start another container of the same run.
    pub(super) id: u64,
    pub(super) generation: u64,
    pub(super) spec_hash: String,
    pub(super) ports: Vec<PortMap>,
    pub(super) devices: Vec<DeviceId>,
    /// The port of its Jupyter, if it was asked for.
    jupyter: Option<u16>,
    memory_bytes: u64,
    behaviour: Arc<Behaviour>,
    pub(super) life: Life,
    /// Lines by time; those of the future too, while it runs.
    pub(super) printed: Vec<(Time, String)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Life {
    Created,
    /// Its start failed.
    Failed(RetryCause),
    Running {
        started_at: Time,
        end: Option<End>,
    },
    Ended {
        started_at: Time,
        /// `None` if nobody observed it.
        finished_at: Option<Time>,
        code: i64,
        cause: ExitCause,
    },
}

/// How and when a running container will end.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) at: Time,
    pub(super) code: i64,
    pub(super) cause: ExitCause,
}

impl Container {
    pub(super) fn new(id: u64, workload: &Workload, behaviour: Arc<Behaviour>) -> Self {
        Self {
            id,
            generation: workload.generation,
            spec_hash: workload.spec_hash.clone(),
            ports: workload.ports.clone(),
            devices: workload.devices.clone(),
            jupyter: workload.jupyter.as_ref().map(|j| j.port),
            memory_bytes: workload.resources.memory_bytes,
            behaviour,
            life: Life::Created,
            printed: Vec::new(),
        }
    }

    /// Its program starts. Answers when it will end by itself.
    pub(super) fn start(&mut self, at: Time) -> Option<Time> {
        let end = self.behaviour.runs_for.map(|d| End {
            at: at + d,
            code: self.behaviour.code,
            cause: self.behaviour.cause,
        });
        self.life = Life::Running {
            started_at: at,
            end,
        };
        let lines = self.behaviour.prints.iter();
        self.printed
            .extend(lines.map(|(after, text)| (at + *after, text.clone())));
        end.map(|e| e.at)
    }

    /// Its program is asked to end, and killed after `grace`. Answers the instant if that is earlier than before.
    pub(super) fn terminate(&mut self, now: Time, grace: Duration) -> Option<Time> {
        let (after, code) = match self.behaviour.ends_within {
            Some(d) if d <= grace => (d, TERMINATED),
            _ => (grace, KILLED),
        };
        let Life::Running { end, .. } = &mut self.life else {
            return None;
        };
        let at = now + after;
        if end.is_some_and(|e| e.at <= at) {
            return None;
        }
        let cause = ExitCause::Ended;
        *end = Some(End { at, code, cause });
        Some(at)
    }

    /// Its program has ended; what it had not printed by then it never prints.
    pub(super) fn finish(&mut self, end: End, observed: bool) {
        if let Life::Running { started_at, .. } = self.life {
            self.printed.retain(|(at, _)| *at <= end.at);
            self.life = Life::Ended {
                started_at,
                finished_at: observed.then_some(end.at),
                code: end.code,
                cause: end.cause,
            };
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.life, Life::Running { .. })
    }

    pub(super) fn instance(&self, run: RunId, now: Time, host: &str) -> Instance {
        let state = match self.life {
            Life::Created => State::Pending {
                reason: String::new(),
            },
            Life::Failed(cause) => State::Exited {
                started_at: None,
                finished_at: None,
                code: None,
                cause: ExitCause::Retry(cause),
            },
            Life::Running { started_at, .. } => State::Running {
                started_at,
                endpoints: self.endpoints(started_at, now, host),
            },
            Life::Ended {
                started_at,
                finished_at,
                code,
                cause,
            } => State::Exited {
                started_at: Some(started_at),
                finished_at,
                code: Some(code),
                cause,
            },
        };
        Instance {
            run,
            generation: self.generation,
            state,
        }
    }

    fn endpoints(&self, started_at: Time, now: Time, host: &str) -> Vec<Endpoint> {
        let Behaviour {
            ready_after,
            jupyter_after,
            ..
        } = *self.behaviour;
        let endpoint = |port: &PortMap| {
            let is_jupyter = self.jupyter == Some(port.container);
            let after = if is_jupyter {
                jupyter_after
            } else {
                ready_after
            };
            Endpoint {
                container: port.container,
                proto: port.proto,
                host: host.to_owned(),
                port: port.host.unwrap_or(port.container),
                tls: false,
                ready: after.is_some_and(|after| started_at + after <= now),
                failed: (is_jupyter && after.is_none()).then_some(Reason::JupyterUnavailable),
            }
        };
        self.ports.iter().map(endpoint).collect()
    }

    pub(super) fn usage(&self, now: Time) -> Usage {
        if !self.is_running() {
            return Usage::default();
        }
        Usage {
            at: Some(now),
            memory_limit_bytes: Some(self.memory_bytes),
            gpus: self.gpus(),
            ..self.behaviour.usage.clone()
        }
    }

    /// Its devices do what the behaviour says of the first, the second and so on, whatever they are called there.
    fn gpus(&self) -> Vec<GpuUsage> {
        let told = self.behaviour.usage.gpus.iter().map(Some);
        let told = told.chain(std::iter::repeat(None));
        let gpu = |(uuid, told): (&DeviceId, Option<&GpuUsage>)| GpuUsage {
            uuid: uuid.clone(),
            ..told.map_or_else(|| GpuUsage::unknown(uuid.clone()), GpuUsage::clone)
        };
        self.devices.iter().zip(told).map(gpu).collect()
    }
}
