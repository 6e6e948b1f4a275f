//! An engine that says nothing any more, or has forgotten who listens, holds nobody up for ever.

mod support;

use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::KillContainerOptions;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use neuropod_core::conformance::orchestrator::{self as conformance, Image};
use neuropod_core::id::RunId;
use neuropod_core::orchestrator::{Ensured, Fence, Instance, LogLine, LogQuery, State, Workload};
use neuropod_core::{ErrorKind, Orchestrator, Result, Time};
use neuropod_docker::{Config, DockerOrchestrator};

use support::proxy::Proxy;
use support::{IMAGE, NO_ENGINE, engine, engine_is_there, unique};

/// What has not happened by then never will.
const FOR_EVER: Duration = Duration::from_secs(30);

/// A backend of little patience, and a proxy between it and the engine.
struct Listening {
    installation: String,
    docker: DockerOrchestrator,
    proxy: Arc<Proxy>,
}

impl Listening {
    async fn new() -> Self {
        let installation = unique("silence");
        let proxy = Arc::new(Proxy::to(&engine().expect(NO_ENGINE)));
        let docker = DockerOrchestrator::connect(Config {
            host: Some(proxy.host()),
            deadline: Duration::from_secs(2),
            idle: Duration::from_millis(200),
            ..Config::new(&installation)
        });
        let docker = docker.await.expect("an engine");
        Self {
            installation,
            docker,
            proxy,
        }
    }

    async fn start(&self, script: &str) -> RunId {
        let pod = workload(script);
        let ensured = self.docker.ensure(&pod, &Fence::open()).await;
        ensured.expect("it runs");
        pod.run
    }

    async fn log(&self, run: RunId) -> BoxStream<'static, Result<LogLine>> {
        let query = LogQuery {
            follow: true,
            ..LogQuery::default()
        };
        self.docker.logs(run, &query).await.expect("its log")
    }

    /// The run's container, which is the only one, and when it started.
    async fn one_runs(&self, run: RunId) -> Time {
        let seen = self.docker.observe(run.pod).await.expect("it answers");
        match &seen.instances[..] {
            [
                Instance {
                    run: this,
                    state: State::Running { started_at, .. },
                    ..
                },
            ] if *this == run => *started_at,
            _ => panic!("one container, which runs: {seen:?}"),
        }
    }

    /// Past the proxy.
    async fn purge(self, run: RunId) {
        let outside = DockerOrchestrator::connect(Config {
            host: engine(),
            ..Config::new(self.installation)
        });
        let outside = outside.await.expect("an engine");
        outside.purge(run.pod).await.expect("purged");
    }
}

fn workload(script: &str) -> Workload {
    conformance::workload(Image {
        name: IMAGE.to_owned(),
        args: ["sh", "-c", script].map(str::to_owned).to_vec(),
    })
}

async fn next<T>(stream: &mut (impl Stream<Item = T> + Unpin)) -> Option<T> {
    let next = tokio::time::timeout(FOR_EVER, stream.next()).await;
    next.expect("not for ever")
}

const COUNTS: &str = "i=0; while :; do echo $i; i=$((i + 1)); sleep 0.05; done";

#[tokio::test]
async fn a_followed_log_that_is_lost_goes_on_where_it_was() {
    if !engine_is_there() {
        return;
    }
    let listening = Listening::new().await;
    let run = listening.start(COUNTS).await;
    let mut log = listening.log(run).await;
    for i in 0..60 {
        if i % 20 == 10 {
            listening.proxy.lose_answers();
        }
        let line = next(&mut log).await.expect("a line").expect("a line");
        assert_eq!(line.text, i.to_string());
    }
    listening.purge(run).await;
}

#[tokio::test]
async fn a_followed_log_of_a_silent_engine_ends_and_says_why() {
    if !engine_is_there() {
        return;
    }
    let listening = Listening::new().await;
    let run = listening.start(COUNTS).await;
    let mut log = listening.log(run).await;
    next(&mut log).await.expect("a line").expect("a line");
    listening.proxy.fall_silent();
    let end = loop {
        if let Err(end) = next(&mut log).await.expect("an error at last") {
            break end;
        }
    };
    assert_eq!(*end.kind(), ErrorKind::Unreachable);
    assert!(next(&mut log).await.is_none());
    listening.purge(run).await;
}

#[tokio::test]
async fn hints_that_are_lost_come_later() {
    if !engine_is_there() {
        return;
    }
    let listening = Listening::new().await;
    let mut hints = listening.docker.watch().await.expect("hints");
    let run = listening.start("exec sleep 1000000").await;
    assert_eq!(next(&mut hints).await, Some(run.pod));
    listening.proxy.lose_answers();
    let outside = support::docker();
    let name = format!("np-{}-{}", run.pod, run.n);
    let killed = outside.kill_container(&name, None::<KillContainerOptions>);
    killed.await.expect("killed");
    assert_eq!(next(&mut hints).await, Some(run.pod));
    listening.purge(run).await;
}

#[tokio::test]
async fn hints_of_a_silent_engine_end() {
    if !engine_is_there() {
        return;
    }
    let listening = Listening::new().await;
    let mut hints = listening.docker.watch().await.expect("hints");
    let run = listening.start("exec sleep 1000000").await;
    assert_eq!(next(&mut hints).await, Some(run.pod));
    listening.proxy.fall_silent();
    while next(&mut hints).await.is_some() {}
    listening.purge(run).await;
}

/// What every method says of a run whose engine does not answer as it should.
async fn all_say(docker: &DockerOrchestrator, pod: &Workload) -> Vec<(&'static str, ErrorKind)> {
    let (run, query) = (pod.run, LogQuery::default());
    let said = async {
        vec![
            ("ensure", docker.ensure(pod, &Fence::open()).await.err()),
            ("stop", docker.stop(run, Duration::from_secs(1)).await.err()),
            ("remove", docker.remove(run).await.err()),
            ("purge", docker.purge(run.pod).await.err()),
            ("observe", docker.observe(run.pod).await.err()),
            ("list", docker.list().await.err()),
            ("watch", docker.watch().await.err()),
            ("logs", docker.logs(run, &query).await.err()),
            ("usage", docker.usage(run).await.err()),
            ("capacity", docker.capacity().await.err()),
        ]
    };
    let said = tokio::time::timeout(FOR_EVER * 2, said).await;
    let said = said.expect("not for ever").into_iter();
    let kind = |e: Option<neuropod_core::Error>| e.map(|e| e.kind().clone());
    said.map(|(method, e)| (method, kind(e).expect(method)))
        .collect()
}

fn nothing_is_known(said: Vec<(&'static str, ErrorKind)>) {
    for (method, kind) in said {
        assert_eq!(kind, ErrorKind::Unreachable, "{method}");
    }
}

#[tokio::test]
async fn a_silent_engine_is_unreachable_whatever_it_is_asked() {
    if !engine_is_there() {
        return;
    }
    let listening = Listening::new().await;
    let pod = workload("exec sleep 1000000");
    let ensured = listening.docker.ensure(&pod, &Fence::open()).await;
    ensured.expect("it runs");
    listening.proxy.fall_silent();
    nothing_is_known(all_say(&listening.docker, &pod).await);
    listening.purge(pod.run).await;
}

/// Half an answer may have the status of a whole one: a list that is cut off is no shorter list.
#[tokio::test]
async fn half_an_answer_is_none() {
    if !engine_is_there() {
        return;
    }
    let listening = Listening::new().await;
    let pod = workload("exec sleep 1000000");
    let ensured = listening.docker.ensure(&pod, &Fence::open()).await;
    ensured.expect("it runs");
    listening.proxy.halve_answers(true);
    nothing_is_known(all_say(&listening.docker, &pod).await);
    listening.proxy.halve_answers(false);
    let seen = listening.docker.observe(pod.run.pod).await;
    let there = seen.expect("it answers again").instances;
    assert_eq!(there.len(), 1, "nobody has touched what could not be read");
    listening.purge(pod.run).await;
}

/// The engine does what it is asked and its answer is lost: asked again, it does nothing twice.
#[tokio::test]
async fn a_launch_whose_answers_are_lost_is_one_container() {
    if !engine_is_there() {
        return;
    }
    let listening = Listening::new().await;
    let pod = workload("exec sleep 1000000");
    listening.proxy.halve_answers(true);
    // First the create's own answer is lost, and then that the name is taken.
    for _ in 0..3 {
        let ensured = listening.docker.ensure(&pod, &Fence::open()).await;
        let error = ensured.expect_err("nothing is known");
        assert_eq!(*error.kind(), ErrorKind::Unreachable);
    }
    listening.proxy.halve_answers(false);
    let ensured = listening.docker.ensure(&pod, &Fence::open()).await;
    assert_eq!(ensured.expect("it runs"), Ensured::Present);
    listening.one_runs(pod.run).await;
    listening.purge(pod.run).await;
}

/// The engine has started it, but the start's answer is lost, and those to whatever is asked next.
#[tokio::test]
async fn a_start_whose_answer_is_lost_is_no_second_start() {
    if !engine_is_there() {
        return;
    }
    let listening = Listening::new().await;
    let pod = workload("exec sleep 1000000");
    let proxy = listening.proxy.clone();
    let last_question = Fence::new(move || {
        proxy.halve_answers(true);
        Box::pin(async { Ok(true) })
    });
    let ensured = listening.docker.ensure(&pod, &last_question).await;
    let error = ensured.expect_err("nothing is known");
    assert_eq!(*error.kind(), ErrorKind::Unreachable);
    listening.proxy.halve_answers(false);
    let started = listening.one_runs(pod.run).await;
    let ensured = listening.docker.ensure(&pod, &Fence::open()).await;
    assert_eq!(ensured.expect("it runs"), Ensured::Present);
    assert_eq!(listening.one_runs(pod.run).await, started);
    listening.purge(pod.run).await;
}
