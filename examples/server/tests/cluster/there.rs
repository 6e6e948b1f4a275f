//! What the cluster itself says is there of one installation.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, ResourceExt};

const POD: &str = "neuropod.io/pod-id";

/// The cluster, past the server.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    ours: ListParams,
}

/// What is there, by pod.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct There {
    /// Names of Pods that run.
    pub(crate) alive: BTreeMap<String, Vec<String>>,
    /// How many Pods don't.
    pub(crate) others: usize,
    pub(crate) claims: BTreeSet<String>,
    /// Whose services and policies there are.
    pub(crate) routes: BTreeSet<String>,
}

impl Cluster {
    pub(crate) async fn of(kubeconfig: &str, installation: &str) -> Self {
        let read = Kubeconfig::read_from(kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(read, &options)
            .await
            .unwrap();
        Self {
            client: Client::try_from(config).unwrap(),
            ours: ListParams::default().labels(&format!("neuropod.io/instance={installation}")),
        }
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    /// The only Pod that is there.
    pub(crate) async fn pod(&self, id: &str) -> Option<Pod> {
        let of_pod = ListParams::default().labels(&format!("{POD}={id}"));
        self.pods()
            .list(&of_pod)
            .await
            .unwrap()
            .items
            .into_iter()
            .next()
    }

    pub(crate) async fn there(&self) -> There {
        let mut there = There::default();
        for pod in self.pods().list(&self.ours).await.unwrap() {
            let id = pod.labels()[POD].clone();
            let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
            if phase == Some("Running") {
                there.alive.entry(id).or_default().push(pod.name_any());
            } else {
                there.others += 1;
            }
        }
        let claims = Api::<PersistentVolumeClaim>::default_namespaced(self.client.clone());
        let claims = claims.list(&self.ours).await.unwrap();
        there
            .claims
            .extend(claims.iter().map(|c| c.labels()[POD].clone()));
        let services = Api::<Service>::default_namespaced(self.client.clone());
        let services = services.list(&self.ours).await.unwrap();
        there
            .routes
            .extend(services.iter().map(|s| s.labels()[POD].clone()));
        let policies = Api::<NetworkPolicy>::default_namespaced(self.client.clone());
        let policies = policies.list(&self.ours).await.unwrap();
        there
            .routes
            .extend(policies.iter().map(|p| p.labels()[POD].clone()));
        there
    }
}
