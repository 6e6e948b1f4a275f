//! How the cluster is reached and used.

use std::path::PathBuf;
use std::time::Duration;

use crate::gpu::Gpus;

/// How the cluster is reached and used.
#[derive(Debug, Clone)]
pub struct Config {
    /// The kubeconfig; `None` for the one that `KUBECONFIG` names, the usual one, or the service account of the pod that
    /// this program runs in.
    pub kubeconfig: Option<PathBuf>,
    /// This installation's id: what carries another one is never touched.
    pub installation: String,
    /// Where everything is made.
    pub namespace: String,
    /// The class of volumes; `None` for the cluster's default.
    pub storage_class: Option<String>,
    /// How pods are reached.
    pub exposure: Exposure,
    /// The host of what is reached by ports of the nodes.
    pub public_host: String,
    /// How GPUs are asked for.
    pub gpus: Gpus,
    /// Secrets of the namespace with the logins at image registries.
    pub pull_secrets: Vec<String>,
    /// Thousandths of a CPU that the scheduler keeps for a pod; its limit if that is less, or if `None`.
    pub cpu_request_milli: Option<u32>,
    /// Bytes of memory that the scheduler keeps for a pod; its limit if that is less, or if `None`.
    pub memory_request_bytes: Option<u64>,
    /// How long one call may take.
    pub deadline: Duration,
    /// How long a start is waited for. Nothing tells that an image is being pulled, so what takes longer counts as that.
    pub start_within: Duration,
    /// After so long a silence of a log the cluster is asked for it anew.
    pub idle: Duration,
}

/// How pods are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exposure {
    /// HTTP by a name for each port, `<pod>-<port>.<domain>`; everything else by ports of the nodes.
    Ingress {
        /// The class of the ingress.
        class: String,
        /// The secret with the certificate of `*.<domain>`; without one it is plain HTTP.
        tls_secret: Option<String>,
        /// The domain.
        domain: String,
        /// The namespace of the controller, the only one from which published ports may be reached; `None` for any.
        from_namespace: Option<String>,
    },
    /// By ports of the nodes.
    NodePort,
    /// By a load balancer of each pod's own.
    LoadBalancer,
}

impl Config {
    /// The usual cluster, its default namespace and storage class, ports of the nodes.
    pub fn new(installation: impl Into<String>) -> Self {
        Self {
            kubeconfig: None,
            installation: installation.into(),
            namespace: "default".to_owned(),
            storage_class: None,
            exposure: Exposure::NodePort,
            public_host: "localhost".to_owned(),
            gpus: Gpus::default(),
            pull_secrets: Vec::new(),
            cpu_request_milli: None,
            memory_request_bytes: None,
            deadline: Duration::from_secs(30),
            start_within: Duration::from_secs(5),
            idle: Duration::from_secs(30),
        }
    }
}
