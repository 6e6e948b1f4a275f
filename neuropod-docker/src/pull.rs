//! Pulls in the background, shared by the runs that want the image. A pull creates nothing.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::Docker;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt;
use neuropod_core::Result;
use neuropod_core::id::{PodId, RunId};
use neuropod_core::orchestrator::Ensured;
use tokio::sync::broadcast;
use tokio::task::AbortHandle;

use crate::engine::Engine;
use crate::error::PullFailure;

/// A registry that can't be reached is tried again after these.
const AGAIN: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(5),
];

/// The header that carries a login.
const LOGIN: &str = "x-registry-auth";

#[derive(Debug, Clone)]
pub(crate) struct Pulls {
    state: Arc<Mutex<State>>,
    ended: broadcast::Sender<PodId>,
}

#[derive(Debug, Default)]
struct State {
    joined: u64,
    running: HashMap<String, Pull>,
    /// Runs whose pull failed, until they have been told.
    failed: HashMap<RunId, PullFailure>,
}

#[derive(Debug)]
struct Pull {
    /// Which one; an image may be pulled again while an end of the last pull is on its way.
    number: u64,
    layers: HashMap<String, (u64, u64)>,
    wanted_by: HashSet<RunId>,
    task: AbortHandle,
}

impl Default for Pulls {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            ended: broadcast::Sender::new(1024),
        }
    }
}

impl Pulls {
    /// The pods whose pull has ended, from now on.
    pub(crate) fn ended(&self) -> broadcast::Receiver<PodId> {
        self.ended.subscribe()
    }

    /// Starts or joins the pull; tells a run, once, that its pull failed.
    pub(crate) fn join(&self, engine: &Engine, run: RunId, image: &str) -> Result<Ensured> {
        let mut state = self.state.lock().expect("no panic while held");
        if let Some(failure) = state.failed.remove(&run) {
            return Err(failure.error());
        }
        state.joined += 1;
        let number = state.joined;
        let pull = state.running.entry(image.to_owned()).or_insert_with(|| {
            let work = self.clone().pull(engine.clone(), image.to_owned(), number);
            Pull {
                number,
                layers: HashMap::new(),
                wanted_by: HashSet::new(),
                task: tokio::spawn(work).abort_handle(),
            }
        });
        pull.wanted_by.insert(run);
        let sum = |of: fn(&(u64, u64)) -> u64| pull.layers.values().map(of).sum::<u64>();
        Ok(Ensured::Pulling {
            done: sum(|l| l.0),
            total: Some(sum(|l| l.1)).filter(|t| *t > 0),
        })
    }

    async fn pull(self, engine: Engine, image: String, number: u64) {
        let mut result = self.attempt(&engine, &image, number).await;
        for pause in AGAIN {
            if !matches!(result, Err(Some(PullFailure::NoRegistry(_)))) {
                break;
            }
            tokio::time::sleep(pause).await;
            result = self.attempt(&engine, &image, number).await;
        }
        let mut state = self.state.lock().expect("no panic while held");
        if state.running.get(&image).is_none_or(|p| p.number != number) {
            return;
        }
        let pull = state.running.remove(&image);
        let failure = match result {
            Ok(()) => None,
            Err(Some(failure)) => Some(failure),
            // Whoever still wants the image pulls it anew, once the engine answers.
            Err(None) => return,
        };
        for run in pull.into_iter().flat_map(|pull| pull.wanted_by) {
            if let Some(failure) = &failure {
                state.failed.insert(run, failure.clone());
            }
            // Nobody need be watching.
            let _ = self.ended.send(run.pod);
        }
    }

    async fn attempt(
        &self,
        engine: &Engine,
        image: &str,
        number: u64,
    ) -> Result<(), Option<PullFailure>> {
        let name = image.rsplit('/').next().unwrap_or_default();
        let reference = if name.contains([':', '@']) {
            image.to_owned()
        } else {
            // Without a tag the engine would pull them all.
            format!("{image}:latest")
        };
        let options = CreateImageOptionsBuilder::new().from_image(&reference);
        let docker = logged_in(engine, image);
        let mut items = Box::pin(docker.create_image(Some(options.build()), None, None));
        while let Some(item) = items.next().await {
            let info = item.map_err(|e| PullFailure::of(&e))?;
            self.progress(image, number, info);
        }
        Ok(())
    }

    fn progress(&self, image: &str, number: u64, info: CreateImageInfo) {
        let detail = info.progress_detail.unwrap_or_default();
        let bytes = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
        let downloading = info.status.as_deref() == Some("Downloading");
        let (true, Some(layer), Some(done)) = (downloading, info.id, bytes(detail.current)) else {
            return;
        };
        let mut state = self.state.lock().expect("no panic while held");
        let pull = state.running.get_mut(image);
        if let Some(pull) = pull.filter(|p| p.number == number) {
            let (before, total) = pull.layers.entry(layer).or_default();
            *before = done.max(*before);
            *total = bytes(detail.total).unwrap_or(0).max(*before);
        }
    }

    /// The run wants no image any more.
    pub(crate) fn leave(&self, run: RunId) {
        self.leave_where(|r| *r == run);
    }

    /// No run of the pod wants an image any more.
    pub(crate) fn leave_all(&self, pod: PodId) {
        self.leave_where(|r| r.pod == pod);
    }

    fn leave_where(&self, leaves: impl Fn(&RunId) -> bool) {
        let mut state = self.state.lock().expect("no panic while held");
        state.failed.retain(|run, _| !leaves(run));
        state.running.retain(|_, pull| {
            pull.wanted_by.retain(|run| !leaves(run));
            let wanted = !pull.wanted_by.is_empty();
            if !wanted {
                // The engine gives up a pull that nobody listens to.
                pull.task.abort();
            }
            wanted
        });
    }
}

/// The engine, told who pulls. `bollard` would write the login down in an alphabet that the engine does not read.
fn logged_in(engine: &Engine, image: &str) -> Docker {
    let docker = engine.docker.clone();
    let Some(login) = engine.config.logins.header(image) else {
        return docker;
    };
    docker.with_request_modifier(move |mut request| {
        let value = login.reveal().parse().expect("Base64");
        request.headers_mut().insert(LOGIN, value);
        request
    })
}
