//! Which ports answer. What has answered once is not asked again as long as its container runs.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use neuropod_core::orchestrator::State;
use tokio::net::TcpStream;

use crate::convert;
use crate::engine::Container;

/// A port that has not answered by then does not yet.
const WITHIN: Duration = Duration::from_millis(200);

/// The ports that have answered, by container.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ready(Arc<Mutex<HashMap<String, HashSet<u16>>>>);

impl Ready {
    /// Says of each endpoint of the container whether it has answered, at the container's own address: a published
    /// port always does.
    pub(crate) async fn look(&self, container: &mut Container) {
        let State::Running { endpoints, .. } = &mut container.instance.state else {
            self.forget(&container.id);
            return;
        };
        let Some(address) = convert::address(&container.inspected) else {
            return;
        };
        let answered = self.answered(&container.id);
        let unknown = endpoints.iter().map(|e| e.container);
        let unknown: Vec<u16> = unknown.filter(|p| !answered.contains(p)).collect();
        let probes = unknown.iter().map(|port| {
            let connect = TcpStream::connect((address.clone(), *port));
            async { matches!(tokio::time::timeout(WITHIN, connect).await, Ok(Ok(_))) }
        });
        let probed = join_all(probes).await;
        let new = unknown.into_iter().zip(probed);
        let new: Vec<u16> = new.filter(|(_, yes)| *yes).map(|(port, _)| port).collect();
        if !new.is_empty() {
            let mut all = self.0.lock().expect("no panic while held");
            all.entry(container.id.clone()).or_default().extend(&new);
        }
        for endpoint in endpoints {
            let port = &endpoint.container;
            endpoint.ready = answered.contains(port) || new.contains(port);
        }
    }

    fn answered(&self, id: &str) -> HashSet<u16> {
        let all = self.0.lock().expect("no panic while held");
        all.get(id).cloned().unwrap_or_default()
    }

    /// The container runs no more.
    pub(crate) fn forget(&self, id: &str) {
        self.0.lock().expect("no panic while held").remove(id);
    }
}
