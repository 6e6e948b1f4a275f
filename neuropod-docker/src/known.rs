//! What was found out about a container and can't have changed since.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum as Listed,
    EndpointSettings,
};
use neuropod_core::orchestrator::{Instance, State};

/// By the engine's id of the container.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(Arc<Mutex<HashMap<String, Entry>>>);

#[derive(Debug, Default)]
struct Entry {
    started: Option<Started>,
    volume: Option<String>,
}

/// A start that was inspected. A list tells no time of a start, but it tells the container's endpoint in its network,
/// and each start makes a new one.
#[derive(Debug)]
struct Started {
    endpoint: String,
    instance: Instance,
}

impl Known {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().expect("no panic while held")
    }

    /// Notes a container as it was inspected.
    pub(crate) fn inspected(&self, id: &str, seen: &ContainerInspectResponse, instance: &Instance) {
        let networks = seen.network_settings.as_ref();
        let networks = networks.and_then(|n| n.networks.as_ref());
        let running = matches!(instance.state, State::Running { .. });
        let endpoint = endpoint(networks).filter(|_| running);
        self.all().entry(id.to_owned()).or_default().started = endpoint.map(|endpoint| Started {
            endpoint,
            instance: instance.clone(),
        });
    }

    /// What a listed container is, if it runs on since it was inspected.
    pub(crate) fn running(&self, listed: &ContainerSummary) -> Option<Instance> {
        let networks = listed.network_settings.as_ref();
        let endpoint = endpoint(networks.and_then(|n| n.networks.as_ref()))?;
        let runs = matches!(listed.state?, Listed::RUNNING | Listed::PAUSED);
        let all = self.all();
        let started = all.get(listed.id.as_ref()?)?.started.as_ref()?;
        (runs && started.endpoint == endpoint).then(|| started.instance.clone())
    }

    /// Notes the identity of a container's volume. The engine deletes no volume that a container has, so it stays the
    /// same as long as the container is there.
    pub(crate) fn has_volume(&self, id: &str, identity: &str) {
        self.all().entry(id.to_owned()).or_default().volume = Some(identity.to_owned());
    }

    /// The identity of a container's volume, for one that is there.
    pub(crate) fn volume(&self, id: &str) -> Option<String> {
        self.all().get(id)?.volume.clone()
    }

    /// The container is gone.
    pub(crate) fn forget(&self, id: &str) {
        self.all().remove(id);
    }

    /// No other containers than these are there.
    pub(crate) fn keep(&self, there: impl Fn(&str) -> bool) {
        self.all().retain(|id, _| there(id));
    }
}

fn endpoint(networks: Option<&HashMap<String, EndpointSettings>>) -> Option<String> {
    let endpoints = networks?.values().filter_map(|n| n.endpoint_id.clone());
    endpoints.filter(|endpoint| !endpoint.is_empty()).min()
}
