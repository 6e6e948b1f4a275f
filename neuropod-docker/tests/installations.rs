//! Whole platforms on one real engine: none touches what is not its own, and one with an empty database deletes
//! nothing.

mod support;

use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, RemoveContainerOptionsBuilder,
    RemoveVolumeOptions, StartContainerOptions,
};
use futures::StreamExt;
use neuropod_core::auth::Identity;
use neuropod_core::event::EventKind;
use neuropod_core::id::{Entropy, PodId};
use neuropod_core::memory::MemoryStore;
use neuropod_core::orchestrator::State;
use neuropod_core::pod::{Phase, Pod};
use neuropod_core::store::{Changes, EventQuery, StoreExt, Wake, WorkKey};
use neuropod_core::{Launch, Orchestrator, Platform};
use neuropod_docker::{Config, DockerOrchestrator};
use tokio::task::JoinHandle;

use support::{IMAGE, docker, engine, engine_is_there, unique};

const WITHIN: Duration = Duration::from_secs(60);

/// A platform whose loops run until it is dropped.
struct Installed {
    platform: Platform,
    engine: DockerOrchestrator,
    loops: JoinHandle<()>,
}

impl Installed {
    /// On the engine of the tests, as `installation`, with a database that is empty.
    async fn new(installation: &str) -> Self {
        let config = Config {
            host: engine(),
            ..Config::new(installation)
        };
        let engine = DockerOrchestrator::connect(config)
            .await
            .expect("an engine");
        let platform = Platform::builder()
            .orchestrator(engine.clone())
            .store(MemoryStore::new())
            .build();
        let platform = platform.await.expect("a platform");
        let running = platform.clone();
        let loops = tokio::spawn(async move { running.run(std::future::pending()).await });
        Self {
            platform,
            engine,
            loops,
        }
    }

    async fn launch(&self) -> Pod {
        let launch = Launch::image(IMAGE).gpu("cpu").port(8080).disks(1, 1);
        let pod = self.platform.launch(&Identity::local(), &launch).await;
        let pod = pod.expect("a pod").id;
        self.until(pod, |pod| pod.phase() == Phase::Running).await
    }

    async fn delete(&self, pod: PodId) {
        let deleted = self.platform.delete(&Identity::local(), pod).await;
        deleted.expect("a delete is accepted");
        self.until(pod, Pod::is_tombstone).await;
    }

    async fn until(&self, pod: PodId, holds: impl Fn(&Pod) -> bool) -> Pod {
        let row = async || {
            let row = self.platform.store().pod(pod).await;
            row.expect("a store").filter(|row| holds(row))
        };
        self.told(row).await
    }

    /// Until a sweep that begins after now has been written down.
    async fn sweep(&self) {
        let store = self.platform.store();
        let now = self.platform.clock().now();
        let swept = async || {
            let document = store.document("sweep", "default", now).await;
            document.expect("a store").map_or(0, |d| d.version)
        };
        // One may be under way; the one after it is not.
        for _ in 0..2 {
            let before = swept().await;
            let wake = Wake {
                key: WorkKey::Sweep("default".to_owned()),
                at: now,
            };
            let changes = Changes {
                wakes: vec![wake],
                ..Changes::default()
            };
            store.commit(&changes).await.expect("a wake");
            self.told(async || (swept().await > before).then_some(()))
                .await;
        }
    }

    /// What the store has, once it has it: looked for after each change.
    async fn told<T>(&self, look: impl AsyncFn() -> Option<T>) -> T {
        let mut changes = self.platform.store().changed().await.expect("hints");
        let told = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                changes.next().await.expect("a store in memory tells all");
            }
        };
        let told = tokio::time::timeout(WITHIN, told).await;
        told.expect("within a minute")
    }

    /// The containers and the volume of a pod, which are as they were if this is.
    async fn there(&self, pod: PodId) -> String {
        let seen = self.engine.observe(pod).await.expect("the engine answers");
        assert_eq!(seen.instances.len(), 1, "{seen:?}");
        assert!(seen.volume.is_some());
        let state = &seen.instances[0].state;
        let running = matches!(state, State::Running { .. });
        assert!(running, "{seen:?}");
        format!("{:?} {:?}", seen.instances, seen.volume)
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        self.loops.abort();
    }
}

/// Somebody's container and volume, which look as much like ours as they can.
struct Foreign {
    docker: Docker,
    name: String,
    id: String,
}

impl Foreign {
    async fn new(labels: &[(&str, &str)]) -> Self {
        let docker = docker();
        let name = format!("np-{}-1", PodId::random(&Entropy::system()));
        let labels = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let labels = Some(labels.collect());
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let body = ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            labels: labels.clone(),
            ..ContainerCreateBody::default()
        };
        let made = docker.create_container(Some(options), body).await;
        let id = made.expect("a foreign container").id;
        let none = None::<StartContainerOptions>;
        docker.start_container(&id, none).await.expect("it starts");
        let volume = VolumeCreateRequest {
            name: Some(name.clone()),
            labels,
            ..VolumeCreateRequest::default()
        };
        docker
            .create_volume(volume)
            .await
            .expect("a foreign volume");
        Self { docker, name, id }
    }

    async fn is_there(&self) -> bool {
        let none = None::<InspectContainerOptions>;
        let seen = self.docker.inspect_container(&self.id, none).await;
        let state = seen.expect("it is there").state;
        let runs = state.and_then(|s| s.running) == Some(true);
        runs && self.docker.inspect_volume(&self.name).await.is_ok()
    }

    async fn remove(self) {
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        let removed = self.docker.remove_container(&self.id, Some(options)).await;
        removed.expect("removed");
        let none = None::<RemoveVolumeOptions>;
        let removed = self.docker.remove_volume(&self.name, none).await;
        removed.expect("removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_installations_and_a_foreign_container_share_an_engine() {
    if !engine_is_there() {
        return;
    }
    let managed = ("app.kubernetes.io/managed-by", "neuropod");
    let unlabelled = Foreign::new(&[]).await;
    let labelled = Foreign::new(&[managed, ("neuropod.io/pod-id", "0123456789abcdef")]).await;
    let one = Installed::new(&unique("one")).await;
    let two = Installed::new(&unique("two")).await;
    let (mine, theirs) = tokio::join!(one.launch(), two.launch());
    // Both have the same range of ports, and found one of their own each.
    assert_ne!(mine.ports[0].host, theirs.ports[0].host);
    let before = (one.there(mine.id).await, two.there(theirs.id).await);

    tokio::join!(one.sweep(), two.sweep());
    let after = (one.there(mine.id).await, two.there(theirs.id).await);
    assert_eq!(before, after);
    // Neither can reach the other's pod, whatever it is asked.
    one.engine.purge(theirs.id).await.expect("nothing to purge");
    let run = theirs.run_id(theirs.run.as_ref().expect("its run"));
    one.engine.stop(run, Duration::ZERO).await.expect("nothing");
    one.engine.remove(run).await.expect("nothing to remove");
    assert_eq!(two.there(theirs.id).await, before.1);

    one.delete(mine.id).await;
    one.sweep().await;
    let seen = one
        .engine
        .observe(mine.id)
        .await
        .expect("the engine answers");
    assert!(seen.instances.is_empty() && seen.volume.is_none());
    assert_eq!(two.there(theirs.id).await, before.1);
    two.delete(theirs.id).await;
    two.sweep().await;
    for foreign in [unlabelled, labelled] {
        assert!(foreign.is_there().await);
        foreign.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_deletes_nothing() {
    if !engine_is_there() {
        return;
    }
    let installation = unique("lost");
    let first = Installed::new(&installation).await;
    let pod = first.launch().await;
    let before = first.there(pod.id).await;

    // The same installation, and its database is gone.
    let second = Installed::new(&installation).await;
    second.sweep().await;
    second.sweep().await;
    assert_eq!(first.there(pod.id).await, before);
    let all = EventQuery {
        after: None,
        limit: 1000,
    };
    let events = second.platform.store().events(&all).await.expect("events");
    let told = events
        .events
        .iter()
        .filter(|e| e.event.kind == EventKind::AdminNotice && e.event.pod == Some(pod.id));
    assert_eq!(told.count(), 1, "an administrator is told, once");
    first.delete(pod.id).await;
}
