//! Settings of the Kubernetes backend.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use neuropod::k8s::{self, Exposure, Gpus};

use super::{Backend, Config, bytes, cpu_milli};

/// A Kubernetes cluster that runs the containers.
#[derive(Debug, Clone, Args)]
pub struct Cluster {
    /// The kubeconfig; if not given the usual one, or the service account of the pod that this server runs in
    #[arg(long, env = "KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,

    /// Namespace of the cluster that pods run in
    #[arg(long, env = "NAMESPACE", default_value = "default")]
    pub namespace: String,

    /// Class of volumes; the cluster's default if not given
    #[arg(long, env = "STORAGE_CLASS", default_value = "")]
    pub storage_class: String,

    /// How pods are reached; by an ingress if there is a domain for it, else by ports of the nodes
    #[arg(long, env = "NEUROPOD_EXPOSURE", value_enum)]
    pub exposure: Option<Exposed>,

    /// Domain of pods on a cluster: `<pod>-<port>.<DOMAIN_SUFFIX>`
    #[arg(long, env = "DOMAIN_SUFFIX", default_value = "")]
    pub domain_suffix: String,

    /// Class of the ingress
    #[arg(long, env = "INGRESS_CLASS", default_value = "neuropod-nginx")]
    pub ingress_class: String,

    /// Secret with the certificate of `*.<DOMAIN_SUFFIX>`; if empty, pods are reached without TLS
    #[arg(long, env = "TLS_SECRET_NAME", default_value = "neuropod-tls")]
    pub tls_secret_name: String,

    /// Namespace of the ingress controller: network policies let nobody else to what pods publish by HTTP
    #[arg(long, env = "NEUROPOD_INGRESS_NAMESPACE", default_value = "")]
    pub ingress_namespace: String,

    /// Secrets of the namespace with the logins that pull the images of all pods, with commas between them
    #[arg(long, env = "NEUROPOD_PULL_SECRETS", default_value = "")]
    pub pull_secrets: String,

    /// Runtime class of pods with GPUs, where the nodes' default runtime does not know GPUs
    #[arg(long, env = "NEUROPOD_GPU_RUNTIME_CLASS", default_value = "")]
    pub gpu_runtime_class: String,

    /// Memory that a cluster keeps for one pod
    #[arg(long, env = "POD_MEMORY_REQUEST", default_value = "6Gi", value_parser = bytes)]
    pub pod_memory_request: u64,

    /// CPUs that a cluster keeps for one pod
    #[arg(long, env = "POD_CPU_REQUEST", default_value = "1", value_parser = cpu_milli)]
    pub pod_cpu_request: u32,
}

/// How pods are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Exposed {
    /// HTTP by a name for each port.
    Ingress,
    /// By ports of the nodes.
    Nodeport,
    /// By a load balancer of each pod's own.
    Loadbalancer,
}

impl Config {
    /// The namespace of pods, if a cluster runs them.
    pub(crate) fn namespace(&self) -> Option<&str> {
        (self.orchestrator == Backend::Kubernetes).then_some(&self.cluster.namespace)
    }

    /// How the cluster is reached and used by this installation.
    ///
    /// # Errors
    /// If an ingress is wanted and there is no domain for it.
    pub fn cluster(&self, installation: String) -> neuropod::Result<k8s::Config> {
        let cluster = &self.cluster;
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let domain = given(cluster.domain_suffix.trim_matches(['.', ' ']));
        let by_default = if domain.is_some() {
            Exposed::Ingress
        } else {
            Exposed::Nodeport
        };
        let exposure = match (cluster.exposure.unwrap_or(by_default), domain) {
            (Exposed::Nodeport, _) => Exposure::NodePort,
            (Exposed::Loadbalancer, _) => Exposure::LoadBalancer,
            (Exposed::Ingress, Some(domain)) => Exposure::Ingress {
                class: cluster.ingress_class.clone(),
                tls_secret: given(&cluster.tls_secret_name),
                domain,
                from_namespace: given(&cluster.ingress_namespace),
            },
            (Exposed::Ingress, None) => {
                return Err(neuropod::Error::invalid(
                    "",
                    "NEUROPOD_EXPOSURE=ingress needs DOMAIN_SUFFIX: the domain whose names lead to the ingress.",
                ));
            }
        };
        let secrets = cluster.pull_secrets.split(',').filter_map(given);
        Ok(k8s::Config {
            kubeconfig: cluster
                .kubeconfig
                .clone()
                .filter(|file| !file.as_os_str().is_empty()),
            namespace: cluster.namespace.clone(),
            storage_class: given(&cluster.storage_class),
            exposure,
            public_host: self.public_host.clone(),
            gpus: Gpus {
                runtime_class: given(&cluster.gpu_runtime_class),
                ..Gpus::default()
            },
            pull_secrets: secrets.collect(),
            cpu_request_milli: Some(cluster.pod_cpu_request),
            memory_request_bytes: Some(cluster.pod_memory_request),
            ..k8s::Config::new(installation)
        })
    }
}
