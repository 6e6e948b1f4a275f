//! A backend of one's own: pods are tasks of this program.

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use neuropod::id::{PodId, RunId};
use neuropod::orchestrator::{
    Capacity, Ensured, ExitCause, Fence, Found, Instance, LogLine, LogQuery, Seen, State, Usage,
    Workload,
};
use neuropod::time::{Clock, SystemClock};
use neuropod::{Error, ErrorKind, Orchestrator, Refusal, Result, RetryCause, Time};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

/// What a shell says of a killed program.
const KILLED: i64 = 137;

/// Runs pods as tasks. They share the program's memory, print nothing, have no ports, and end with the program; of their
/// volumes only the names are kept.
#[derive(Debug, Clone)]
pub struct Tasks(Arc<Shared>);

/// What an image is here. It is told to end when its argument turns true, and answers its exit code.
pub type Job = fn(watch::Receiver<bool>) -> BoxFuture<'static, i64>;

#[derive(Debug)]
struct Shared {
    images: BTreeMap<&'static str, Job>,
    clock: SystemClock,
    hints: broadcast::Sender<PodId>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    made: u64,
    tasks: BTreeMap<RunId, Task>,
    volumes: BTreeMap<PodId, String>,
}

/// Dropped, it ends at once.
#[derive(Debug)]
struct Task {
    id: u64,
    generation: u64,
    spec_hash: String,
    memory_bytes: u64,
    state: State,
    told: watch::Sender<bool>,
    job: JoinSet<()>,
}

impl Tasks {
    /// These are the images there are.
    pub fn new<const N: usize>(images: [(&'static str, Job); N]) -> Self {
        Self(Arc::new(Shared {
            images: images.into(),
            clock: SystemClock::new(),
            hints: broadcast::Sender::new(1000),
            table: Mutex::default(),
        }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().expect("no panic while held")
    }

    fn hint(&self, pod: PodId) {
        let _ = self.0.hints.send(pod); // fails if nobody listens
    }

    /// The task of this run, and whether it may still start.
    fn create(&self, w: &Workload) -> Result<(u64, bool)> {
        let mut table = self.table();
        if let Some(volume) = &w.volume {
            let there = table.volumes.get(&w.run.pod);
            if volume.id.is_some() && volume.id.as_ref() != there {
                return refused(Refusal::VolumeLost, "The volume is gone.");
            }
            let name = || format!("volume-{}", w.run);
            table.volumes.entry(w.run.pod).or_insert_with(name);
        }
        table.made += 1;
        let id = table.made;
        let task = table.tasks.entry(w.run).or_insert_with(|| Task {
            id,
            generation: w.generation,
            spec_hash: w.spec_hash.clone(),
            memory_bytes: w.resources.memory_bytes,
            state: State::Pending {
                reason: String::new(),
            },
            told: watch::Sender::new(false),
            job: JoinSet::new(),
        });
        if task.spec_hash != w.spec_hash {
            let taken = ErrorKind::Retry(RetryCause::NameTaken);
            return Err(Error::new(taken, "This run is something else."));
        }
        Ok((task.id, matches!(task.state, State::Pending { .. })))
    }

    fn start(&self, w: &Workload, id: u64, job: Job) -> Result<Ensured> {
        let mut table = self.table();
        let task = table.tasks.get_mut(&w.run).filter(|task| task.id == id);
        let Some(task) = task else {
            return Ok(Ensured::Fenced); // removed meanwhile
        };
        if !matches!(task.state, State::Pending { .. }) {
            return Ok(Ensured::Present); // started by another pass meanwhile
        }
        if !w.devices.is_empty() {
            task.state = exited(None, None, ExitCause::Retry(RetryCause::GpuAdmission));
            let refused = ErrorKind::Retry(RetryCause::GpuAdmission);
            return Err(Error::new(refused, "There is no such device."));
        }
        task.state = State::Running {
            started_at: self.0.clock.now(),
            endpoints: Vec::new(),
        };
        let (tasks, run, job) = (self.clone(), w.run, job(task.told.subscribe()));
        task.job.spawn(async move { tasks.end(run, id, job.await) });
        self.hint(w.run.pod);
        Ok(Ensured::Present)
    }

    fn end(&self, run: RunId, id: u64, code: i64) {
        let mut table = self.table();
        let task = table.tasks.get_mut(&run).filter(|task| task.id == id);
        if let Some(task) = task
            && let State::Running { started_at, .. } = task.state
        {
            let times = Some((started_at, self.0.clock.now()));
            task.state = exited(times, Some(code), ExitCause::Ended);
            task.job.abort_all();
            self.hint(run.pod);
        }
    }

    fn delete(&self, which: impl Fn(&RunId) -> bool) {
        for (run, _) in self.table().tasks.extract_if(.., |run, _| which(run)) {
            self.hint(run.pod);
        }
    }

    fn instances(&self, which: impl Fn(&RunId) -> bool) -> Vec<Instance> {
        let table = self.table();
        let tasks = table.tasks.iter().filter(|(run, _)| which(run));
        let instance = |(run, task): (&RunId, &Task)| Instance {
            run: *run,
            generation: task.generation,
            state: task.state.clone(),
        };
        tasks.map(instance).collect()
    }
}

fn refused<T>(why: Refusal, message: &str) -> Result<T> {
    Err(Error::new(ErrorKind::Refused(why), message))
}

fn exited(times: Option<(Time, Time)>, code: Option<i64>, cause: ExitCause) -> State {
    State::Exited {
        started_at: times.map(|(started, _)| started),
        finished_at: times.map(|(_, finished)| finished),
        code,
        cause,
    }
}

#[async_trait]
impl Orchestrator for Tasks {
    async fn ensure(&self, workload: &Workload, fence: &Fence) -> Result<Ensured> {
        let plain = |b: u8| b.is_ascii_lowercase() || b == b'-';
        if workload.image.is_empty() || !workload.image.bytes().all(plain) {
            return refused(Refusal::BadReference, "Jobs have plain names.");
        }
        if !workload.ports.is_empty() {
            return refused(Refusal::Spec, "A task has no port.");
        }
        let Some(job) = self.0.images.get(&*workload.image) else {
            return refused(Refusal::ImageNotFound, "There is no such job.");
        };
        match self.create(workload)? {
            (_, false) => Ok(Ensured::Present),
            (id, true) if fence.holds().await? => self.start(workload, id, *job),
            _ => Ok(Ensured::Fenced),
        }
    }

    async fn stop(&self, run: RunId, grace: Duration) -> Result<()> {
        let mut table = self.table();
        let Some(task) = table.tasks.get_mut(&run) else {
            return Ok(());
        };
        match task.state {
            State::Running { .. } => {
                let (tasks, id) = (self.clone(), task.id);
                task.job.spawn(async move {
                    tokio::time::sleep(grace).await;
                    tasks.end(run, id, KILLED);
                });
                if !grace.is_zero() {
                    task.told.send_replace(true);
                }
            }
            State::Exited {
                started_at: Some(_),
                ..
            } => {}
            _ => {
                table.tasks.remove(&run);
            }
        }
        Ok(())
    }

    async fn remove(&self, run: RunId) -> Result<()> {
        self.delete(|other| *other == run);
        Ok(())
    }

    async fn purge(&self, pod: PodId) -> Result<()> {
        self.delete(|run| run.pod == pod);
        self.table().volumes.remove(&pod);
        Ok(())
    }

    async fn observe(&self, pod: PodId) -> Result<Seen> {
        Ok(Seen {
            instances: self.instances(|run| run.pod == pod),
            at: self.0.clock.now(),
            volume: self.table().volumes.get(&pod).cloned(),
        })
    }

    async fn list(&self) -> Result<BoxStream<'static, Result<Found>>> {
        let instances = self.instances(|_| true);
        let table = self.table();
        let alone = |pod: &&PodId| instances.iter().all(|i| i.run.pod != **pod);
        let alone = table.volumes.keys().filter(alone).map(|pod| (*pod, None));
        let tasks = instances.iter().map(|i| (i.run.pod, Some(i.clone())));
        let found = tasks.chain(alone);
        let found = found.map(|(pod, instance)| Ok(Found { pod, instance }));
        let found: Vec<_> = found.collect();
        Ok(stream::iter(found).boxed())
    }

    async fn watch(&self) -> Result<BoxStream<'static, PodId>> {
        let hints = stream::unfold(self.0.hints.subscribe(), |mut hints| async {
            let pod = hints.recv().await.ok()?;
            Some((pod, hints))
        });
        Ok(hints.boxed())
    }

    async fn logs(&self, _: RunId, _: &LogQuery) -> Result<BoxStream<'static, Result<LogLine>>> {
        Ok(stream::empty().boxed())
    }

    async fn usage(&self, run: RunId) -> Result<Usage> {
        let table = self.table();
        let of =
            |task: &Task| matches!(task.state, State::Running { .. }).then_some(task.memory_bytes);
        Ok(match table.tasks.get(&run).and_then(of) {
            None => Usage::default(),
            limit => Usage {
                at: Some(self.0.clock.now()),
                memory_limit_bytes: limit,
                ..Usage::default()
            },
        })
    }

    async fn capacity(&self) -> Result<Capacity> {
        Ok(Capacity {
            caveats: vec!["Tasks are neither isolated nor limited.".to_owned()],
            ..Capacity::default()
        })
    }
}
