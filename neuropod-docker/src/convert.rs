//! Between NeuroPod's words and the Engine API's. Pure.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum, DeviceRequest,
    HostConfig, HostConfigLogConfig, Mount, MountType, MountVolumeOptions, PortBinding,
    RestartPolicy, RestartPolicyNameEnum,
};
use neuropod_core::ErrorKind;
use neuropod_core::id::{PodId, RunId};
use neuropod_core::orchestrator::{ExitCause, Instance, State, Workload};
use neuropod_core::pod::{Endpoint, Proto};
use neuropod_core::time::Time;

use crate::error::start_cause;
use crate::orchestrator::Config;

pub(crate) const INSTANCE: &str = "neuropod.io/instance";
pub(crate) const POD: &str = "neuropod.io/pod-id";
const RUN: &str = "neuropod.io/run";
const KEY: &str = "neuropod.io/run-key";
const GENERATION: &str = "neuropod.io/generation";
pub(crate) const HASH: &str = "neuropod.io/spec-hash";
const PROTO: &str = "neuropod.io/proto-";
/// What a program that is root in its container may do there.
const CAPABILITIES: [&str; 8] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "SETGID",
    "SETUID",
    "KILL",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
];

pub(crate) type Labels = HashMap<String, String>;

pub(crate) fn volume_name(pod: PodId) -> String {
    format!("np-{pod}")
}

pub(crate) fn pod_labels(config: &Config, pod: PodId) -> Labels {
    let managed = ("app.kubernetes.io/managed-by", "neuropod".to_owned());
    let labels = [
        managed,
        (INSTANCE, config.installation.clone()),
        (POD, pod.to_string()),
    ];
    labels.map(|(k, v)| (k.to_owned(), v)).into()
}

pub(crate) fn run_of(labels: &Labels) -> Option<RunId> {
    Some(RunId {
        pod: labels.get(POD)?.parse().ok()?,
        n: labels.get(RUN)?.parse().ok()?,
        key: labels.get(KEY)?.parse().ok()?,
    })
}

pub(crate) fn create_body(config: &Config, w: &Workload) -> ContainerCreateBody {
    let mut labels = pod_labels(config, w.run.pod);
    labels.insert(RUN.into(), w.run.n.to_string());
    labels.insert(KEY.into(), w.run.key.to_string());
    labels.insert(GENERATION.into(), w.generation.to_string());
    labels.insert(HASH.into(), w.spec_hash.clone());
    let mut env: Vec<_> = w.env.0.iter().map(|(k, v)| format!("{k}={v}")).collect();
    if w.devices.is_empty() {
        env.push("NVIDIA_VISIBLE_DEVICES=void".into());
    }
    let mut bindings = HashMap::new();
    for port in &w.ports {
        let proto = if port.proto == Proto::Http {
            "http"
        } else {
            "tcp"
        };
        labels.insert(format!("{PROTO}{}", port.container), proto.into());
        if let Some(host) = port.host {
            let binding = PortBinding {
                host_ip: Some(config.bind.clone()),
                host_port: Some(host.to_string()),
            };
            bindings.insert(format!("{}/tcp", port.container), Some(vec![binding]));
        }
    }
    let mounts = w.volume.iter().map(|v| Mount {
        target: Some(v.path.clone()),
        source: Some(volume_name(w.run.pod)),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            labels: Some(pod_labels(config, w.run.pod)),
            ..Default::default()
        }),
        ..Default::default()
    });
    let memory = i64::try_from(w.resources.memory_bytes).unwrap_or(i64::MAX);
    let rotation = [("max-size", "10m"), ("max-file", "3")];
    let host_config = HostConfig {
        memory: Some(memory),
        memory_swap: Some(memory),
        nano_cpus: Some(i64::from(w.resources.cpu_milli) * 1_000_000),
        pids_limit: Some(w.resources.pids.into()),
        cap_drop: Some(vec!["ALL".into()]),
        cap_add: Some(CAPABILITIES.map(str::to_owned).into()),
        security_opt: Some(vec!["no-new-privileges".into()]),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".into()),
            config: Some(rotation.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
        }),
        device_requests: (!w.devices.is_empty()).then(|| {
            vec![DeviceRequest {
                driver: Some("nvidia".into()),
                device_ids: Some(w.devices.iter().map(ToString::to_string).collect()),
                capabilities: Some(vec![vec!["gpu".into()]]),
                ..Default::default()
            }]
        }),
        ..Default::default()
    };
    ContainerCreateBody {
        image: Some(w.image.clone()),
        cmd: (!w.args.is_empty()).then(|| w.args.clone()),
        env: Some(env),
        labels: Some(labels),
        exposed_ports: Some(bindings.keys().cloned().collect()),
        host_config: Some(HostConfig {
            port_bindings: Some(bindings),
            mounts: Some(mounts.collect()),
            ..host_config
        }),
        ..Default::default()
    }
}

/// A time of the engine; its zero is year 1.
fn time(text: Option<&String>) -> Option<Time> {
    text.filter(|t| !t.starts_with("0001"))?.parse().ok()
}

/// The container's address and the ports that are published, not yet asked whether they answer.
pub(crate) fn endpoints(
    config: &Config,
    seen: &ContainerInspectResponse,
) -> (Option<String>, Vec<Endpoint>) {
    let network = seen.network_settings.as_ref();
    let networks = network.and_then(|n| n.networks.as_ref());
    let address = networks
        .and_then(|n| n.values().find_map(|e| e.ip_address.clone()))
        .filter(|a| !a.is_empty());
    let labels = seen.config.as_ref().and_then(|c| c.labels.as_ref());
    let published = seen
        .host_config
        .as_ref()
        .and_then(|h| h.port_bindings.as_ref());
    let mut found: Vec<_> = published
        .into_iter()
        .flatten()
        .filter_map(|(port, bound)| {
            let container = port.split('/').next()?.parse().ok()?;
            let host = bound.as_ref()?.first()?.host_port.as_ref()?.parse().ok()?;
            let http = labels?.get(&format!("{PROTO}{container}"))? == "http";
            Some(Endpoint {
                container,
                proto: if http { Proto::Http } else { Proto::Tcp },
                host: config.public_host.clone(),
                port: host,
                tls: false,
                ready: false,
            })
        })
        .collect();
    found.sort_by_key(|e| e.container);
    (address, found)
}

/// What a container of ours does.
pub(crate) fn instance(config: &Config, seen: &ContainerInspectResponse) -> Option<Instance> {
    use ContainerStateStatusEnum as Status;
    let labels = seen.config.as_ref()?.labels.as_ref()?;
    let state = seen.state.as_ref()?;
    let started_at = time(state.started_at.as_ref());
    let error = state.error.as_deref().unwrap_or_default();
    let never = |cause| State::Exited {
        started_at: None,
        finished_at: None,
        code: state.exit_code,
        cause,
    };
    let state = match (state.status?, started_at) {
        (Status::RUNNING | Status::PAUSED | Status::RESTARTING, Some(started_at)) => {
            let (_, endpoints) = endpoints(config, seen);
            State::Running {
                started_at,
                endpoints,
            }
        }
        (_, None) if error.is_empty() => State::Pending {
            reason: String::new(),
        },
        (_, None) => never(match start_cause(error) {
            ErrorKind::Retry(cause) => ExitCause::Retry(cause),
            ErrorKind::Refused(refusal) => ExitCause::Refused(refusal),
            _ => ExitCause::Ended,
        }),
        (_, Some(_)) => {
            // 255 is the engine's word for "it was gone when I came back": nobody observed the end.
            let unobserved = state.exit_code == Some(255);
            let finished_at = time(state.finished_at.as_ref()).filter(|_| !unobserved);
            State::Exited {
                started_at,
                finished_at,
                code: state.exit_code,
                cause: match (state.oom_killed, unobserved) {
                    (Some(true), _) => ExitCause::OutOfMemory,
                    (_, true) => ExitCause::EngineRestart,
                    _ => ExitCause::Ended,
                },
            }
        }
    };
    Some(Instance {
        run: run_of(labels)?,
        generation: labels.get(GENERATION)?.parse().ok()?,
        state,
    })
}
