//! Pulls from registries that want a login, that have the image for others, and that are slow.

mod support;

use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::RemoveImageOptionsBuilder;
use futures::StreamExt;
use neuropod_core::auth::Identity;
use neuropod_core::conformance::orchestrator::{self as conformance, Image};
use neuropod_core::memory::MemoryStore;
use neuropod_core::orchestrator::{Ensured, Fence, Workload};
use neuropod_core::pod::{Phase, Reason, Secret};
use neuropod_core::{Error, ErrorKind, Launch, Orchestrator, Platform, Refusal};
use neuropod_docker::{Config, DockerOrchestrator, Logins};

use support::private::{PASSWORD, Private, USER};
use support::registry::Registry;
use support::{docker, engine, engine_is_there, unique};

const WITHIN: Duration = Duration::from_secs(60);

async fn backend(logins: Logins) -> DockerOrchestrator {
    let backend = DockerOrchestrator::connect(Config {
        host: engine(),
        logins,
        ..Config::new(unique("pulls"))
    });
    backend.await.expect("an engine")
}

fn workload(image: &str) -> Workload {
    conformance::workload(Image {
        name: image.to_owned(),
        args: ["sleep", "1000000"].map(str::to_owned).to_vec(),
    })
}

/// How it ends: it runs, and is deleted again, or it is refused.
async fn end(backend: &DockerOrchestrator, image: &str) -> Result<(), Error> {
    let w = workload(image);
    let pulled = async {
        while let Ensured::Pulling { .. } = backend.ensure(&w, &Fence::open()).await? {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    };
    let pulled = tokio::time::timeout(WITHIN, pulled).await;
    backend.purge(w.run.pod).await.expect("purged");
    pulled.expect("within a minute")
}

async fn refusal(backend: &DockerOrchestrator, image: &str) -> (Refusal, String) {
    let error = end(backend, image).await.expect_err("it is refused");
    match error.kind() {
        ErrorKind::Refused(refusal) => (*refusal, format!("{error} {error:?}")),
        other => panic!("{other:?}: {error}"),
    }
}

async fn remove(docker: &Docker, image: &str) {
    let options = RemoveImageOptionsBuilder::new().force(true).build();
    let removed = docker.remove_image(image, Some(options), None).await;
    removed.expect("it was pulled");
}

#[tokio::test]
async fn a_private_image_is_for_those_who_log_in() {
    if !engine_is_there() {
        return;
    }
    let docker = docker();
    let Some(registry) = Private::start(&docker).await else {
        return;
    };
    let host = registry.host();
    let image = format!("{}:1", registry.image());
    let with = |password: &str| Logins::default().with(&host, USER, Secret::new(password));

    let (refused, words) = refusal(&backend(Logins::default()).await, &image).await;
    assert_eq!(refused, Refusal::ImageDenied, "{words}");
    let (refused, words) = refusal(&backend(with("guess")).await, &image).await;
    assert_eq!(refused, Refusal::ImageDenied, "{words}");
    assert!(!words.contains("guess"), "{words}");

    let known = backend(with(PASSWORD)).await;
    for missing in [
        format!("{}:2", registry.image()),
        format!("{host}/team/none:1"),
    ] {
        let (refused, words) = refusal(&known, &missing).await;
        assert_eq!(refused, Refusal::ImageNotFound, "{words}");
        assert!(!words.contains(PASSWORD), "{words}");
    }
    end(&known, &image).await.expect("it is pulled and runs");
    registry.forget(&docker).await;
}

/// A file of `docker login`, changed while the backend runs: nobody restarts a server to log in.
#[tokio::test]
async fn a_login_of_docker_is_found_when_it_is_made() {
    if !engine_is_there() {
        return;
    }
    let docker = docker();
    let Some(registry) = Private::start(&docker).await else {
        return;
    };
    let image = format!("{}:1", registry.image());
    let file = std::env::temp_dir().join(unique("neuropod-logins"));
    let backend = backend(Logins::in_file(&file)).await;
    let (refused, words) = refusal(&backend, &image).await;
    assert_eq!(refused, Refusal::ImageDenied, "{words}");
    let auths = format!(
        r#"{{"auths":{{"{}":{{"username":"{USER}","password":"{PASSWORD}"}}}}}}"#,
        registry.host()
    );
    std::fs::write(&file, auths).expect("written");
    end(&backend, &image).await.expect("it is pulled and runs");
    registry.forget(&docker).await;
    std::fs::remove_file(file).expect("removed");
}

#[tokio::test]
async fn an_image_for_other_machines_is_refused() {
    if !engine_is_there() {
        return;
    }
    let docker = docker();
    let registry = Registry::start(&docker).await;
    let backend = backend(Logins::default()).await;
    for name in ["list", "foreign"] {
        let (refused, words) = refusal(&backend, &registry.image(name)).await;
        assert_eq!(refused, Refusal::ImageNotFound, "{words}");
        println!("{words}");
    }
    remove(&docker, &registry.image("foreign")).await;
}

/// At 1 MB/s the image takes six seconds, and with every look that sees more of it there is more time for the rest.
#[tokio::test]
async fn a_slow_pull_is_shown_and_given_time() {
    if !engine_is_there() {
        return;
    }
    let docker = docker();
    let registry = Registry::with_speed(&docker, 1_000_000).await;
    let image = registry.image("pulled");
    let backend = backend(Logins::default()).await;
    let platform = Platform::builder()
        .orchestrator(backend)
        .store(MemoryStore::new())
        .build();
    let platform = platform.await.expect("a platform");
    let running = platform.clone();
    let loops = tokio::spawn(async move { running.run(std::future::pending()).await });
    let mut changes = platform.store().changed().await.expect("hints");

    let launch = Launch::image(&image).gpu("cpu").disks(1, 1);
    let me = Identity::local();
    let pod = platform.launch(&me, &launch).await.expect("a pod").id;
    let mut seen = Vec::new();
    let watched = async {
        loop {
            let row = platform.store().pod(pod).await.expect("a store");
            let row = row.expect("it is there");
            if let Some(run) = &row.run
                && row.reason == Some(Reason::Pulling)
            {
                seen.push((run.pulled, run.start_by));
            }
            if row.phase() == Phase::Running {
                return;
            }
            assert!(row.run.is_some() || row.last_run == 0, "{row:?}");
            changes.next().await.expect("a store in memory tells all");
        }
    };
    let watched = tokio::time::timeout(WITHIN, watched).await;
    watched.expect("within a minute");
    seen.dedup();
    println!("{seen:?}");
    assert!(seen.len() >= 3, "it grows on the way: {seen:?}");
    let later = |pair: &[(u64, _)]| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1;
    assert!(seen.windows(2).all(later), "{seen:?}");

    platform.delete(&me, pod).await.expect("accepted");
    let gone = async {
        loop {
            let row = platform.store().pod(pod).await.expect("a store");
            if row.is_some_and(|row| row.is_tombstone()) {
                return;
            }
            changes.next().await.expect("a store in memory tells all");
        }
    };
    let gone = tokio::time::timeout(WITHIN, gone).await;
    gone.expect("within a minute");
    loops.abort();
    remove(&docker, &image).await;
}
