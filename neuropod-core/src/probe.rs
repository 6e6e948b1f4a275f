//! GPUs that fail under a pod. Each sweep asks the backend which of its devices work; one that does not twice in a row ends
//! the run that has it, which is charged to the last probe that found it good, and is nobody's for an hour after that. Only
//! what the backend itself says to be broken is: one that it does not know, or that nobody can measure, is left alone.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::error::{ErrorKind, Result};
use crate::event::EventKind;
use crate::id::{DeviceId, PodId};
use crate::orchestrator::Device;
use crate::platform::{Core, add_wish};
use crate::pod::{Pod, Reason};
use crate::queue;
use crate::store::{Changes, LeaseChange};
use crate::time::Time;
use crate::wish;

/// A device that was lost under a pod is leased again so much later at the soonest, however well it may look before.
const QUARANTINE: Duration = Duration::from_secs(3600);

/// What the last probe has found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Probed {
    /// When it was made; zero before the first.
    at: Time,
    /// The devices that did not work, and when they were last found good.
    bad: BTreeMap<DeviceId, Time>,
}

impl Probed {
    /// What is known after a probe at `now` that found these, and which of them are lost since when.
    fn next(&self, found: &[Device], now: Time) -> (Self, BTreeMap<DeviceId, Time>) {
        let broken = found.iter().filter(|device| !device.healthy);
        let since = broken.map(|device| {
            let known = self.bad.get(&device.id);
            (device.id.clone(), *known.unwrap_or(&self.at))
        });
        let bad: BTreeMap<_, _> = since.collect();
        let again = bad.iter().filter(|(id, _)| self.bad.contains_key(id));
        let lost = again.map(|(id, since)| (id.clone(), *since)).collect();
        (Self { at: now, bad }, lost)
    }
}

/// Ends the runs of devices that are lost by what a probe at `now` has found. Answers what the next one has to know.
pub(crate) async fn judge(
    core: &Core,
    before: Probed,
    found: &[Device],
    now: Time,
) -> Result<Probed> {
    let (after, lost) = before.next(found, now);
    if lost.is_empty() {
        return Ok(after);
    }
    for lease in core.store.leases(queue::DEVICES).await? {
        let mut lost = lost.iter();
        let of_lease = lost.find(|(device, _)| queue::resource(device) == lease.resource);
        if let (Some((device, good)), Some(pod)) = (of_lease, lease.pod) {
            match take_away(core, pod, device, *good).await {
                // The next probe finds it bad again.
                Err(e) if *e.kind() == ErrorKind::Conflict => {}
                other => other?,
            }
        }
    }
    Ok(after)
}

/// Takes a lost device from a pod, and ends the run that has it.
async fn take_away(core: &Core, id: PodId, device: &DeviceId, good: Time) -> Result<()> {
    let Some(pod) = core.store.pod(id).await? else {
        return Ok(());
    };
    let Some(mut after) = without(&pod, device, good) else {
        return Ok(());
    };
    warn!(pod = %id, gpu = %device, "a GPU is lost");
    let now = core.clock.now();
    after.updated_at = now;
    let mut changes = Changes {
        leases: vec![LeaseChange::SetAside {
            resource: queue::resource(device),
            pod: id,
            until: Some(now + QUARANTINE),
        }],
        ..Changes::default()
    };
    add_wish(core, &pod, after, EventKind::PodUpdate, &mut changes);
    core.commit(changes).await
}

/// The pod after it has lost a device that was last good at `good`, if it had it. What runs with it is not wished any more,
/// and not charged since then; its owner may start it again with another one.
fn without(pod: &Pod, device: &DeviceId, good: Time) -> Option<Pod> {
    let mut after = pod.clone();
    after.devices.retain(|had| had != device);
    if after.devices.len() == pod.devices.len() {
        return None;
    }
    if let Some(run) = &mut after.run {
        wish::cut(run, good);
        if !pod.has_ended() && wish::stop(&mut after, Reason::GpuLost, good) {
            after.message = Some(format!("Its GPU {device} failed."));
        }
    }
    Some(after)
}

#[cfg(test)]
mod tests;
