//! What a caller may look at: rows from the store, and what only the backend can answer.

use std::collections::BTreeMap;

use futures::StreamExt;
use futures::stream::BoxStream;

use super::Platform;
use super::verbs::wake;
use crate::auth::{Action, Identity, Owner};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{GpuId, PodId, UserId};
use crate::orchestrator::{Capacity, LogLine, LogQuery, State};
use crate::pod::{Pod, Run};
use crate::pricing::{GpuEntry, PriceList};
use crate::store::{Changes, Page, PodFilter, PodQuery, UserQuery};
use crate::user::User;
use crate::{log, queue};

impl Platform {
    /// One pod of the caller's; administrators see everybody's. A deleted one is there until nothing of it is left.
    ///
    /// # Errors
    /// `NotFound`, also for somebody else's.
    pub async fn pod(&self, who: &Identity, id: PodId) -> Result<Pod> {
        self.allowed(who, Action::Read, id).await
    }

    /// Pods of `owner` whose delete was not accepted yet, newest first.
    ///
    /// # Errors
    /// `NotFound` if the caller may not look at them.
    pub async fn pods(
        &self,
        who: &Identity,
        owner: UserId,
        after: Option<String>,
        limit: u32,
    ) -> Result<Page<Pod>> {
        self.0
            .auth
            .authorize(who, Action::Read, Owner::User(owner))
            .await?;
        let limit = limit.clamp(1, 1000);
        self.0
            .store
            .pods(&PodQuery {
                filter: PodFilter::OwnedBy(owner),
                after,
                limit,
            })
            .await
    }

    /// One pod, with the ports that answer now by the backend's own word, which is written down soon after. Nothing else
    /// is ahead of the row: a run whose start is not recorded yet has no ports to show.
    ///
    /// # Errors
    /// `NotFound`, `Unreachable`.
    pub async fn refresh(&self, who: &Identity, id: PodId) -> Result<Pod> {
        let mut pod = self.allowed(who, Action::Read, id).await?;
        let all_ready = |run: &Run| run.ready_at.is_some() && run.endpoints.iter().all(|e| e.ready);
        let Some(run) = started(&pod).filter(|run| !all_ready(run)) else {
            return Ok(pod);
        };
        let id_of_run = pod.run_id(run);
        let seen = self.0.orchestrator.observe(id).await?;
        let instance = seen.instances.into_iter().find(|i| i.run == id_of_run);
        if let (Some(run), Some(State::Running { endpoints, .. })) =
            (&mut pod.run, instance.map(|i| i.state))
            && endpoints != run.endpoints
        {
            run.endpoints = endpoints;
            let changes = Changes {
                wakes: vec![wake(id, self.0.clock.now())],
                ..Changes::default()
            };
            self.0.commit(changes).await?;
        }
        Ok(pod)
    }

    /// The log of the pod's run, or of its last one.
    ///
    /// # Errors
    /// `NotFound`, `Unreachable`.
    pub async fn logs(
        &self,
        who: &Identity,
        id: PodId,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine>>> {
        let pod = self.allowed(who, Action::Read, id).await?;
        if let Some(run) = started(&pod) {
            return self.0.orchestrator.logs(pod.run_id(run), query).await;
        }
        match pod.last_ended {
            Some(run) => log::kept(&self.0, run, query).await,
            None => Ok(futures::stream::empty().boxed()),
        }
    }

    /// The place of a pod in the queue for its GPU, from 1; `None` if it does not wait.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn queue_position(&self, pod: &Pod) -> Result<Option<u32>> {
        queue::position(&self.0, pod).await
    }

    /// The price list in force, and its version.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn prices(&self) -> Result<(u64, PriceList)> {
        self.0.prices().await
    }

    /// How many devices are free now of each entry of the price list; `None` for one that needs none, or where the backend
    /// places pods itself.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn free_devices(&self) -> Result<BTreeMap<GpuId, Option<usize>>> {
        let capacity = self.0.capacity().await?;
        let leases = self.0.store.leases(queue::DEVICES).await?;
        let (_, prices) = self.0.prices().await?;
        let now = self.0.clock.now();
        let free = |entry: &GpuEntry| {
            let counted = entry.devices > 0 && !capacity.places_itself;
            counted.then(|| queue::free_devices(entry, &capacity, &leases, now).len())
        };
        let entries = prices.gpus.iter();
        Ok(entries
            .map(|(id, entry)| (id.clone(), free(entry)))
            .collect())
    }

    /// What the backend has, as of at most ten seconds ago.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn capacity(&self) -> Result<Capacity> {
        self.0.capacity().await
    }

    /// The user with this e-mail address, in any case.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<User>> {
        let mut query = UserQuery {
            contains: Some(email.to_owned()),
            after: None,
            limit: 100,
        };
        loop {
            let page = self.0.store.users(&query).await?;
            let found = page
                .items
                .into_iter()
                .find(|user| user.email.eq_ignore_ascii_case(email));
            if found.is_some() || page.next.is_none() {
                return Ok(found);
            }
            query.after = page.next;
        }
    }

    pub(super) async fn user(&self, id: UserId) -> Result<User> {
        self.0
            .store
            .user(id)
            .await?
            .ok_or_else(|| Error::not_found("user", id))
    }

    /// The pod, if the caller may do that to it. A tombstone is not there.
    pub(crate) async fn allowed(&self, who: &Identity, action: Action, id: PodId) -> Result<Pod> {
        let pod = self
            .0
            .store
            .pod(id)
            .await?
            .filter(|pod| !pod.is_tombstone());
        let pod = pod.ok_or_else(|| Error::not_found("pod", id))?;
        match self
            .0
            .auth
            .authorize(who, action, Owner::User(pod.owner))
            .await
        {
            // The same words as for one that is not there.
            Err(e) if *e.kind() == ErrorKind::NotFound => Err(Error::not_found("pod", id)),
            other => other.map(|()| pod),
        }
    }
}

/// The run that is known to have started.
fn started(pod: &Pod) -> Option<&Run> {
    pod.run.as_ref().filter(|run| run.started_at.is_some())
}

#[cfg(test)]
mod tests;
