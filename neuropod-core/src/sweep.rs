//! The sweep: one complete list of the backend, compared with the rows. It marks what a list has missed, wakes what
//! differs, and purges what is left of tombstones. A destructive act needs positive evidence: an unknown pod is
//! reported, never deleted, so an empty database can't wipe a cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::alarm::{self, Backend};
use crate::claimed::Claimed;
use crate::decide::{Swept, last_seen};
use crate::error::{ErrorKind, Result};
use crate::event::{EventKind, NewEvent};
use crate::figures::{Census, Counting};
use crate::id::{PodId, RunKey};
use crate::orchestrator::{Found, State};
use crate::platform::Core;
use crate::platform::force;
use crate::pod::Run;
use crate::probe::{self, Probed};
use crate::store::{Changes, DocChange, Document, PodFilter, PodQuery, StoreExt, Wake, WorkKey};
use crate::time::Time;

const KIND: &str = "sweep";
/// How often a healthy backend is listed.
const EVERY: Duration = Duration::from_secs(30);
/// And for each pod so much later, so that a sweep costs about the same part of a core however many there are: 100,000
/// are listed every four minutes. A hint, or a watch that breaks, does not wait for it.
const EVERY_PER_POD: Duration = Duration::from_micros(2100);
/// Rows that differ are written so many at a time.
const AT_ONCE: usize = 1000;
/// How soon it is listed again after a list that failed or that the rows have overtaken.
const AGAIN: Duration = Duration::from_secs(3);

/// The name of the one backend of a platform.
pub(crate) const BACKEND: &str = "default";

/// What the last complete list vouches for.
pub(crate) async fn last(core: &Core) -> Result<Swept> {
    Ok(document(core)
        .await?
        .and_then(|d| serde_json::from_value(d.body).ok())
        .unwrap_or_default())
}

async fn document(core: &Core) -> Result<Option<Document>> {
    core.store.document(KIND, BACKEND, core.clock.now()).await
}

/// What the last complete sweep has counted, if there was one.
pub(crate) async fn census(core: &Core) -> Result<Option<Census>> {
    let noted = document(core).await?;
    Ok(noted.and_then(|d| serde_json::from_value::<Noted>(d.body).ok()?.census))
}

/// One sweep, and the work of it finished in its last commit.
pub(crate) async fn pass(core: &Core, work: &Claimed) -> Result<()> {
    match sweep(core, work).await {
        Ok(()) => Ok(()),
        Err(e) => {
            if *e.kind() != ErrorKind::Conflict {
                warn!(error = %e, "the backend could not be listed");
            }
            crate::reconcile::finish(core, work, Some(core.clock.now() + AGAIN)).await
        }
    }
}

/// What a sweep leaves behind for the next one.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Noted {
    #[serde(flatten)]
    swept: Swept,
    #[serde(default)]
    probed: Probed,
    #[serde(default)]
    census: Option<Census>,
}

async fn sweep(core: &Core, work: &Claimed) -> Result<()> {
    let document = document(core).await?;
    let Noted {
        swept: before,
        probed,
        ..
    } = document
        .as_ref()
        .and_then(|d| serde_json::from_value(d.body.clone()).ok())
        .unwrap_or_default();
    let rows_at = core.clock.now();
    let (mut alive, mut counting) = Alive::read(core).await?;
    let vouched = Swept {
        rows_at,
        listed_at: core.clock.now(),
    };
    let listed = alive.compare(core).await;
    let seen = match &listed {
        Ok(_) => Some(Backend::Answers(core.capacity_now().await.ok())),
        Err(e) => (*e.kind() == ErrorKind::Unreachable).then_some(Backend::Silent),
    };
    if let Some(seen) = &seen {
        alarm::tell(core, BACKEND, seen).await?;
    }
    let strangers = listed?;
    if let Some(Backend::Answers(Some(capacity))) = &seen {
        counting.devices(capacity);
    }
    let probed = match seen {
        Some(Backend::Answers(Some(capacity))) => {
            let probed_at = vouched.listed_at;
            probe::judge(core, probed, &capacity.devices, probed_at).await?
        }
        _ => probed,
    };

    let next = every(alive.0.len());
    let mut changes = Changes::default();
    if !strangers.values().any(|has_container| *has_container) {
        force::clear(core, &mut changes).await?;
    }
    for (id, run) in alive.0 {
        if let Some(expected) = run.filter(|run| !run.agrees) {
            judge_differing(core, id, &expected, &before, &mut changes).await?;
        }
        if changes.wakes.len() >= AT_ONCE {
            core.commit(std::mem::take(&mut changes)).await?;
        }
    }
    for (id, has_container) in strangers {
        if judge_stranger(core, id, has_container, &mut changes).await? {
            counting.orphan();
        }
    }
    // Last, since a list vouches for runs once its marks are on their rows.
    changes.documents.push(DocChange::Put(Document {
        kind: KIND.to_owned(),
        key: BACKEND.to_owned(),
        body: serde_json::to_value(Noted {
            swept: vouched,
            probed,
            census: Some(counting.end(rows_at)),
        })
        .map_err(|e| crate::Error::internal(e.to_string()))?,
        index: [None, None, None],
        expires_at: None,
        version: document.map_or(0, |d| d.version),
    }));
    let now = core.clock.now();
    changes.finish = Some(work.finish(Some(now + next), now));
    core.commit(changes).await
}

/// How long until the next sweep over so many pods.
fn every(pods: usize) -> Duration {
    EVERY + EVERY_PER_POD * u32::try_from(pods).unwrap_or(u32::MAX)
}

/// What a sweep keeps of the rows: a few words of each, since there may be very many.
struct Alive(BTreeMap<PodId, Option<OpenRun>>);

#[derive(Clone, Copy)]
struct OpenRun {
    n: u32,
    key: RunKey,
    started_at: Option<Time>,
    /// Whether the list shows what the row says.
    agrees: bool,
}

impl OpenRun {
    fn of(run: &Run) -> Self {
        Self {
            n: run.n,
            key: run.key,
            started_at: run.started_at,
            // What has not started need not be there.
            agrees: run.started_at.is_none(),
        }
    }
}

impl Alive {
    async fn read(core: &Core) -> Result<(Self, Counting)> {
        let mut query = PodQuery {
            filter: PodFilter::Alive,
            after: None,
            limit: 1000,
        };
        let mut rows = BTreeMap::new();
        let mut counting = Counting::default();
        loop {
            let page = core.store.pods(&query).await?;
            let pods = page.items.iter().inspect(|pod| counting.pod(pod));
            rows.extend(pods.map(|pod| (pod.id, pod.run.as_ref().map(OpenRun::of))));
            query.after = page.next;
            if query.after.is_none() {
                return Ok((Self(rows), counting));
            }
        }
    }

    /// Compares these rows with what the backend has. Answers the pods whose rows have to tell what it is, and whether they
    /// have a container.
    async fn compare(&mut self, core: &Core) -> Result<BTreeMap<PodId, bool>> {
        let mut strangers = BTreeMap::new();
        let mut list = core.orchestrator.list().await?;
        while let Some(found) = list.next().await {
            let found = found?;
            if self.is_strange(&found) {
                *strangers.entry(found.pod).or_insert(false) |= found.instance.is_some();
            }
        }
        Ok(strangers)
    }

    /// Notes what was found. Answers whether its pod's row has to tell what it is: no open run accounts for it. The
    /// volume of a pod that is alive needs no run.
    fn is_strange(&mut self, found: &Found) -> bool {
        let row = self.0.get_mut(&found.pod);
        let Some(instance) = &found.instance else {
            return row.is_none();
        };
        let run = row.and_then(Option::as_mut);
        let Some(run) = run.filter(|run| (run.n, run.key) == (instance.run.n, instance.run.key))
        else {
            return true;
        };
        let shown = match &instance.state {
            State::Running { started_at, .. } => Some(*started_at),
            _ => None,
        };
        run.agrees = shown == run.started_at;
        false
    }
}

/// A run that the list does not show as its row said: its pod is woken, and a run that was recorded is marked, once.
async fn judge_differing(
    core: &Core,
    id: PodId,
    expected: &OpenRun,
    before: &Swept,
    changes: &mut Changes,
) -> Result<()> {
    changes.wakes.push(Wake {
        key: WorkKey::Pod(id),
        at: core.clock.now(),
    });
    if expected.started_at.is_none() {
        return Ok(());
    }
    let Some(mut pod) = core.store.pod(id).await? else {
        return Ok(());
    };
    // Whatever else has changed in the row since, it must still be the run that was missed.
    let missed = |run: &&mut Run| {
        (run.n, run.key, run.started_at) == (expected.n, expected.key, expected.started_at)
            && run.last_seen.is_none()
    };
    if let Some(run) = pod.run.as_mut().filter(missed) {
        run.last_seen = Some(last_seen(run, before));
        changes.pods.push(pod);
    }
    Ok(())
}

/// The row of such a pod tells what to do: a tombstone is purged, a live one looks for itself (its volume alone is no
/// reason to), and of one without a row an administrator is told. Answers whether it has none.
async fn judge_stranger(
    core: &Core,
    id: PodId,
    has_container: bool,
    changes: &mut Changes,
) -> Result<bool> {
    let now = core.clock.now();
    match core.store.pod(id).await? {
        Some(pod) if !pod.is_tombstone() && !has_container => Ok(false),
        // Its own pass removes the stray, or purges what is left of a tombstone.
        Some(_) => {
            changes.wakes.push(Wake {
                key: WorkKey::Pod(id),
                at: now,
            });
            Ok(false)
        }
        None => {
            if core.first_report(id) {
                warn!(pod = %id, "something on the backend carries our label but no row knows it; it is left alone");
                changes.events.push(NewEvent {
                    kind: EventKind::AdminNotice,
                    at: now,
                    pod: Some(id),
                    owner: None,
                    body: serde_json::json!({
                        "kind": "orphan",
                        "message": format!("The backend has something of pod {id}, which the store does not know. It is left alone."),
                    }),
                });
            }
            Ok(true)
        }
    }
}

#[cfg(test)]
mod tests;
