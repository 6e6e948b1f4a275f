//! What a sweep counts while it reads every row.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, GpuId};
use crate::orchestrator::Capacity;
use crate::pod::{Phase, Pod};
use crate::time::Time;

/// What there was when the backend was listed last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Census {
    /// When.
    pub at: Time,
    /// How many pods are in which phase; a phase that no pod is in may be left out.
    pub pods: Vec<(Phase, u64)>,
    /// How many pods wait for which product.
    pub waiting: BTreeMap<GpuId, u64>,
    /// How many accounts pay for a run.
    pub payers: u64,
    /// How many pods the backend has something of that no row knows.
    pub orphans: u64,
    /// Devices that work, and devices that do not; `None` if the backend did not tell.
    pub devices: Option<(u64, u64)>,
}

/// A census that goes on.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    census: Census,
    payers: BTreeSet<AccountId>,
}

impl Counting {
    pub(crate) fn pod(&mut self, pod: &Pod) {
        let phase = pod.phase();
        let pods = &mut self.census.pods;
        match pods.iter_mut().find(|(other, _)| *other == phase) {
            Some((_, count)) => *count += 1,
            None => pods.push((phase, 1)),
        }
        if phase == Phase::Queued {
            let waiting = &mut self.census.waiting;
            *waiting.entry(pod.spec.gpu.clone()).or_default() += 1;
        }
        // Looked for first: there are far fewer payers than pods.
        if let Some(run) = &pod.run
            && !self.payers.contains(&run.terms.payer)
        {
            self.payers.insert(run.terms.payer.clone());
        }
    }

    pub(crate) fn orphan(&mut self) {
        self.census.orphans += 1;
    }

    pub(crate) fn devices(&mut self, capacity: &Capacity) {
        let healthy = capacity.devices.iter().filter(|d| d.healthy).count();
        let broken = capacity.devices.len() - healthy;
        self.census.devices = Some((healthy as u64, broken as u64));
    }

    pub(crate) fn end(self, at: Time) -> Census {
        Census {
            at,
            payers: self.payers.len() as u64,
            ..self.census
        }
    }
}
