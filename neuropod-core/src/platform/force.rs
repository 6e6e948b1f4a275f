//! The end of a pod's run that its backend will never tell, because an administrator says so.

use super::verbs::{about, add};
use super::{Core, Platform};
use crate::activity::Did;
use crate::auth::{Action, Identity};
use crate::decide::{End, last_seen};
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventKind;
use crate::id::PodId;
use crate::pod::Pod;
use crate::store::{Changes, LeaseChange, Wake, WorkKey};
use crate::{accounts, life, queue, settling, sweep};

/// A pod that others change so often in a row is left as it is.
const TRIES: usize = 8;

impl Platform {
    /// Accepts that the open run of a pod is lost, though the backend does not confirm it and perhaps never will; for
    /// administrators. It is charged to when it was last seen. Its devices are set aside until a complete list of the backend
    /// shows no container that no run accounts for. If its container is there after all it is removed once the backend answers;
    /// a deleted pod stays until it shows nothing.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`; `InvalidTransition` for a pod that has no open run.
    pub async fn force(&self, who: &Identity, id: PodId) -> Result<Pod> {
        self.administers(who).await?;
        let core = &self.0;
        for _ in 0..TRIES {
            let pod = self.allowed(who, Action::End, id).await?;
            let Some(run) = &pod.run else {
                return Err(Error::new(
                    ErrorKind::InvalidTransition,
                    "This pod has no run whose end is waited for.",
                ));
            };
            let now = core.clock.now();
            let seen = last_seen(run, &sweep::last(core).await?);
            let mut end = End::lost();
            end.message = Some("An administrator has given it up.".to_owned());
            let mut after = pod.clone();
            life::close(&mut after, &end, now);
            after.updated_at = now;
            let devices = std::mem::take(&mut after.devices);
            let mut changes = Changes {
                leases: devices
                    .iter()
                    .map(|device| LeaseChange::SetAside {
                        resource: queue::resource(device),
                        pod: id,
                        until: None,
                    })
                    .collect(),
                documents: vec![core.did(who, Did::ForcePod, about(&pod))],
                ..Changes::default()
            };
            if run.started_at.is_some() {
                let reading = settling::closed(&pod, run, &end, (now, seen), now);
                settling::settle(core, &[reading], &mut changes).await?;
            }
            add(
                core,
                &pod,
                after.clone(),
                EventKind::PodUpdate,
                &mut changes,
            );
            match core.commit(changes).await {
                Err(e) if *e.kind() == ErrorKind::Conflict => {}
                Err(e) => match accounts::unfunded(&e) {
                    Some(payer) => accounts::look_now(core, payer).await?,
                    None => return Err(e),
                },
                Ok(()) => {
                    after.version += 1;
                    return Ok(after);
                }
            }
        }
        Err(Error::conflict(
            "The pod is being changed by others all the time; try again.",
        ))
    }
}

/// Adds what gives back the devices that were set aside, since nothing unknown can use them any more.
pub(crate) async fn clear(core: &Core, changes: &mut Changes) -> Result<()> {
    let leases = core.store.leases(queue::DEVICES).await?;
    let aside = leases
        .into_iter()
        .filter(|lease| lease.pod.is_none() && lease.until.is_none());
    changes.leases.extend(aside.map(|lease| LeaseChange::Clear {
        resource: lease.resource,
    }));
    if !changes.leases.is_empty() {
        let (_, prices) = core.prices().await?;
        let now = core.clock.now();
        changes
            .wakes
            .extend(prices.gpus.into_keys().map(|gpu| Wake {
                key: WorkKey::Queue(gpu),
                at: now,
            }));
    }
    Ok(())
}

#[cfg(all(test, feature = "testing"))]
mod tests;
