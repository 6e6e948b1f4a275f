//! Whether a user may go on: suspension, its end, and deletion. Each is one commit, with all that follows from it.

use serde_json::{Value, json};

use super::people::is_race;
use super::verbs::add;
use super::{Core, Platform};
use crate::activity::Did;
use crate::auth::Identity;
use crate::error::{Error, Result};
use crate::event::{EventKind, NewEvent};
use crate::farewell;
use crate::id::{AccountId, PodId, UserId};
use crate::pod::{Desired, Pod, Reason};
use crate::settling::close_volume;
use crate::store::{Changes, Condition, PodFilter, StoreExt, Wake, WorkKey};
use crate::user::{Standing, User};
use crate::{accounts, wish};

/// A user that others change so often in a row is left as he is.
const TRIES: usize = 8;

/// A user who was suspended or deleted, and his pods that end with that.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// As he is now.
    pub user: User,
    /// Pods whose wish was changed.
    pub pods: Vec<PodId>,
    /// Pods among them that ran, or were about to.
    pub active: usize,
    /// Sessions that were ended.
    pub sessions: usize,
}

impl Platform {
    /// Suspends a user: his pods are stopped, and sign-in, launch and start are refused until that is lifted; for
    /// administrators. His sessions stay, and are good for nothing but to be told so. One who is suspended already is no
    /// error.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for an administrator; `NotFound`.
    pub async fn suspend(&self, who: &Identity, id: UserId) -> Result<Ended> {
        self.administers(who).await?;
        let core = &self.0;
        let mut stopped = Vec::new();
        for _ in 0..TRIES {
            let user = self.client(id).await?;
            let pods = core.store.all_pods(PodFilter::OwnedBy(id)).await?;
            let now = core.clock.now();
            let mut changes = Changes::default();
            for pod in &pods {
                let mut after = pod.clone();
                if !pod.has_ended() && wish::stop(&mut after, Reason::Admin, now + wish::GRACE) {
                    after.updated_at = now;
                    add(core, pod, after, EventKind::PodUpdate, &mut changes);
                }
            }
            let ids: Vec<PodId> = changes.pods.iter().map(|pod| pod.id).collect();
            // Twice: what was launched between the two is found by the second.
            if user.standing == Standing::Suspended && ids.is_empty() {
                return Ok(Ended {
                    user,
                    active: stopped.len(),
                    pods: stopped,
                    sessions: 0,
                });
            }
            changes.conditions.push(no_more_pods(id, pods.len()));
            // Not by name: what was done stays when the person is forgotten.
            let details = json!({ "userId": id, "podsStopped": ids });
            changes
                .documents
                .push(core.did(who, Did::UserSuspended, details));
            let told = format!("{} was suspended.", user.email);
            changes
                .events
                .push(notice(core, "userSuspended", id, &told));
            changes.events.push(NewEvent::access_changed(id, now));
            changes.users.push(User {
                standing: Standing::Suspended,
                ..user
            });
            match core.commit(changes).await {
                Err(e) if is_race(&e) => {}
                other => {
                    core.auth.changed(id).await;
                    other?;
                    stopped.extend(ids);
                }
            }
        }
        Err(busy())
    }

    /// Lifts a suspension; for administrators. Pods stay as they are. One who is not suspended is no error.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`, `Conflict` if he is changed at the same time.
    pub async fn unsuspend(&self, who: &Identity, id: UserId) -> Result<User> {
        self.administers(who).await?;
        let core = &self.0;
        let user = self.client(id).await?;
        if user.standing == Standing::Active {
            return Ok(user);
        }
        let details = json!({ "userId": id });
        let after = User {
            standing: Standing::Active,
            ..user
        };
        core.commit(Changes {
            users: vec![after.clone()],
            documents: vec![core.did(who, Did::UserUnsuspended, details)],
            ..Changes::default()
        })
        .await?;
        core.auth.changed(id).await;
        Ok(User {
            version: after.version + 1,
            ..after
        })
    }

    /// Deletes a user: his sessions end and his pods' wish is that nothing is left of them; for administrators. What is known
    /// of the person goes when the last pod has gone, however long the backend takes for that; then what is left of the
    /// balance goes to `forfeited`. Account, transfers and activities stay, under the bare id.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for an administrator; `NotFound`, also for one who is being deleted.
    pub async fn delete_user(&self, who: &Identity, id: UserId) -> Result<Ended> {
        self.administers(who).await?;
        let core = &self.0;
        for _ in 0..TRIES {
            let user = self.client(id).await?;
            let listed = core.store.all_pods(PodFilter::OwnedBy(id)).await?;
            let pods = core.store.all_pods(PodFilter::LeftOf(id)).await?;
            let mut changes = Changes {
                conditions: vec![no_more_pods(id, listed.len())],
                documents: farewell::sessions(core, id).await?,
                ..Changes::default()
            };
            let sessions = changes.documents.len();
            let active = pods.iter().filter(|pod| wants_run(pod)).count();
            let mut deleted = Vec::new();
            for pod in &pods {
                let (after, wanted) = without_owner(core, pod);
                if wanted {
                    close_volume(core, &after, &mut changes).await?;
                    deleted.push(pod.id);
                }
                add(core, pod, after, EventKind::PodDeleted, &mut changes);
            }
            let details = json!({
                "userId": id,
                "podsDeleted": deleted.len(),
                "sessionsDeleted": sessions,
            });
            changes
                .documents
                .push(core.did(who, Did::UserDeleted, details));
            let now = core.clock.now();
            changes.events.push(NewEvent::access_changed(id, now));
            changes.wakes.push(Wake {
                key: WorkKey::Account(AccountId::of(id)),
                at: core.clock.now(),
            });
            let user = User {
                standing: Standing::Deleting,
                ..user
            };
            changes.users.push(user.clone());
            match core.commit(changes).await {
                // What the empty balance leads to comes first, and nobody is to wait for that to come about.
                Err(e) => match accounts::unfunded(&e) {
                    Some(payer) => accounts::look_now(core, payer).await?,
                    None if is_race(&e) => {}
                    None => return Err(e),
                },
                Ok(()) => {
                    core.auth.changed(id).await;
                    return Ok(Ended {
                        user,
                        pods: deleted,
                        active,
                        sessions,
                    });
                }
            }
        }
        Err(busy())
    }
}

/// The pod as it is to be when its owner is no user any more, and whether it was wished to be there.
fn without_owner(core: &Core, pod: &Pod) -> (Pod, bool) {
    let now = core.clock.now();
    let mut after = pod.clone();
    let wanted = wish::delete(&mut after, Reason::OwnerDeleted, now, now + wish::GRACE);
    // Also of one that he had deleted himself: its purge is what the farewell waits for.
    after.reason = Some(Reason::OwnerDeleted);
    after.updated_at = now;
    (after, wanted)
}

fn wants_run(pod: &Pod) -> bool {
    pod.desired == Desired::Running && !pod.has_ended()
}

/// That nothing was launched meanwhile.
fn no_more_pods(owner: UserId, pods: usize) -> Condition {
    Condition::FewerPods {
        owner,
        max: u32::try_from(pods).unwrap_or(u32::MAX).saturating_add(1),
    }
}

fn notice(core: &Core, kind: &str, user: UserId, message: &str) -> NewEvent {
    let body: Value = json!({ "kind": kind, "userId": user, "message": message });
    NewEvent {
        kind: EventKind::AdminNotice,
        at: core.clock.now(),
        pod: None,
        owner: None,
        body,
    }
}

fn busy() -> Error {
    Error::conflict("This user is being changed by others all the time; try again.")
}

#[cfg(all(test, feature = "testing"))]
mod tests;
