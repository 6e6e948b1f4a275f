//! Who is measured, and how often: a task for each pod that somebody watches, which ends with the last of them. A pod that
//! nobody watches has no task, no timer and no entry.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::debug;

use super::history;
use super::point::{Limits, Point, point};
use super::ring::Ring;
use crate::error::Result;
use crate::figures::PodUsage;
use crate::id::{Entropy, PodId, RunId, UserId};
use crate::orchestrator::Usage;
use crate::platform::Core;
use crate::pod::Pod;
use crate::store::Document;

/// How often a pod is measured.
const EVERY: Duration = Duration::from_secs(1);
/// And how often it is looked whether one that does not run does so again.
const STOPPED: Duration = Duration::from_secs(3);
/// Who asked for what was measured may ask again within this time.
const ASKED: Duration = Duration::from_secs(60);
/// Minutes that have ended are gathered for so long, and written together.
const GATHERED: Duration = Duration::from_secs(5);
/// So many single looks are remembered, for the rates of the next.
const LOOKS: usize = 1000;

/// What one replica measures.
#[derive(Debug)]
pub(crate) struct Metrics {
    pods: Mutex<HashMap<PodId, Arc<Watched>>>,
    looks: Mutex<BTreeMap<PodId, (RunId, Usage)>>,
    ended: Mutex<Vec<Document>>,
    replica: u32,
}

#[derive(Debug)]
struct Watched {
    latest: watch::Sender<Option<Arc<Point>>>,
    ring: Mutex<Ring>,
    owner: OnceLock<UserId>,
    /// Somebody who asks again and again has asked last.
    asked: Mutex<Option<Instant>>,
}

impl Watched {
    fn is_wanted(&self) -> bool {
        let asked = *self.asked.lock().expect("no panic while held");
        self.latest.receiver_count() > 0 || asked.is_some_and(|at| at.elapsed() < ASKED)
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            pods: Mutex::default(),
            looks: Mutex::default(),
            ended: Mutex::default(),
            // Not the platform's own, which may repeat itself.
            replica: u32::from_be_bytes(Entropy::system().bytes()),
        }
    }

    fn pods(&self) -> MutexGuard<'_, HashMap<PodId, Arc<Watched>>> {
        self.pods.lock().expect("no panic while held")
    }

    /// How many pods are measured now.
    pub(crate) fn len(&self) -> u64 {
        self.pods().len() as u64
    }

    /// What those use of which that is known.
    pub(crate) fn usage(&self) -> Vec<PodUsage> {
        let pods = self.pods();
        let known = pods.iter().filter_map(|(pod, watched)| {
            Some(PodUsage {
                pod: *pod,
                owner: *watched.owner.get()?,
                latest: watched.latest.borrow().clone()?,
            })
        });
        known.collect()
    }

    pub(crate) fn watch(&self, core: &Core, id: PodId) -> watch::Receiver<Option<Arc<Point>>> {
        self.enter(core, id, |watched| watched.latest.subscribe())
    }

    /// The last ten minutes; it is measured for a while from now on.
    pub(crate) fn recent(&self, core: &Core, id: PodId) -> Vec<Point> {
        self.enter(core, id, |watched| {
            *watched.asked.lock().expect("no panic while held") = Some(Instant::now());
            let ring = watched.ring.lock().expect("no panic while held");
            ring.points().cloned().collect()
        })
    }

    /// Does something with what is known of a pod, which is measured from then on. Under the lock by which it is forgotten.
    fn enter<T>(&self, core: &Core, id: PodId, with: impl FnOnce(&Watched) -> T) -> T {
        let mut pods = self.pods();
        let watched = pods.entry(id).or_insert_with(|| {
            let watched = Arc::new(Watched {
                latest: watch::Sender::new(None),
                ring: Mutex::default(),
                owner: OnceLock::new(),
                asked: Mutex::default(),
            });
            tokio::spawn(measure(core.clone(), id, Arc::clone(&watched)));
            watched
        });
        with(watched)
    }

    pub(crate) fn latest(&self, id: PodId) -> Option<Arc<Point>> {
        self.pods().get(&id)?.latest.borrow().clone()
    }

    /// One look at a pod that nobody watches.
    pub(crate) async fn look(&self, core: &Core, pod: &Pod) -> Result<Option<Arc<Point>>> {
        let Some((run, limits)) = started(pod) else {
            return Ok(None);
        };
        let usage = core.orchestrator.usage(run).await?;
        let mut looks = self.looks.lock().expect("no panic while held");
        let before = looks.remove(&pod.id);
        let before = before.filter(|(of, _)| *of == run).map(|(_, usage)| usage);
        let point = point(before.as_ref(), &usage, &limits, core.clock.now());
        if looks.len() >= LOOKS {
            looks.pop_first();
        }
        if point.is_some() {
            looks.insert(pod.id, (run, usage));
        }
        Ok(point.map(Arc::new))
    }

    /// Answers whether nobody wants it any more, and then it is forgotten.
    fn leave(&self, id: PodId, watched: &Watched) -> bool {
        let mut pods = self.pods();
        let leaves = !watched.is_wanted();
        if leaves {
            pods.remove(&id);
        }
        leaves
    }

    /// Keeps a minute, and sees to it that it is written soon.
    fn keep(&self, core: &Core, id: PodId, minute: Point) {
        let mut ended = self.ended.lock().expect("no panic while held");
        ended.push(history::document(id, minute, self.replica));
        if ended.len() == 1 {
            let core = core.clone();
            tokio::spawn(async move {
                tokio::time::sleep(GATHERED).await;
                let ended = std::mem::take(&mut *core.metrics.ended());
                history::write(&core, ended).await;
            });
        }
    }

    fn ended(&self) -> MutexGuard<'_, Vec<Document>> {
        self.ended.lock().expect("no panic while held")
    }
}

/// The run that is known to have started, and what it may use.
fn started(pod: &Pod) -> Option<(RunId, Limits)> {
    let run = pod.run.as_ref().filter(|run| run.started_at.is_some())?;
    Some((pod.run_id(run), Limits::of(&pod.spec)))
}

/// Measures a pod until nobody wants that any more.
async fn measure(core: Core, id: PodId, watched: Arc<Watched>) {
    let metrics = &core.metrics;
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut runs: Option<(RunId, Limits, Option<Usage>)> = None;
    loop {
        tick.tick().await;
        if metrics.leave(id, &watched) {
            break;
        }
        if runs.is_none() {
            let row = core.store.pod(id).await.unwrap_or_default();
            if let Some(row) = &row {
                watched.owner.get_or_init(|| row.owner);
            }
            let run = row.as_ref().and_then(started);
            runs = run.map(|(run, limits)| (run, limits, None));
        }
        let Some((run, limits, before)) = &mut runs else {
            tick.reset_after(STOPPED);
            continue;
        };
        let usage = match core.orchestrator.usage(*run).await {
            Ok(usage) => usage,
            Err(error) => {
                debug!(pod = %id, %error, "not measured");
                continue;
            }
        };
        match point(before.as_ref(), &usage, limits, core.clock.now()) {
            Some(point) => {
                let first = before.is_none();
                *before = Some(usage);
                let ended = (watched.ring.lock().expect("no panic while held")).push(point.clone());
                if let Some(minute) = ended {
                    metrics.keep(&core, id, minute);
                }
                watched.latest.send_replace(Some(Arc::new(point)));
                if first {
                    // Without rates so far: those come sooner.
                    tick.reset_after(EVERY / 4);
                }
            }
            None => {
                runs = None;
                watched
                    .latest
                    .send_if_modified(|latest| latest.take().is_some());
            }
        }
    }
    let rest = watched.ring.lock().expect("no panic while held").end();
    if let Some(minute) = rest {
        metrics.keep(&core, id, minute);
    }
}
