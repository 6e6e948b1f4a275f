//! What a container writes to its own disk ends at its limit where the engine's storage can do that, and users are told
//! where it can't.

mod support;

use futures::StreamExt;
use neuropod_core::Orchestrator;
use neuropod_core::conformance::orchestrator::{self as conformance, Image};
use neuropod_core::orchestrator::{Ensured, Fence, LogQuery, Workload};
use neuropod_docker::{Config, DockerOrchestrator};

use support::{IMAGE, engine, engine_is_there, is_given, unique};

/// An engine whose storage limits what containers write.
const LIMITED: &str = "NEUROPOD_TEST_DOCKER_LIMITED";

/// What became of 48 MiB that were written where 16 are allowed, as the container tells it; whether the backend
/// promises a limit; and what else it says of disks.
async fn written(host: Option<String>) -> (String, bool, String) {
    let config = Config {
        host,
        ..Config::new(unique("disk"))
    };
    let docker = DockerOrchestrator::connect(config).await;
    let docker = docker.expect("the engine answers");
    let write = "dd if=/dev/zero of=/big bs=1M count=48 2>/dev/null && echo all || echo cut; \
                 [ $(stat -c %s /big) -gt 16777216 ] && echo more || echo less";
    let shell = Image {
        name: IMAGE.to_owned(),
        args: ["sh", "-c", write].map(str::to_owned).to_vec(),
    };
    let w = Workload {
        disk_bytes: 16 << 20,
        ..conformance::workload(shell)
    };
    let ensured = docker.ensure(&w, &Fence::open()).await;
    assert_eq!(ensured.expect("ensure"), Ensured::Present);
    let follow = LogQuery {
        follow: true,
        ..LogQuery::default()
    };
    let log = docker.logs(w.run, &follow).await.expect("a log");
    let lines: Vec<_> = log.map(|line| line.expect("a line").text).collect().await;
    docker.purge(w.run.pod).await.expect("purged");
    let capacity = docker.capacity().await.expect("a capacity");
    let of_disks = capacity.caveats.iter().filter(|c| c.contains("disk"));
    let of_disks: Vec<_> = of_disks.cloned().collect();
    (lines.join(" "), capacity.disk_limit, of_disks.join(" "))
}

#[tokio::test]
async fn a_container_writes_no_more_than_it_may() {
    let Some(host) = is_given(LIMITED) else {
        return;
    };
    let (told, limited, caveat) = written(Some(host)).await;
    assert_eq!((told.as_str(), limited), ("cut less", true));
    assert_eq!(caveat, "Volume disk is not limited.");
}

/// The engine of the other tests has the storage of its machine, which mostly has no limits.
#[tokio::test]
async fn what_is_said_of_limits_is_true() {
    if !engine_is_there() {
        return;
    }
    let (told, limited, caveat) = written(engine()).await;
    let (expected, begins) = match limited {
        true => ("cut less", "Volume disk is not limited."),
        false => ("all more", "Container and volume disk is not limited."),
    };
    assert_eq!(told, expected);
    assert!(caveat.starts_with(begins), "{caveat}");
}
