//! How pods are reached from outside: what is made for it, and what comes of it. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::Ingress;
use neuropod_core::id::PodId;
use neuropod_core::orchestrator::{PortMap, Workload};
use neuropod_core::pod::{Endpoint, Proto};
use serde_json::{Value, json};

use crate::config::{Config, Exposure};
use crate::labels::{self, NETWORK, POD};

/// Of a Pod: the ports that are published, `22/tcp,8888/http`.
pub(crate) const PORTS: &str = "neuropod.io/ports";

/// What a service has been given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reached {
    /// Ports of the nodes, by port of the container.
    node_ports: BTreeMap<u16, u16>,
    /// The address of its load balancer.
    address: Option<String>,
}

/// As the Pod's annotation has them.
pub(crate) fn written(ports: &[PortMap]) -> String {
    let ports = ports.iter().map(|port| match port.proto {
        Proto::Http => format!("{}/http", port.container),
        Proto::Tcp => format!("{}/tcp", port.container),
    });
    ports.collect::<Vec<_>>().join(",")
}

/// The ports that a Pod of ours publishes.
pub(crate) fn ports(pod: &Pod) -> Vec<(u16, Proto)> {
    let annotations = pod.metadata.annotations.as_ref();
    let written = annotations.and_then(|a| a.get(PORTS)).map(String::as_str);
    let ports = written.unwrap_or_default().split(',').filter_map(|port| {
        let (number, proto) = port.split_once('/')?;
        let proto = if proto == "http" {
            Proto::Http
        } else {
            Proto::Tcp
        };
        Some((number.parse().ok()?, proto))
    });
    ports.collect()
}

fn by_name(config: &Config, proto: Proto) -> bool {
    proto == Proto::Http && matches!(config.exposure, Exposure::Ingress { .. })
}

/// The service of a pod, if it publishes anything.
pub(crate) fn service(config: &Config, w: &Workload) -> Option<Service> {
    if w.ports.is_empty() {
        return None;
    }
    let kind = match config.exposure {
        Exposure::LoadBalancer => "LoadBalancer",
        Exposure::NodePort => "NodePort",
        // What is not HTTP has no names.
        Exposure::Ingress { .. } if w.ports.iter().any(|p| p.proto == Proto::Tcp) => "NodePort",
        Exposure::Ingress { .. } => "ClusterIP",
    };
    let ports = w.ports.iter().map(|port| {
        let mut value = json!({"name": format!("p{}", port.container), "port": port.container, "protocol": "TCP"});
        if let Some(host) = port.host.filter(|_| kind == "NodePort") {
            value["nodePort"] = host.into();
        }
        value
    });
    made(json!({
        "metadata": {"name": labels::name(w.run.pod), "labels": labels::of_pod(config, w.run.pod)},
        "spec": {
            "type": kind,
            "selector": {POD: w.run.pod.to_string()},
            "ports": ports.collect::<Vec<_>>(),
        },
    }))
}

fn host(pod: PodId, port: u16, domain: &str) -> String {
    format!("{pod}-{port}.{domain}")
}

/// The ingress of a pod, if it publishes HTTP and that goes by names.
pub(crate) fn ingress(config: &Config, w: &Workload) -> Option<Ingress> {
    let Exposure::Ingress {
        class,
        tls_secret,
        domain,
        ..
    } = &config.exposure
    else {
        return None;
    };
    let pod = w.run.pod;
    let http: Vec<u16> = w
        .ports
        .iter()
        .filter(|p| p.proto == Proto::Http)
        .map(|p| p.container)
        .collect();
    if http.is_empty() {
        return None;
    }
    let hosts: Vec<String> = http.iter().map(|&port| host(pod, port, domain)).collect();
    let rules = http.iter().zip(&hosts).map(|(port, host)| {
        let backend = json!({"service": {"name": labels::name(pod), "port": {"number": port}}});
        json!({"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}})
    });
    let mut spec = json!({"ingressClassName": class, "rules": rules.collect::<Vec<_>>()});
    if let Some(secret) = tls_secret {
        spec["tls"] = json!([{"hosts": hosts, "secretName": secret}]);
    }
    // Notebooks talk over WebSockets that may be silent for long.
    let annotations: BTreeMap<_, _> = [("read", "3600"), ("send", "3600")]
        .map(|(which, seconds)| {
            (
                format!("nginx.ingress.kubernetes.io/proxy-{which}-timeout"),
                seconds,
            )
        })
        .into();
    made(json!({
        "metadata": {"name": labels::name(pod), "labels": labels::of_pod(config, pod), "annotations": annotations},
        "spec": spec,
    }))
}

/// Keeps a pod's traffic to what its owner's other pods send, and to what it publishes.
pub(crate) fn policy(
    config: &Config,
    w: &Workload,
) -> Option<k8s_openapi::api::networking::v1::NetworkPolicy> {
    let network = labels::network(config, &w.tenant);
    let mut ingress = vec![json!({"from": [{"podSelector": {"matchLabels": {NETWORK: network}}}]})];
    if !w.ports.is_empty() {
        let ports: Vec<Value> = w
            .ports
            .iter()
            .map(|p| json!({"protocol": "TCP", "port": p.container}))
            .collect();
        let mut hole = json!({"ports": ports});
        let all_by_name = w.ports.iter().all(|port| by_name(config, port.proto));
        if let (
            true,
            Exposure::Ingress {
                from_namespace: Some(namespace),
                ..
            },
        ) = (all_by_name, &config.exposure)
        {
            let label = json!({"kubernetes.io/metadata.name": namespace});
            hole["from"] = json!([{"namespaceSelector": {"matchLabels": label}}]);
        }
        ingress.push(hole);
    }
    made(json!({
        "metadata": {"name": labels::name(w.run.pod), "labels": labels::of_pod(config, w.run.pod)},
        "spec": {
            "podSelector": {"matchLabels": {POD: w.run.pod.to_string()}},
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    }))
}

fn made<K: serde::de::DeserializeOwned>(value: Value) -> Option<K> {
    Some(serde_json::from_value(value).expect("an object of the API"))
}

/// What a service was given; `None` as long as something is missing.
pub(crate) fn reached(config: &Config, service: &Service) -> Option<Reached> {
    let spec = service.spec.as_ref()?;
    let ports = spec.ports.iter().flatten().filter_map(|port| {
        let node = u16::try_from(port.node_port?).ok()?;
        Some((u16::try_from(port.port).ok()?, node))
    });
    let balancer = service
        .status
        .as_ref()
        .and_then(|s| s.load_balancer.as_ref());
    let address = balancer.and_then(|b| b.ingress.as_ref()?.first().cloned());
    let address = address.and_then(|a| a.hostname.or(a.ip));
    if address.is_none() && config.exposure == Exposure::LoadBalancer {
        return None;
    }
    Some(Reached {
        node_ports: ports.collect(),
        address,
    })
}

/// Whether the endpoints of a Pod can be told without its service.
pub(crate) fn needs_service(config: &Config, pod: &Pod) -> bool {
    ports(pod).iter().any(|(_, proto)| !by_name(config, *proto))
}

/// The endpoints of a Pod, not yet asked whether they answer. What is not known yet is left out.
pub(crate) fn endpoints(
    config: &Config,
    id: PodId,
    pod: &Pod,
    reached: Option<&Reached>,
) -> Vec<Endpoint> {
    let endpoint = |(container, proto): (u16, Proto)| {
        let (host, port, tls) = match &config.exposure {
            Exposure::Ingress {
                domain, tls_secret, ..
            } if proto == Proto::Http => {
                let tls = tls_secret.is_some();
                (host(id, container, domain), if tls { 443 } else { 80 }, tls)
            }
            Exposure::LoadBalancer => (reached?.address.clone()?, container, false),
            _ => (
                config.public_host.clone(),
                *reached?.node_ports.get(&container)?,
                false,
            ),
        };
        Some(Endpoint {
            container,
            proto,
            host,
            port,
            tls,
            ready: false,
            failed: None,
        })
    };
    let mut all: Vec<Endpoint> = ports(pod).into_iter().filter_map(endpoint).collect();
    all.sort_by_key(|e| e.container);
    all
}
