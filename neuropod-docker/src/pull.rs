//! Pulls in the background, shared by the runs that want the image. A pull creates nothing.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use bollard::Docker;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt;
use neuropod_core::id::{PodId, RunId};
use neuropod_core::orchestrator::Ensured;
use neuropod_core::{Error, ErrorKind, Result};
use tokio::task::AbortHandle;

#[derive(Debug, Default)]
struct State {
    running: HashMap<String, Pull>,
    /// Runs whose pull failed, until they have been told.
    failed: HashMap<RunId, ErrorKind>,
}

#[derive(Debug, Default)]
struct Pull {
    layers: HashMap<String, (u64, u64)>,
    wanted_by: HashSet<RunId>,
    task: Option<AbortHandle>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Pulls(Arc<Mutex<State>>);

impl Pulls {
    /// Starts or joins the pull; tells a run, once, that its pull failed.
    pub(crate) fn join(&self, docker: &Docker, run: RunId, image: &str) -> Result<Ensured> {
        let mut state = self.0.lock().expect("no panic while held");
        if let Some(kind) = state.failed.remove(&run) {
            return Err(Error::new(kind, "The image can't be pulled.").during("docker pull"));
        }
        let pull = state.running.entry(image.to_owned()).or_default();
        pull.wanted_by.insert(run);
        if pull.task.is_none() {
            let work = self.clone().pull(docker.clone(), image.to_owned());
            pull.task = Some(tokio::spawn(work).abort_handle());
        }
        let sum = |f: fn(&(u64, u64)) -> u64| pull.layers.values().map(f).sum::<u64>();
        Ok(Ensured::Pulling {
            done: sum(|l| l.0),
            total: Some(sum(|l| l.1)).filter(|t| *t > 0),
        })
    }

    async fn pull(self, docker: Docker, image: String) {
        let tagged = image
            .rsplit('/')
            .next()
            .is_some_and(|n| n.contains([':', '@']));
        let reference = if tagged {
            image.clone()
        } else {
            format!("{image}:latest")
        };
        let options = CreateImageOptionsBuilder::new()
            .from_image(&reference)
            .build();
        let mut items = Box::pin(docker.create_image(Some(options), None, None));
        let mut failure = None;
        while let Some(item) = items.next().await {
            match item {
                Ok(info) => {
                    let progress = info.progress_detail.unwrap_or_default();
                    let bytes = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
                    if info.status.as_deref() == Some("Downloading")
                        && let (Some(id), Some(done)) = (info.id, bytes(progress.current))
                    {
                        let mut state = self.0.lock().expect("no panic while held");
                        if let Some(pull) = state.running.get_mut(&image) {
                            let total = bytes(progress.total).unwrap_or(done);
                            pull.layers.insert(id, (done, total));
                        }
                    }
                }
                Err(error) => failure = Some(crate::error::pull_kind(&error)),
            }
        }
        let mut state = self.0.lock().expect("no panic while held");
        let waited = state.running.remove(&image).unwrap_or_default().wanted_by;
        if let Some(kind) = failure {
            state
                .failed
                .extend(waited.into_iter().map(|run| (run, kind.clone())));
        }
    }

    pub(crate) fn leave(&self, run: RunId) {
        self.leave_where(|r| *r == run);
    }

    pub(crate) fn leave_all(&self, pod: PodId) {
        self.leave_where(|r| r.pod == pod);
    }

    fn leave_where(&self, leaves: impl Fn(&RunId) -> bool) {
        let mut state = self.0.lock().expect("no panic while held");
        state.failed.retain(|run, _| !leaves(run));
        state.running.retain(|_, pull| {
            pull.wanted_by.retain(|run| !leaves(run));
            if pull.wanted_by.is_empty()
                && let Some(task) = &pull.task
            {
                task.abort();
            }
            !pull.wanted_by.is_empty()
        });
    }
}
