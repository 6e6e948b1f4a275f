//! Launching, and what it would cost.

use std::time::Duration;

use super::Platform;
use super::verbs::{about, hold, quote, wake};
use crate::activity::Did;
use crate::auth::{Action, Identity, Owner};
use crate::billing::{Admission, Balance, Quote};
use crate::budget;
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventKind;
use crate::id::PodId;
use crate::launch::{Assignee, Deployment, Launch};
use crate::money::time_for;
use crate::pod::{Deadlines, Pod, PodSpec};
use crate::pricing::PriceList;
use crate::queue;
use crate::receipt::{Done, Receipt};
use crate::reconcile::refused_verb;
use crate::store::{Changes, Condition, PodFilter, StoreExt};
use crate::user::{Role, User};

/// What a launch would cost, and whether it could be had now.
#[derive(Debug)]
pub struct Offer {
    /// Its price, and what must be available for it.
    pub quote: Quote,
    /// What its payer has.
    pub balance: Balance,
    /// How long that lasts with this pod beside what runs already; `None` if for ever.
    pub lasts: Option<Duration>,
    /// Why it can't be had now, if it can't.
    pub refusal: Option<Error>,
}

/// A launch that was found to be in order.
struct Checked {
    owner: User,
    spec: PodSpec,
    quote: Quote,
    prices: PriceList,
}

impl Platform {
    /// Launches a pod for the caller, or for [`Launch::assign_to`] if an administrator asks.
    ///
    /// # Errors
    /// `Invalid` naming each wrong field, `NotFound` for the template or user, `GpuUnavailable`, `QuotaExceeded`,
    /// `InsufficientBalance`, `Suspended`. Nothing has changed then.
    pub async fn launch(&self, who: &Identity, launch: &Launch) -> Result<Pod> {
        self.launch_with(who, launch, None).await
    }

    /// Like [`Platform::launch`], and a repetition with the same receipt launches nothing more: it is answered as the first
    /// one was, whatever has become of the pod.
    ///
    /// # Errors
    /// Those of [`Platform::launch`]; `IdempotencyConflict` if something else was asked with this receipt's key.
    pub async fn launch_once(
        &self,
        who: &Identity,
        launch: &Launch,
        receipt: &Receipt,
    ) -> Result<Done<Pod>> {
        self.once(receipt, || self.launch_with(who, launch, Some(receipt)))
            .await
    }

    /// What [`Platform::launch`] would cost the caller, and whether he would get it now. Nothing is set aside.
    ///
    /// # Errors
    /// Those of an ask that is wrong whatever there is; what is only short now is told as [`Offer::refusal`].
    pub async fn offer(&self, who: &Identity, launch: &Launch) -> Result<Offer> {
        let checked = self.check(who, launch).await?;
        let account = &checked.quote.terms.payer;
        let now = self.0.clock.now();
        let balance = self.0.billing.balance(account, now).await?;
        let burn = balance.burn_per_hour + checked.quote.per_hour();
        let lasts = time_for(balance.left(), burn).filter(|_| !balance.unlimited);
        let refusal = self.refusal(&checked, &balance).await.err();
        Ok(Offer {
            quote: checked.quote,
            balance,
            lasts,
            refusal,
        })
    }

    /// What a launch would be refused for now, or would wait for.
    async fn refusal(&self, checked: &Checked, balance: &Balance) -> Result<()> {
        let Checked {
            owner,
            spec,
            quote,
            prices,
        } = checked;
        let pods = PodFilter::OwnedBy(owner.id);
        let max = prices.limits.pods_per_user;
        if owner.role == Role::Client && self.0.store.all_pods(pods).await?.len() >= max as usize {
            let condition = Condition::FewerPods {
                owner: owner.id,
                max,
            };
            return Err(refused_verb(Error::condition(condition, "")));
        }
        if !balance.unlimited && balance.available < quote.hold {
            let condition = Condition::Hold {
                payer: quote.terms.payer.clone(),
                pod: PodId::from_bytes([0; 8]),
                amount: quote.hold,
                at: self.0.clock.now(),
            };
            return Err(refused_verb(Error::condition(condition, "")));
        }
        let queued = PodFilter::QueuedFor(spec.gpu.clone());
        let waiting = self.0.store.all_pods(queued).await?.len();
        let free = queue::free_for(&self.0, &spec.gpu, spec.devices).await?;
        match free {
            Some(free) if waiting > 0 || free.len() < spec.devices as usize => Err(Error::new(
                ErrorKind::NoCapacity,
                format!(
                    "No {} is free now: the pod would wait, with {waiting} before it.",
                    spec.gpu
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Whose pod it is to be, what exactly, and at which price.
    async fn check(&self, who: &Identity, launch: &Launch) -> Result<Checked> {
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
        budget::allow_start(core, owner.id).await?;
        let quote = quote(core, &owner, &spec, prices.clone(), price_version).await?;
        Ok(Checked {
            owner,
            spec,
            quote,
            prices,
        })
    }

    async fn launch_with(
        &self,
        who: &Identity,
        launch: &Launch,
        receipt: Option<&Receipt>,
    ) -> Result<Pod> {
        let core = &self.0;
        let Checked {
            owner,
            spec,
            quote,
            prices,
        } = self.check(who, launch).await?;
        let now = core.clock.now();
        let id = PodId::random(&core.entropy);
        let pod = Pod {
            created_by: who.user.id,
            hold: hold(&quote, 1),
            deadlines: Deadlines {
                stop_after: launch.stop_after.map(|d| now + d),
                delete_after: launch.delete_after.map(|d| now + d),
            },
            idle_stop: launch.idle_stop,
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
        let written = Pod {
            version: 1,
            ..pod.clone()
        };
        let receipt = receipt
            .map(|receipt| receipt.of(&written, now))
            .transpose()?;
        let changes = Changes {
            conditions,
            touch: core.lockable(&pod.terms.payer).into_iter().collect(),
            documents: receipt
                .into_iter()
                .chain([core.did(who, Did::CreatePod, about(&pod))])
                .collect(),
            events: vec![core.pod_event(EventKind::PodCreated, &pod)],
            wakes: vec![wake(id, now)],
            pods: vec![pod],
            ..Changes::default()
        };
        core.commit(changes).await.map_err(refused_verb)?;
        Ok(written)
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
