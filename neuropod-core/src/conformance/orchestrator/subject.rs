//! The backend under test in the hands of a case.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use super::{Able, Fixture, Image, Program};
use crate::Orchestrator;
use crate::error::{ErrorKind, Result};
use crate::id::{Entropy, PodId, RunId, RunKey, Tenant};
use crate::orchestrator::{
    Ensured, ExitCause, Fence, Found, LogLine, LogQuery, Seen, State, VolumeMount, Workload,
};
use crate::pod::{Env, Resources};
use crate::time::Time;

/// What is waited for must come within this.
const WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A backend, and the fixture that plays the world around it.
#[derive(Debug)]
pub struct Subject {
    /// The backend.
    pub orchestrator: Arc<dyn Orchestrator>,
    /// Its fixture.
    pub fixture: Arc<dyn Fixture>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ended {
    pub(super) started_at: Option<Time>,
    pub(super) finished_at: Option<Time>,
    pub(super) code: Option<i64>,
    pub(super) cause: ExitCause,
}

impl Subject {
    /// This backend in this world.
    pub fn new(orchestrator: Arc<dyn Orchestrator>, fixture: Arc<dyn Fixture>) -> Arc<Self> {
        Arc::new(Self {
            orchestrator,
            fixture,
        })
    }

    /// The first run of a new pod.
    pub(super) fn workload(&self, program: Program) -> Able<Workload> {
        let image = self.fixture.program(program)?;
        Ok(workload(image))
    }

    /// The same with a volume at `/workspace`.
    pub(super) fn with_volume(&self, program: Program) -> Able<Workload> {
        let mut workload = self.workload(program)?;
        workload.volume = Some(volume());
        Ok(workload)
    }

    pub(super) async fn try_ensure(&self, workload: &Workload) -> Result<Ensured> {
        self.orchestrator.ensure(workload, &Fence::open()).await
    }

    /// One step, which must succeed.
    pub(super) async fn ensure(&self, workload: &Workload) -> Ensured {
        let ensured = self.try_ensure(workload).await;
        ensured.unwrap_or_else(|e| panic!("ensure failed: {e:?}"))
    }

    /// One step behind a fence that says no: what is created stays unstarted.
    pub(super) async fn create(&self, workload: &Workload) {
        let ensured = self.orchestrator.ensure(workload, &shut()).await;
        assert_eq!(ensured.expect("ensure"), Ensured::Fenced);
    }

    /// Until the container is there.
    pub(super) async fn start(&self, workload: &Workload) {
        let deadline = tokio::time::Instant::now() + WITHIN;
        loop {
            match self.ensure(workload).await {
                Ensured::Present => return,
                Ensured::Fenced => panic!("an open fence was taken for a closed one"),
                Ensured::Pulling { .. } => {}
            }
            let in_time = tokio::time::Instant::now() < deadline;
            assert!(in_time, "its image is being pulled for too long");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Started, and seen running since the answer.
    pub(super) async fn run(&self, workload: &Workload) -> Time {
        self.start(workload).await;
        self.running(workload.run).await
    }

    pub(super) async fn stop(&self, run: RunId, grace: Duration) {
        let stopped = self.orchestrator.stop(run, grace).await;
        stopped.unwrap_or_else(|e| panic!("stop failed: {e:?}"));
    }

    pub(super) async fn remove(&self, run: RunId) {
        let removed = self.orchestrator.remove(run).await;
        removed.unwrap_or_else(|e| panic!("remove failed: {e:?}"));
    }

    pub(super) async fn purge(&self, pod: PodId) {
        let purged = self.orchestrator.purge(pod).await;
        purged.unwrap_or_else(|e| panic!("purge failed: {e:?}"));
    }

    pub(super) async fn observe(&self, pod: PodId) -> Seen {
        let seen = self.orchestrator.observe(pod).await;
        seen.unwrap_or_else(|e| panic!("observe failed: {e:?}"))
    }

    /// The identity of the pod's volume, which must be there.
    pub(super) async fn volume(&self, pod: PodId) -> String {
        let seen = self.observe(pod).await;
        seen.volume.expect("its volume is there")
    }

    /// What the one instance of this run does; two of one run are a failure.
    pub(super) async fn state(&self, run: RunId) -> Option<State> {
        let seen = self.observe(run.pod).await;
        let mut of_run = seen.instances.into_iter().filter(|i| i.run == run);
        let state = of_run.next().map(|i| i.state);
        assert_eq!(of_run.next(), None, "a run has two instances");
        state
    }

    /// Since when it runs, which it must.
    pub(super) async fn running(&self, run: RunId) -> Time {
        match self.state(run).await {
            Some(State::Running { started_at, .. }) => started_at,
            other => panic!("it should run: {other:?}"),
        }
    }

    /// It is there and was never started.
    pub(super) async fn unstarted(&self, run: RunId) {
        let state = self.state(run).await;
        let unstarted = matches!(state, Some(State::Pending { .. }));
        assert!(unstarted, "it should be there, never started: {state:?}");
    }

    /// Nothing of the run is there.
    pub(super) async fn absent(&self, run: RunId) {
        let state = self.state(run).await;
        assert_eq!(state, None, "nothing of it should be there");
    }

    /// Waits until `of` answers something about the state of the run.
    pub(super) async fn until<T>(
        &self,
        run: RunId,
        what: &str,
        of: impl Fn(Option<&State>) -> Option<T>,
    ) -> T {
        let deadline = tokio::time::Instant::now() + WITHIN;
        loop {
            let state = self.state(run).await;
            if let Some(answer) = of(state.as_ref()) {
                return answer;
            }
            let in_time = tokio::time::Instant::now() < deadline;
            assert!(in_time, "{what}: still not so, but {state:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// How it ended, once it has.
    pub(super) async fn ended(&self, run: RunId) -> Ended {
        self.until(run, "it ended", |state| match state {
            Some(State::Exited {
                started_at,
                finished_at,
                code,
                cause,
            }) => Some(Ended {
                started_at: *started_at,
                finished_at: *finished_at,
                code: *code,
                cause: *cause,
            }),
            None => panic!("what has run must stay until it is removed"),
            _ => None,
        })
        .await
    }

    /// What ensure says in the end, of a workload that can't be had.
    pub(super) async fn refusal(&self, workload: &Workload) -> ErrorKind {
        let deadline = tokio::time::Instant::now() + WITHIN;
        loop {
            match self.try_ensure(workload).await {
                Ok(Ensured::Pulling { .. }) => {}
                Ok(ensured) => panic!("it should be refused, and is {ensured:?}"),
                Err(error) => return error.kind().clone(),
            }
            let in_time = tokio::time::Instant::now() < deadline;
            assert!(in_time, "it should be refused by now");
            tokio::time::sleep(POLL).await;
        }
    }

    /// All of the log that is there.
    pub(super) async fn log(&self, run: RunId) -> Vec<LogLine> {
        self.lines(run, &LogQuery::default()).await
    }

    /// Every line that `query` gives until it ends.
    pub(super) async fn lines(&self, run: RunId, query: &LogQuery) -> Vec<LogLine> {
        let log = self.orchestrator.logs(run, query).await;
        let lines = log.expect("a log").map(|l| l.expect("a line")).collect();
        let lines = tokio::time::timeout(WITHIN, lines).await;
        lines.expect("the log should have ended by now")
    }

    /// All of the log, once it has that many lines.
    pub(super) async fn log_of(&self, run: RunId, lines: usize) -> Vec<LogLine> {
        let deadline = tokio::time::Instant::now() + WITHIN;
        loop {
            let log = self.log(run).await;
            if log.len() >= lines {
                return log;
            }
            let in_time = tokio::time::Instant::now() < deadline;
            assert!(in_time, "{lines} lines should be there: {log:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Everything that is listed.
    pub(super) async fn list(&self) -> Vec<Found> {
        let list = self.orchestrator.list().await.expect("a list");
        list.map(|found| found.expect("all of it")).collect().await
    }
}

/// The first run of a new pod that runs this, with nothing beside it.
pub fn workload(image: Image) -> Workload {
    let entropy = Entropy::system();
    Workload {
        run: RunId {
            pod: PodId::random(&entropy),
            n: 1,
            key: RunKey::random(&entropy),
        },
        generation: 1,
        tenant: Tenant::from("tenant"),
        spec_hash: "0123456789abcdef".to_owned(),
        image: image.name,
        args: image.args,
        env: Env::default(),
        ports: Vec::new(),
        volume: None,
        devices: Vec::new(),
        device_request: None,
        resources: Resources {
            cpu_milli: 500,
            memory_bytes: 64 << 20,
            pids: 64,
        },
        disk_bytes: 1 << 30,
        jupyter: None,
        grace: Duration::from_secs(1),
    }
}

/// The pod's volume at `/workspace`, whichever it has.
pub fn volume() -> VolumeMount {
    VolumeMount {
        path: "/workspace".to_owned(),
        size_bytes: 1 << 30,
        id: None,
    }
}

/// A fence that says no.
pub(super) fn shut() -> Fence {
    Fence::new(|| Box::pin(async { Ok(false) }))
}

/// Another run of the same pod.
pub(super) fn next(workload: &Workload) -> Workload {
    Workload {
        run: RunId {
            n: workload.run.n + 1,
            key: RunKey::random(&Entropy::system()),
            ..workload.run
        },
        ..workload.clone()
    }
}
