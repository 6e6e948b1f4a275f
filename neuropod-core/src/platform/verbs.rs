//! The verbs: each checks who asks, changes a wish in one commit, and wakes the pod's own work.

use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Core, Platform};
use crate::activity::Did;
use crate::auth::{Action, Identity};
use crate::billing::{Admission, Ask, Quote};
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventKind;
use crate::id::PodId;
use crate::pod::{Desired, Hold, Pod, PodSpec, Reason};
use crate::pricing::PriceList;
use crate::receipt::{Done, Receipt};
use crate::reconcile::refused_verb;
use crate::settling::close_volume;
use crate::store::{Changes, Condition, Wake, WorkKey};
use crate::user::{Standing, User};
use crate::{accounts, budget, wish};

/// A verb that loses a race for the row so often in a row gives up.
const TRIES: usize = 8;

impl Platform {
    /// Does something if that receipt is not there yet.
    pub(super) async fn once<T: DeserializeOwned, F: Future<Output = Result<T>>>(
        &self,
        receipt: &Receipt,
        verb: impl Fn() -> F,
    ) -> Result<Done<T>> {
        if let Some(done) = self.done(receipt).await? {
            return Ok(done);
        }
        match verb().await {
            Ok(outcome) => Ok(Done {
                outcome,
                replayed: false,
            }),
            // The same may have been asked at the same time, and won.
            Err(error) => self.done(receipt).await?.ok_or(error),
        }
    }

    /// What a request with this receipt has come to, if it has happened already.
    ///
    /// # Errors
    /// `IdempotencyConflict` if something else was asked with this receipt's key.
    pub async fn done<T: DeserializeOwned>(&self, receipt: &Receipt) -> Result<Option<Done<T>>> {
        let outcome = receipt.done(&self.0).await?;
        Ok(outcome.map(|outcome| Done {
            outcome,
            replayed: true,
        }))
    }

    /// Wishes that the pod runs. A pod that does already is left as it is.
    ///
    /// # Errors
    /// `NotFound`, `Suspended`, `InvalidTransition` for a deleted pod, `InsufficientBalance`.
    pub async fn start(&self, who: &Identity, id: PodId) -> Result<Pod> {
        self.begin(who, id, false, None).await
    }

    /// Like [`Platform::start`], or [`Platform::start_accepting_loss`], and a repetition with the same receipt starts nothing
    /// more: it is answered as the first one was.
    ///
    /// # Errors
    /// Those of [`Platform::start`]; `IdempotencyConflict` if something else was asked with this receipt's key.
    pub async fn start_once(
        &self,
        who: &Identity,
        id: PodId,
        accept_loss: bool,
        receipt: &Receipt,
    ) -> Result<Done<Pod>> {
        self.once(receipt, || self.begin(who, id, accept_loss, Some(receipt)))
            .await
    }

    /// Like [`Platform::start`], and where the pod's volume is gone an empty one is made.
    ///
    /// # Errors
    /// Those of [`Platform::start`].
    pub async fn start_accepting_loss(&self, who: &Identity, id: PodId) -> Result<Pod> {
        self.begin(who, id, true, None).await
    }

    async fn begin(
        &self,
        who: &Identity,
        id: PodId,
        accept_loss: bool,
        receipt: Option<&Receipt>,
    ) -> Result<Pod> {
        let core = &self.0;
        for _ in 0..TRIES {
            let pod = self.allowed(who, Action::Spend, id).await?;
            if pod.desired == Desired::Deleted {
                return Err(Error::new(
                    ErrorKind::InvalidTransition,
                    "This pod is being deleted; it can't start.",
                ));
            }
            let owner = if pod.owner == who.user.id {
                who.user.clone()
            } else {
                self.user(pod.owner).await?
            };
            if owner.standing != Standing::Active {
                return Err(Error::new(
                    ErrorKind::Suspended,
                    "The account of this pod's owner is suspended.",
                ));
            }
            budget::allow_start(core, owner.id).await?;
            let (price_version, prices) = core.prices().await?;
            let quote = quote(core, &owner, &pod.spec, prices, price_version).await?;
            let now = core.clock.now();
            let mut after = pod.clone();
            if !wish::start(&mut after, quote.terms.clone(), hold(&quote, 0), now) {
                return Ok(pod);
            }
            after.accept_volume_loss = accept_loss;
            let mut conditions = match owner.version {
                0 => Vec::new(),
                version => vec![Condition::UserAt {
                    user: owner.id,
                    version,
                }],
            };
            let admission = Admission {
                pod: id,
                generation: after.generation,
                quote,
                at: now,
            };
            conditions.extend(core.billing.admit(&admission).await?);
            let changes = Changes {
                conditions,
                wakes: vec![accounts::wake(&after.terms.payer, now)],
                documents: receipt
                    .map(|receipt| receipt.of(&written(&after, now), now))
                    .transpose()?
                    .into_iter()
                    .chain([core.did(who, Did::StartPod, about(&pod))])
                    .collect(),
                ..Changes::default()
            };
            match write(core, &pod, after, now, changes, EventKind::PodUpdate).await {
                Err(e) if *e.kind() == ErrorKind::Conflict => {
                    // The same may have been asked at the same time, and won.
                    if let Some(receipt) = receipt
                        && receipt.done::<Pod>(core).await?.is_some()
                    {
                        return Err(e);
                    }
                }
                other => return other.map_err(refused_verb),
            }
        }
        Err(busy(id))
    }

    /// Wishes that the pod does not run; its volume stays. Charged for no more than the grace after this.
    ///
    /// # Errors
    /// `NotFound`, `InvalidTransition` for a deleted pod.
    pub async fn stop(&self, who: &Identity, id: PodId) -> Result<Pod> {
        self.end(who, id, Did::StopPod, |pod, reason, now| {
            if pod.desired == Desired::Deleted {
                return Err(Error::new(
                    ErrorKind::InvalidTransition,
                    "This pod is being deleted.",
                ));
            }
            Ok(wish::stop(pod, reason, now + wish::GRACE))
        })
        .await
    }

    /// Wishes that nothing of the pod is left. It is out of every list at once.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete(&self, who: &Identity, id: PodId) -> Result<Pod> {
        self.end(who, id, Did::DeletePod, |pod, reason, now| {
            Ok(wish::delete(pod, reason, now, now + wish::GRACE))
        })
        .await
    }

    async fn end(
        &self,
        who: &Identity,
        id: PodId,
        did: Did,
        change: impl Fn(&mut Pod, Reason, crate::Time) -> Result<bool>,
    ) -> Result<Pod> {
        for _ in 0..TRIES {
            let pod = self.allowed(who, Action::End, id).await?;
            let reason = if pod.owner == who.user.id {
                Reason::User
            } else {
                Reason::Admin
            };
            let mut after = pod.clone();
            let now = self.0.clock.now();
            if !change(&mut after, reason, now)? {
                return Ok(pod);
            }
            let mut changes = Changes {
                documents: vec![self.0.did(who, did, about(&pod))],
                ..Changes::default()
            };
            if pod.desired != Desired::Deleted {
                close_volume(&self.0, &after, &mut changes).await?;
            }
            let event = match after.desired {
                Desired::Deleted => EventKind::PodDeleted,
                _ => EventKind::PodUpdate,
            };
            match write(&self.0, &pod, after, now, changes, event).await {
                Err(e) if *e.kind() == ErrorKind::Conflict => {}
                // What the payer's empty balance leads to comes first, and nobody is to wait for that to come about.
                Err(e) => match accounts::unfunded(&e) {
                    Some(payer) => accounts::look_now(&self.0, payer).await?,
                    None => return Err(refused_verb(e)),
                },
                Ok(pod) => return Ok(pod),
            }
        }
        Err(busy(id))
    }
}

pub(super) async fn quote(
    core: &Core,
    payer: &User,
    spec: &PodSpec,
    prices: PriceList,
    price_version: u64,
) -> Result<Quote> {
    core.billing
        .quote(&Ask {
            payer: payer.clone(),
            spec: spec.clone(),
            prices,
            price_version,
        })
        .await
}

pub(super) fn hold(quote: &Quote, generation: u64) -> Option<Hold> {
    let some = quote.hold > crate::money::Money::ZERO;
    some.then(|| Hold {
        payer: quote.terms.payer.clone(),
        amount: quote.hold,
        generation,
    })
}

pub(super) fn wake(id: PodId, at: crate::Time) -> Wake {
    Wake {
        key: WorkKey::Pod(id),
        at,
    }
}

/// What the activity log says of a pod.
pub(super) fn about(pod: &Pod) -> serde_json::Value {
    json!({ "podId": pod.id, "podName": pod.spec.name, "owner": pod.owner })
}

fn busy(id: PodId) -> Error {
    Error::conflict("The pod is being changed by others all the time; try again.").with("pod", id)
}

/// The row that `after` becomes when it is written at `now`.
fn written(after: &Pod, now: crate::Time) -> Pod {
    Pod {
        updated_at: now,
        version: after.version + 1,
        ..after.clone()
    }
}

/// Writes a changed wish, with its event, and wakes the pod's own work.
async fn write(
    core: &Core,
    before: &Pod,
    mut after: Pod,
    now: crate::Time,
    mut changes: Changes,
    event: EventKind,
) -> Result<Pod> {
    after.updated_at = now;
    add(core, before, after.clone(), event, &mut changes);
    core.commit(changes).await?;
    after.version += 1;
    Ok(after)
}

/// Adds a changed wish, with its event, and what wakes the pod's own work.
pub(crate) fn add(core: &Core, before: &Pod, after: Pod, event: EventKind, changes: &mut Changes) {
    changes.touch.extend(core.lockable(&after.terms.payer));
    // A cutoff is set on a run that may be paid from another account than the next one.
    let of_run = before.run.as_ref();
    let of_run = of_run.and_then(|run| core.lockable(&run.terms.payer));
    changes
        .touch
        .extend(of_run.filter(|account| *account != after.terms.payer));
    changes.events.push(core.pod_event(event, &after));
    changes.wakes.push(wake(after.id, after.updated_at));
    changes.pods.push(after);
}
