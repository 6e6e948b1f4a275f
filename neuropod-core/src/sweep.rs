//! The sweep: one complete list of the backend, compared with the rows. It marks what a list has missed, wakes what
//! differs, and purges what is left of tombstones. A destructive act needs positive evidence: an unknown pod is
//! reported, never deleted, so an empty database can't wipe a cluster.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt;
use tracing::warn;

use crate::claimed::Claimed;
use crate::decide::{Swept, last_seen};
use crate::error::{ErrorKind, Result};
use crate::event::{EventKind, NewEvent};
use crate::id::{PodId, RunId};
use crate::orchestrator::{Found, State};
use crate::platform::Core;
use crate::pod::Pod;
use crate::store::{Changes, DocChange, Document, PodFilter, StoreExt, Wake, WorkKey};
use crate::time::Time;

const KIND: &str = "sweep";
/// How often a healthy backend is listed.
const EVERY: Duration = Duration::from_secs(30);
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

/// One sweep, and the work of it finished in its one commit.
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

async fn sweep(core: &Core, work: &Claimed) -> Result<()> {
    let document = document(core).await?;
    let before: Swept = document
        .as_ref()
        .and_then(|d| serde_json::from_value(d.body.clone()).ok())
        .unwrap_or_default();
    let now = Swept {
        rows_at: core.clock.now(),
        listed_at: Time::EPOCH,
    };
    let open = core.store.all_pods(PodFilter::Open).await?;
    let now = Swept {
        listed_at: core.clock.now(),
        ..now
    };
    let mut found: Vec<Found> = Vec::new();
    let mut list = core.orchestrator.list().await?;
    while let Some(item) = list.next().await {
        found.push(item?);
    }

    let mut changes = compare(&open, &found, &before, core.clock.now());
    for (id, has_container) in strangers(&open, &found) {
        judge_stranger(core, id, has_container, &mut changes).await?;
    }
    changes.documents.push(DocChange::Put(Document {
        kind: KIND.to_owned(),
        key: BACKEND.to_owned(),
        body: serde_json::to_value(now).map_err(|e| crate::Error::internal(e.to_string()))?,
        index: [None, None, None],
        expires_at: None,
        version: document.map_or(0, |d| d.version),
    }));
    let now = core.clock.now();
    changes.finish = Some(work.finish(Some(now + EVERY), now));
    core.commit(changes).await
}

/// Marks each recorded run that the list does not show running, once, and wakes what differs from the rows.
fn compare(open: &[Pod], found: &[Found], before: &Swept, now: Time) -> Changes {
    let mut running: HashMap<RunId, Option<Time>> = HashMap::new();
    for instance in found.iter().filter_map(|f| f.instance.as_ref()) {
        let started = match &instance.state {
            State::Running { started_at, .. } => Some(*started_at),
            _ => None,
        };
        running.insert(instance.run, started);
    }
    let mut changes = Changes::default();
    for pod in open {
        let Some(run) = &pod.run else { continue };
        let shown = running.get(&pod.run_id(run)).copied().flatten();
        if shown == run.started_at {
            continue;
        }
        changes.wakes.push(Wake {
            key: WorkKey::Pod(pod.id),
            at: now,
        });
        if run.started_at.is_some() && run.last_seen.is_none() {
            let mut marked = pod.clone();
            if let Some(run) = &mut marked.run {
                run.last_seen = Some(last_seen(run, before));
            }
            changes.pods.push(marked);
        }
    }
    changes
}

/// Pods of which something is there that no open run accounts for, and whether it is a container.
fn strangers(open: &[Pod], found: &[Found]) -> BTreeMap<PodId, bool> {
    let runs: HashSet<RunId> = open
        .iter()
        .filter_map(|p| p.run.as_ref().map(|r| p.run_id(r)))
        .collect();
    let with_run: HashSet<PodId> = open.iter().map(|p| p.id).collect();
    let mut strangers = BTreeMap::new();
    for f in found {
        let accounted = match &f.instance {
            Some(instance) => runs.contains(&instance.run),
            None => with_run.contains(&f.pod),
        };
        if !accounted {
            *strangers.entry(f.pod).or_insert(false) |= f.instance.is_some();
        }
    }
    strangers
}

/// The row of such a pod tells what to do: a tombstone is purged, a live one looks for itself (its volume alone is no
/// reason to), and of one without a row an administrator is told.
async fn judge_stranger(
    core: &Core,
    id: PodId,
    has_container: bool,
    changes: &mut Changes,
) -> Result<()> {
    let now = core.clock.now();
    match core.store.pod(id).await? {
        Some(pod) if !pod.is_tombstone() && !has_container => {}
        // Its own pass removes the stray, or purges what is left of a tombstone.
        Some(_) => changes.wakes.push(Wake {
            key: WorkKey::Pod(id),
            at: now,
        }),
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
        }
    }
    Ok(())
}
