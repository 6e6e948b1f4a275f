//! An engine that says nothing any more, or has forgotten who listens, holds nobody up for ever.

mod support;

use std::time::Duration;

use bollard::query_parameters::KillContainerOptions;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use neuropod_core::conformance::orchestrator::{self as conformance, Image};
use neuropod_core::id::RunId;
use neuropod_core::orchestrator::{Fence, LogLine, LogQuery};
use neuropod_core::{ErrorKind, Orchestrator, Result};
use neuropod_docker::{Config, DockerOrchestrator};

use support::proxy::Proxy;
use support::{IMAGE, NO_ENGINE, engine, engine_is_there, unique};

/// What has not happened by then never will.
const FOR_EVER: Duration = Duration::from_secs(30);

/// A backend of little patience, and a proxy between it and the engine.
struct Listening {
    installation: String,
    docker: DockerOrchestrator,
    proxy: Proxy,
}

impl Listening {
    async fn new() -> Self {
        let (installation, proxy) = (unique("silence"), Proxy::to(&engine().expect(NO_ENGINE)));
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
        let pod = conformance::workload(Image {
            name: IMAGE.to_owned(),
            args: ["sh", "-c", script].map(str::to_owned).to_vec(),
        });
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
