//! Pulls of images: shared by all runs that want the image, given up when none does any more.

use std::collections::{BTreeMap, BTreeSet};

use super::behaviour::Behaviour;
use super::engine::refused;
use crate::error::{Refusal, Result};
use crate::id::{PodId, RunId};
use crate::orchestrator::Ensured;
use crate::time::Time;

/// Every simulated image has this size.
const IMAGE_BYTES: u64 = 1 << 30;

#[derive(Debug, Default)]
pub(super) struct Pulls {
    present: BTreeSet<String>,
    running: BTreeMap<String, Pull>,
    /// Runs whose pull failed, until they have been told.
    failed: BTreeMap<RunId, Refusal>,
}

#[derive(Debug)]
pub(super) struct Pull {
    since: Time,
    pub(super) until: Time,
    fails: Option<Refusal>,
    wanted_by: BTreeSet<RunId>,
}

impl Pull {
    pub(super) fn progress(&self, now: Time) -> Ensured {
        let whole = self.until.since(self.since).as_micros().max(1);
        let share = u128::from(IMAGE_BYTES) * now.since(self.since).as_micros() / whole;
        Ensured::Pulling {
            done: u64::try_from(share).unwrap_or(IMAGE_BYTES),
            total: Some(IMAGE_BYTES),
        }
    }
}

impl Pulls {
    pub(super) fn has(&self, image: &str) -> bool {
        self.present.contains(image)
    }

    /// Starts or joins the pull; tells a run, once, that its pull failed.
    pub(super) fn join(
        &mut self,
        run: RunId,
        image: &str,
        behaviour: &Behaviour,
        now: Time,
    ) -> Result<&Pull> {
        if let Some(refusal) = self.failed.remove(&run) {
            return Err(refused(refusal));
        }
        let pull = self.running.entry(image.to_owned()).or_insert(Pull {
            since: now,
            until: now + behaviour.pull,
            fails: behaviour.pull_fails,
            wanted_by: BTreeSet::new(),
        });
        pull.wanted_by.insert(run);
        Ok(pull)
    }

    /// A pull that was due at `at` has ended. Answers who waited for it.
    pub(super) fn finish(&mut self, image: &str, at: Time) -> BTreeSet<RunId> {
        // It may have been given up and begun again since that was planned.
        if self.running.get(image).is_none_or(|pull| pull.until > at) {
            return BTreeSet::new();
        }
        let Some(pull) = self.running.remove(image) else {
            return BTreeSet::new();
        };
        match pull.fails {
            Some(refusal) => {
                let told_later = pull.wanted_by.iter().map(|run| (*run, refusal));
                self.failed.extend(told_later);
            }
            None => {
                self.present.insert(image.to_owned());
            }
        }
        pull.wanted_by
    }

    /// The run wants no image any more.
    pub(super) fn leave(&mut self, run: RunId) {
        self.leave_where(|wanting| *wanting == run);
    }

    /// No run of the pod wants an image any more.
    pub(super) fn leave_all(&mut self, pod: PodId) {
        self.leave_where(|wanting| wanting.pod == pod);
    }

    fn leave_where(&mut self, leaves: impl Fn(&RunId) -> bool) {
        self.failed.retain(|run, _| !leaves(run));
        self.running.retain(|_, pull| {
            pull.wanted_by.retain(|run| !leaves(run));
            !pull.wanted_by.is_empty()
        });
    }

    /// Every run that waits for an image or for the news that there is none.
    #[cfg(feature = "testing")]
    pub(super) fn waiting(&self) -> BTreeSet<RunId> {
        let pulling = self.running.values().flat_map(|p| p.wanted_by.iter());
        pulling.chain(self.failed.keys()).copied().collect()
    }

    /// The engine restarts: pulls are lost.
    #[cfg(feature = "testing")]
    pub(super) fn interrupt(&mut self) {
        self.running.clear();
    }
}
