//! Which ports answer. What has answered once is not asked again as long as its Pod runs.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use neuropod_core::orchestrator::State;
use tokio::net::TcpStream;

/// A port that has not answered by then does not yet.
const WITHIN: Duration = Duration::from_millis(200);

/// The ports that have answered, by the Pod's uid.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ready(Arc<Mutex<HashMap<String, HashSet<u16>>>>);

impl Ready {
    /// Says of each endpoint of the Pod whether it has answered, at the Pod's own address.
    pub(crate) async fn look(&self, pod: &Pod, state: &mut State) {
        let Some(uid) = pod.metadata.uid.as_deref() else {
            return;
        };
        let State::Running { endpoints, .. } = state else {
            self.0.lock().expect("no panic while held").remove(uid);
            return;
        };
        let Some(address) = pod.status.as_ref().and_then(|s| s.pod_ip.clone()) else {
            return;
        };
        let answered = self
            .0
            .lock()
            .expect("no panic while held")
            .get(uid)
            .cloned()
            .unwrap_or_default();
        let unknown = endpoints.iter().map(|e| e.container);
        let unknown: Vec<u16> = unknown.filter(|port| !answered.contains(port)).collect();
        let probes = unknown.iter().map(|port| {
            let connect = TcpStream::connect((address.clone(), *port));
            async { matches!(tokio::time::timeout(WITHIN, connect).await, Ok(Ok(_))) }
        });
        let new = unknown.iter().copied().zip(join_all(probes).await);
        let new: Vec<u16> = new.filter(|(_, yes)| *yes).map(|(port, _)| port).collect();
        if !new.is_empty() {
            let mut all = self.0.lock().expect("no panic while held");
            all.entry(uid.to_owned()).or_default().extend(&new);
        }
        for endpoint in endpoints {
            let port = &endpoint.container;
            endpoint.ready = answered.contains(port) || new.contains(port);
        }
    }

    /// The same by what is known already.
    pub(crate) fn told(&self, pod: &Pod, state: &mut State) {
        let (Some(uid), State::Running { endpoints, .. }) = (pod.metadata.uid.as_deref(), state)
        else {
            return;
        };
        let all = self.0.lock().expect("no panic while held");
        for endpoint in endpoints {
            endpoint.ready = all
                .get(uid)
                .is_some_and(|ports| ports.contains(&endpoint.container));
        }
    }

    /// No other Pods than these are there.
    pub(crate) fn keep(&self, there: impl Fn(&str) -> bool) {
        self.0
            .lock()
            .expect("no panic while held")
            .retain(|uid, _| there(uid));
    }
}
