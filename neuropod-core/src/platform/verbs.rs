//! The verbs: each checks who asks, changes a wish in one commit, and wakes the pod's own work.

use super::{Core, Platform};
use crate::auth::{Action, Identity, Owner};
use crate::billing::{Admission, Ask, Quote};
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventKind;
use crate::id::PodId;
use crate::launch::{Assignee, Deployment, Launch};
use crate::pod::{Deadlines, Desired, Hold, Pod, PodSpec, Reason};
use crate::pricing::PriceList;
use crate::reconcile::refused_verb;
use crate::store::{Changes, Condition, Wake, WorkKey};
use crate::user::{Role, Standing, User};
use crate::wish;

/// A verb that loses a race for the row so often in a row gives up.
const TRIES: usize = 8;

impl Platform {
    /// Launches a pod for the caller, or for [`Launch::assign_to`] if an administrator asks.
    ///
    /// # Errors
    /// `Invalid` naming each wrong field, `NotFound` for the template or user, `GpuUnavailable`, `QuotaExceeded`,
    /// `InsufficientBalance`, `Suspended`. Nothing has changed then.
    pub async fn launch(&self, who: &Identity, launch: &Launch) -> Result<Pod> {
        let core = &self.0;
        let owner = self.owner_of(who, launch.assign_to.as_ref()).await?;
        core.auth
            .authorize(who, Action::Spend, Owner::User(owner.id))
            .await?;
        let (price_version, prices) = core.prices().await?;
        let template = match launch.deployment {
            Deployment::Template(id) => {
                Some(self.template(id).await.map_err(|e| match e.kind() {
                    ErrorKind::NotFound => {
                        Error::invalid("/template", format!("There is no template {id}."))
                    }
                    _ => e,
                })?)
            }
            Deployment::Image(_) => None,
        };
        let spec = launch.check(&prices, template.as_ref())?;
        let quote = quote(core, &owner, &spec, prices.clone(), price_version).await?;
        let now = core.clock.now();
        let id = PodId::random(&core.entropy);
        let pod = Pod {
            created_by: who.user.id,
            hold: hold(&quote, 1),
            deadlines: Deadlines {
                stop_after: launch.stop_after.map(|d| now + d),
                delete_after: launch.delete_after.map(|d| now + d),
            },
            ..Pod::new(id, owner.id, spec, quote.terms.clone(), now)
        };
        let mut conditions = Vec::new();
        if owner.version > 0 {
            conditions.push(Condition::UserAt {
                user: owner.id,
                version: owner.version,
            });
        }
        if owner.role == Role::Client {
            conditions.push(Condition::FewerPods {
                owner: owner.id,
                max: prices.limits.pods_per_user,
            });
        }
        let admission = Admission {
            pod: id,
            generation: 1,
            quote,
            at: now,
        };
        conditions.extend(core.billing.admit(&admission).await?);
        let changes = Changes {
            conditions,
            touch: core.lockable(&pod.terms.payer).into_iter().collect(),
            events: vec![core.pod_event(EventKind::PodCreated, &pod)],
            wakes: vec![wake(id, now)],
            pods: vec![pod.clone()],
            ..Changes::default()
        };
        core.commit(changes).await.map_err(refused_verb)?;
        Ok(Pod { version: 1, ..pod })
    }

    /// Wishes that the pod runs. A pod that does already is left as it is.
    ///
    /// # Errors
    /// `NotFound`, `Suspended`, `InvalidTransition` for a deleted pod, `InsufficientBalance`.
    pub async fn start(&self, who: &Identity, id: PodId) -> Result<Pod> {
        self.begin(who, id, false).await
    }

    /// Like [`Platform::start`], and where the pod's volume is gone an empty one is made.
    ///
    /// # Errors
    /// Those of [`Platform::start`].
    pub async fn start_accepting_loss(&self, who: &Identity, id: PodId) -> Result<Pod> {
        self.begin(who, id, true).await
    }

    async fn begin(&self, who: &Identity, id: PodId, accept_loss: bool) -> Result<Pod> {
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
            let (price_version, prices) = core.prices().await?;
            let quote = quote(core, &owner, &pod.spec, prices, price_version).await?;
            let now = core.clock.now();
            let mut after = pod.clone();
            if !wish::start(&mut after, quote.terms.clone(), hold(&quote, 0)) {
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
            match write(core, &pod, after, conditions, EventKind::PodUpdate).await {
                Err(e) if *e.kind() == ErrorKind::Conflict => {}
                other => return other,
            }
        }
        Err(busy(id))
    }

    /// Wishes that the pod does not run; its volume stays. Charged for no more than the grace after this.
    ///
    /// # Errors
    /// `NotFound`, `InvalidTransition` for a deleted pod.
    pub async fn stop(&self, who: &Identity, id: PodId) -> Result<Pod> {
        self.end(who, id, EventKind::PodUpdate, |pod, reason, now| {
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
        self.end(who, id, EventKind::PodDeleted, |pod, reason, now| {
            Ok(wish::delete(pod, reason, now, now + wish::GRACE))
        })
        .await
    }

    async fn end(
        &self,
        who: &Identity,
        id: PodId,
        event: EventKind,
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
            if !change(&mut after, reason, self.0.clock.now())? {
                return Ok(pod);
            }
            match write(&self.0, &pod, after, Vec::new(), event).await {
                Err(e) if *e.kind() == ErrorKind::Conflict => {}
                other => return other,
            }
        }
        Err(busy(id))
    }

    async fn owner_of(&self, who: &Identity, assignee: Option<&Assignee>) -> Result<User> {
        let Some(assignee) = assignee else {
            return Ok(who.user.clone());
        };
        self.0
            .auth
            .authorize(who, Action::Administer, Owner::Platform)
            .await?;
        let (found, named) = match assignee {
            Assignee::User(id) => (self.0.store.user(*id).await?, id.to_string()),
            Assignee::Email(email) => (self.user_by_email(email).await?, email.clone()),
        };
        let clients = found.filter(|user| user.role == Role::Client);
        clients
            .ok_or_else(|| Error::invalid("/assignToUser", format!("There is no client {named}.")))
    }
}

async fn quote(
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

fn hold(quote: &Quote, generation: u64) -> Option<Hold> {
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

fn busy(id: PodId) -> Error {
    Error::conflict("The pod is being changed by others all the time; try again.").with("pod", id)
}

/// Writes a changed wish, with its event, and wakes the pod's own work.
async fn write(
    core: &Core,
    before: &Pod,
    mut after: Pod,
    conditions: Vec<Condition>,
    event: EventKind,
) -> Result<Pod> {
    let now = core.clock.now();
    after.updated_at = now;
    let mut touch: Vec<_> = core.lockable(&after.terms.payer).into_iter().collect();
    // A cutoff is set on a run that may be paid from another account than the next one.
    touch.extend(
        before
            .run
            .as_ref()
            .and_then(|r| core.lockable(&r.terms.payer))
            .filter(|a| *a != after.terms.payer),
    );
    let changes = Changes {
        conditions,
        touch,
        events: vec![core.pod_event(event, &after)],
        wakes: vec![wake(after.id, now)],
        pods: vec![after.clone()],
        ..Changes::default()
    };
    core.commit(changes).await.map_err(refused_verb)?;
    after.version += 1;
    Ok(after)
}
