//! What the engine itself says is there of one installation, and whether a pod or a GPU ever had two containers alive.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bollard::Docker;
use bollard::query_parameters::{
    EventsOptionsBuilder, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
    ListVolumesOptionsBuilder,
};
use futures::StreamExt;
use tokio::task::JoinHandle;

use crate::hook::Records;

const INSTANCE: &str = "neuropod.io/instance";
const POD: &str = "neuropod.io/pod-id";

#[derive(Debug)]
pub(crate) struct Engine {
    docker: Docker,
    installation: String,
    doubles: Arc<Mutex<Vec<String>>>,
    gpus_given: Arc<AtomicUsize>,
    started: Arc<Mutex<BTreeSet<String>>>,
    watch: JoinHandle<()>,
}

/// What is there, by pod.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct There {
    /// Ids of containers that are alive.
    pub(crate) alive: BTreeMap<String, Vec<String>>,
    /// How many containers are not.
    pub(crate) ended: BTreeMap<String, usize>,
    pub(crate) volumes: BTreeSet<String>,
}

impl Engine {
    /// Watches from now on.
    pub(crate) async fn watch(host: &str, installation: &str) -> Self {
        let docker = Docker::connect_with_host(host).unwrap();
        docker.ping().await.unwrap();
        let kinds = ["start", "die"].map(str::to_owned).to_vec();
        let mut filters = labelled(installation);
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        filters.insert("event".to_owned(), kinds);
        let options = EventsOptionsBuilder::new().filters(&filters).build();
        let mut events = docker.events(Some(options));
        let doubles = Arc::new(Mutex::new(Vec::new()));
        let started = Arc::new(Mutex::new(BTreeSet::new()));
        let (found, starts) = (Arc::clone(&doubles), Arc::clone(&started));
        let gpus_given = Arc::new(AtomicUsize::new(0));
        let given = Arc::clone(&gpus_given);
        let records = Records::named();
        let watch = tokio::spawn(async move {
            let mut alive: HashMap<String, BTreeSet<String>> = HashMap::new();
            while let Some(event) = events.next().await {
                let event = event.expect("the engine's events can be read");
                let actor = event.actor.unwrap_or_default();
                let container = actor.id.unwrap_or_default();
                let labels = actor.attributes.unwrap_or_default();
                let pod = labels.get(POD).cloned().unwrap_or_default();
                if event.action.as_deref() != Some("start") {
                    for having in alive.values_mut() {
                        having.remove(&container);
                    }
                    continue;
                }
                starts.lock().unwrap().insert(pod.clone());
                // Kept before the container starts.
                let gpus = records.as_ref().map(|kept| kept.given(&container));
                let gpus = gpus.unwrap_or_default();
                given.fetch_add(gpus.len(), Ordering::Relaxed);
                for had in gpus.into_iter().chain([pod]) {
                    let having = alive.entry(had.clone()).or_default();
                    having.insert(container.clone());
                    if having.len() > 1 {
                        found.lock().unwrap().push(format!("{had}: {having:?}"));
                    }
                }
            }
        });
        Self {
            docker,
            installation: installation.to_owned(),
            doubles,
            gpus_given,
            started,
            watch,
        }
    }

    /// How often a container that started was given a GPU, by the hook's own records, so far.
    pub(crate) fn gpus_given(&self) -> usize {
        self.gpus_given.load(Ordering::Relaxed)
    }

    /// Past its events, which end when it is killed.
    pub(crate) fn unwatched(docker: Docker, installation: &str) -> Self {
        Self {
            docker,
            installation: installation.to_owned(),
            doubles: Arc::default(),
            gpus_given: Arc::default(),
            started: Arc::default(),
            watch: tokio::spawn(std::future::pending()),
        }
    }

    /// Every pod that had two containers alive at once, and every GPU that two had at once, so far.
    pub(crate) fn doubles(&self) -> Vec<String> {
        assert!(!self.watch.is_finished(), "the engine's events have ended");
        self.doubles.lock().unwrap().clone()
    }

    /// Whether a container of the pod was ever started, so far.
    pub(crate) fn has_run(&self, pod: &str) -> bool {
        assert!(!self.watch.is_finished(), "the engine's events have ended");
        self.started.lock().unwrap().contains(pod)
    }

    /// How many networks are there.
    pub(crate) async fn networks(&self) -> usize {
        let filters = labelled(&self.installation);
        let all = ListNetworksOptionsBuilder::new().filters(&filters).build();
        self.docker.list_networks(Some(all)).await.unwrap().len()
    }

    pub(crate) async fn there(&self) -> There {
        let filters = labelled(&self.installation);
        let all = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let mut there = There::default();
        for container in self.docker.list_containers(Some(all)).await.unwrap() {
            let pod = container.labels.unwrap_or_default()[POD].clone();
            match container.state.map(|state| state.to_string()).as_deref() {
                Some("running") => {
                    let id = container.id.unwrap();
                    there.alive.entry(pod).or_default().push(id);
                }
                _ => *there.ended.entry(pod).or_default() += 1,
            }
        }
        let all = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let volumes = self.docker.list_volumes(Some(all)).await.unwrap();
        for volume in volumes.volumes.unwrap_or_default() {
            there.volumes.insert(volume.labels[POD].clone());
        }
        there
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn labelled(installation: &str) -> HashMap<String, Vec<String>> {
    let label = format!("{INSTANCE}={installation}");
    HashMap::from([("label".to_owned(), vec![label])])
}
