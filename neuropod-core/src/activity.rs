//! The activity log: who did what, and when, for administrators. What changes something is noted by the commit that changes
//! it. Looks are noted too, but nobody waits for that: they are gathered and written together.

use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::auth::{Action, Identity, Owner};
use crate::error::{Error, Result};
use crate::id::{Entropy, UserId};
use crate::platform::{Core, Platform};
use crate::store::{Changes, DocChange, DocQuery, Document, Page};
use crate::time::Time;

/// The kind of an activity's document.
const KIND: &str = "activity";
/// How long a look is kept. What has changed something is kept for ever.
const LOOKS_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Looks are written together, after so long.
const TOGETHER: Duration = Duration::from_secs(1);
/// Or once there are so many.
const GATHERED: usize = 1000;
/// A question about one user and one action is answered from pages of one of them; so many are read for one answer.
const PAGES: usize = 20;

/// What somebody did. The original's names, and ours for what it did not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
#[allow(missing_docs)] // the names say it
pub enum Did {
    Signup,
    Login,
    Logout,
    UsersListed,
    UpdateUserBalance,
    UserSuspended,
    UserUnsuspended,
    UserDeleted,
    AdminBalancesFixed,
    GetPods,
    CreatePod,
    StartPod,
    StopPod,
    DeletePod,
    ForcePod,
    GetPodLogs,
    GetPricing,
    UpdatePricing,
    CalculateCost,
    ResetPricing,
    CreateTemplate,
    UpdateTemplate,
    DeleteTemplate,
    SetBudget,
    Broadcast,
    SocketConnect,
    SocketDisconnect,
}

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    /// When, in our time.
    #[serde(rename = "createdAt")]
    pub at: Time,
    /// Who.
    pub user_id: UserId,
    /// What.
    #[serde(rename = "action")]
    pub did: Did,
    /// About what. Never a secret.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub details: Value,
}

/// Which activities.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActivityQuery {
    /// Only this user's.
    pub user: Option<UserId>,
    /// Only this.
    pub did: Option<Did>,
    /// From then on.
    pub from: Option<Time>,
    /// Before that.
    pub to: Option<Time>,
    /// Where the last page ended.
    pub after: Option<String>,
    /// At most so many, 1 to 1000.
    pub limit: u32,
}

/// Looks that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<Gathered>);

#[derive(Debug, Default)]
struct Gathered {
    entries: Vec<DocChange>,
    since: Option<Time>,
}

impl Looks {
    fn take(&self) -> Vec<DocChange> {
        let mut gathered = self.0.lock().expect("no panic while held");
        gathered.since = None;
        std::mem::take(&mut gathered.entries)
    }

    /// Adds one, and takes all of them if it is time.
    fn add(&self, entry: DocChange, now: Time) -> Vec<DocChange> {
        let mut gathered = self.0.lock().expect("no panic while held");
        gathered.entries.push(entry);
        let since = *gathered.since.get_or_insert(now);
        if now.since(since) < TOGETHER && gathered.entries.len() < GATHERED {
            return Vec::new();
        }
        gathered.since = None;
        std::mem::take(&mut gathered.entries)
    }
}

/// What notes that `who` did that, to be written with what was done.
pub(crate) fn did(
    entropy: &Entropy,
    now: Time,
    who: UserId,
    did: Did,
    details: Value,
) -> DocChange {
    entry(
        entropy,
        None,
        Activity {
            at: now,
            user_id: who,
            did,
            details,
        },
    )
}

fn entry(entropy: &Entropy, expires_at: Option<Time>, activity: Activity) -> DocChange {
    let nonce = u32::from_be_bytes(entropy.bytes());
    let name = name(activity.did);
    DocChange::Put(Document {
        kind: KIND.to_owned(),
        key: format!("{}-{nonce:08x}", moment(activity.at)),
        index: [Some(activity.user_id.to_string()), Some(name), None],
        body: serde_json::to_value(activity).expect("an activity is plain data"),
        expires_at,
        version: 0,
    })
}

/// The word for what was done, as it is written and asked for.
fn name(did: Did) -> String {
    let name = serde_json::to_value(did).expect("a word");
    name.as_str().unwrap_or_default().to_owned()
}

/// Keys come in the order of time.
fn moment(at: Time) -> String {
    format!("{:020}", at.as_micros().max(0))
}

/// Writes the looks that were gathered. What is lost with this process is lost: it has changed nothing.
pub(crate) async fn write_looks(core: &Core) {
    write(core, core.looks.take()).await;
}

async fn write(core: &Core, documents: Vec<DocChange>) {
    if documents.is_empty() {
        return;
    }
    let lost = documents.len();
    let changes = Changes {
        documents,
        ..Changes::default()
    };
    if let Err(error) = core.commit(changes).await {
        tracing::warn!(%error, lost, "looks could not be noted in the activity log");
    }
}

impl Platform {
    /// Notes that `who` has looked at something. It shows in the log about a second later.
    pub fn note_look(&self, who: &Identity, did: Did, details: Value) {
        let core = &self.0;
        let now = core.clock.now();
        let activity = Activity {
            at: now,
            user_id: who.user.id,
            did,
            details,
        };
        let entry = entry(&core.entropy, Some(now + LOOKS_KEPT), activity);
        let due = core.looks.add(entry, now);
        if !due.is_empty() {
            let core = core.clone();
            tokio::spawn(async move { write(&core, due).await });
        }
    }

    /// What was done, newest first; for administrators. A page may have fewer rows than asked for before the last one.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for an `after` that no page ended at.
    pub async fn activity(&self, who: &Identity, query: &ActivityQuery) -> Result<Page<Activity>> {
        let core = &self.0;
        let auth = &core.auth;
        auth.authorize(who, Action::Administer, Owner::Platform)
            .await?;
        write_looks(core).await;
        // By the rarer of the two; the other is compared here.
        let index = match (query.user, query.did) {
            (Some(user), _) => Some((0, user.to_string())),
            (None, Some(did)) => Some((1, name(did))),
            (None, None) => None,
        };
        let limit = query.limit.clamp(1, 1000);
        let mut asked = DocQuery {
            kind: KIND.to_owned(),
            index,
            newest_first: true,
            // Both are keys, or how one begins: the earlier of them is where to go on.
            after: query
                .after
                .iter()
                .cloned()
                .chain(query.to.map(moment))
                .min(),
            limit,
            now: core.clock.now(),
            ..DocQuery::default()
        };
        let mut page = Page::default();
        for _ in 0..PAGES {
            let found = core.store.documents(&asked).await?;
            page.next = found.next;
            for document in found.items {
                let activity: Activity = serde_json::from_value(document.body).map_err(|e| {
                    Error::internal("An activity in the store can't be read.").caused_by(e)
                })?;
                if query.from.is_some_and(|from| activity.at < from) {
                    page.next = None;
                    return Ok(page);
                }
                if query.did.is_none_or(|did| did == activity.did) {
                    page.items.push(activity);
                }
                if page.items.len() == limit as usize {
                    page.next = Some(document.key);
                    return Ok(page);
                }
            }
            if page.next.is_none() {
                break;
            }
            asked.after.clone_from(&page.next);
        }
        Ok(page)
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
