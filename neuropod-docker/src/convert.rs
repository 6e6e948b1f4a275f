//! Between NeuroPod's words and the Engine API's. Pure.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum, DeviceRequest,
    HostConfig, HostConfigLogConfig, Mount, MountType, MountVolumeOptions, PortBinding,
    RestartPolicy, RestartPolicyNameEnum, Volume,
};
use neuropod_core::ErrorKind;
use neuropod_core::id::{DeviceId, PodId, RunId};
use neuropod_core::orchestrator::{ExitCause, Instance, State, Workload};
use neuropod_core::pod::{Endpoint, Proto, Reason};
use neuropod_core::time::Time;

use crate::config::Config;
use crate::engine::VolumeThere;
use crate::error::{network_is_missing, shell_is_missing, start_cause};
use crate::jupyter::Beside;
use crate::network;

pub(crate) const INSTANCE: &str = "neuropod.io/instance";
pub(crate) const POD: &str = "neuropod.io/pod-id";
const RUN: &str = "neuropod.io/run";
pub(crate) const KEY: &str = "neuropod.io/run-key";
const GENERATION: &str = "neuropod.io/generation";
pub(crate) const HASH: &str = "neuropod.io/spec-hash";
/// Of a container or volume: the network of its tenant.
pub(crate) const NETWORK: &str = "neuropod.io/network";
/// Of a container: the port of the Jupyter that was asked for.
const JUPYTER: &str = "neuropod.io/jupyter";
/// Of a container: it can have no Jupyter.
const NO_SHELL: &str = "neuropod.io/no-shell";
const PROTO: &str = "neuropod.io/proto-";
/// Of a volume: the key of the run that made it.
const MADE_BY: &str = "neuropod.io/made-by";
/// The engine's word for "it was gone when I came back", and a program's own code as well.
const GONE: i64 = 255;
/// An engine that starts looks at its containers first and makes its network after that, within this time.
const STARTING: Duration = Duration::from_secs(120);
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

pub(crate) fn pod_of_volume(name: &str) -> Option<PodId> {
    name.strip_prefix("np-")?.parse().ok()
}

/// The names that a run's container may have: the second where somebody else has the first.
pub(crate) fn names(run: RunId) -> [String; 2] {
    let name = format!("np-{}-{}", run.pod, run.n);
    let other = format!("{name}-{}", &run.key.to_string()[..4]);
    [name, other]
}

/// Whose a volume is, and its identity: the key of the run that made it. When it was made is no part of it, since
/// Docker 20.10 tells instead when its root folder was changed last.
pub(crate) fn volume(config: &Config, volume: &Volume) -> VolumeThere {
    if volume.labels.get(INSTANCE) != Some(&config.installation) {
        return VolumeThere::Foreign;
    }
    VolumeThere::Ours(volume.labels.get(MADE_BY).cloned().unwrap_or_default())
}

/// The name of the network of the tenant whose these labels are.
pub(crate) fn network(labels: &Labels) -> Option<String> {
    labels.get(NETWORK).cloned()
}

/// What everything of a pod carries.
pub(crate) fn pod_labels(config: &Config, pod: PodId) -> Labels {
    let managed = ("app.kubernetes.io/managed-by", "neuropod".to_owned());
    let labels = [
        managed,
        (INSTANCE, config.installation.clone()),
        (POD, pod.to_string()),
    ];
    labels.map(|(k, v)| (k.to_owned(), v)).into()
}

/// Whether a container has its pod's volume.
pub(crate) fn mounts(seen: &ContainerInspectResponse, pod: PodId) -> bool {
    let name = volume_name(pod);
    let mounts = seen.mounts.iter().flatten();
    mounts.into_iter().any(|m| m.name.as_ref() == Some(&name))
}

/// The devices that a container was given.
pub(crate) fn devices(seen: &ContainerInspectResponse) -> Vec<DeviceId> {
    let host = seen.host_config.as_ref();
    let requests = host.and_then(|h| h.device_requests.as_ref());
    let ids = requests.into_iter().flatten().flat_map(|r| &r.device_ids);
    ids.flatten()
        .map(|id| DeviceId::from(id.as_str()))
        .collect()
}

fn run_of(labels: &Labels) -> Option<RunId> {
    Some(RunId {
        pod: labels.get(POD)?.parse().ok()?,
        n: labels.get(RUN)?.parse().ok()?,
        key: labels.get(KEY)?.parse().ok()?,
    })
}

/// What a container's program is.
#[derive(Debug)]
pub(crate) enum Program {
    /// What the workload and its image say.
    Own,
    /// That, with Jupyter beside it.
    Beside(Beside),
    /// What they say, since the image has no shell that could start Jupyter.
    Alone,
}

/// `limited` asks for a limit of the container's disk, which not every storage driver takes.
pub(crate) fn create_body(
    config: &Config,
    w: &Workload,
    program: &Program,
    limited: bool,
) -> ContainerCreateBody {
    let network = network::name(&config.installation, &w.tenant);
    let mut labels = pod_labels(config, w.run.pod);
    labels.insert(NETWORK.into(), network.clone());
    let mut volume_labels = labels.clone();
    volume_labels.insert(MADE_BY.into(), w.run.key.to_string());
    labels.insert(RUN.into(), w.run.n.to_string());
    labels.insert(KEY.into(), w.run.key.to_string());
    labels.insert(GENERATION.into(), w.generation.to_string());
    labels.insert(HASH.into(), w.spec_hash.clone());
    if let Some(jupyter) = &w.jupyter {
        labels.insert(JUPYTER.into(), jupyter.port.to_string());
    }
    let own = (!w.args.is_empty()).then(|| w.args.clone());
    let (entrypoint, cmd, terminal) = match program {
        Program::Own => (None, own, false),
        Program::Beside(beside) => (Some(beside.command.clone()), None, beside.terminal),
        Program::Alone => {
            labels.insert(NO_SHELL.into(), "true".into());
            (None, own, false)
        }
    };
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
            labels: Some(volume_labels.clone()),
            ..Default::default()
        }),
        ..Default::default()
    });
    let memory = i64::try_from(w.resources.memory_bytes).unwrap_or(i64::MAX);
    let rotation = [("max-size", "10m"), ("max-file", "3")];
    let host_config = HostConfig {
        network_mode: Some(network),
        memory: Some(memory),
        memory_swap: Some(memory),
        nano_cpus: Some(i64::from(w.resources.cpu_milli) * 1_000_000),
        storage_opt: limited.then(|| [("size".into(), w.disk_bytes.to_string())].into()),
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
        entrypoint,
        cmd,
        tty: Some(terminal),
        open_stdin: Some(terminal),
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
pub(crate) fn time(text: Option<&String>) -> Option<Time> {
    text.filter(|t| !t.starts_with("0001"))?.parse().ok()
}

/// The container's own address.
pub(crate) fn address(seen: &ContainerInspectResponse) -> Option<String> {
    let networks = seen.network_settings.as_ref()?.networks.as_ref()?;
    let mut addresses = networks.values().filter_map(|n| n.ip_address.clone());
    addresses.find(|address| !address.is_empty())
}

/// The port of a container's Jupyter, if it was asked for.
pub(crate) fn jupyter_port(seen: &ContainerInspectResponse) -> Option<u16> {
    let labels = seen.config.as_ref()?.labels.as_ref()?;
    labels.get(JUPYTER)?.parse().ok()
}

/// The ports that are published, not yet asked whether they answer.
fn endpoints(config: &Config, seen: &ContainerInspectResponse) -> Vec<Endpoint> {
    let labels = seen.config.as_ref().and_then(|c| c.labels.as_ref());
    let published = seen
        .host_config
        .as_ref()
        .and_then(|h| h.port_bindings.as_ref());
    let jupyter = jupyter_port(seen);
    let no_shell = labels.is_some_and(|labels| labels.contains_key(NO_SHELL));
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
                failed: (no_shell && jupyter == Some(container))
                    .then_some(Reason::JupyterUnavailable),
            })
        })
        .collect();
    found.sort_by_key(|e| e.container);
    found
}

/// Whether it takes the engine's own start to know whether anything observed its end.
pub(crate) fn may_be_unobserved(seen: &ContainerInspectResponse) -> bool {
    seen.state.as_ref().and_then(|s| s.exit_code) == Some(GONE)
}

/// Whether nothing alive observed an end with this code at this time. Where it can't be known it was not.
fn unobserved(code: Option<i64>, finished_at: Option<Time>, engine_started: Option<Time>) -> bool {
    let before = |finished: Time| engine_started.is_some_and(|at| finished + STARTING < at);
    code == Some(GONE) && !finished_at.is_some_and(before)
}

/// What a container of ours does.
pub(crate) fn instance(
    config: &Config,
    seen: &ContainerInspectResponse,
    engine_started: Option<Time>,
) -> Option<Instance> {
    use ContainerStateStatusEnum as Status;
    let labels = seen.config.as_ref()?.labels.as_ref()?;
    if labels.get(INSTANCE) != Some(&config.installation) {
        return None;
    }
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
            State::Running {
                started_at,
                endpoints: endpoints(config, seen),
            }
        }
        // The network, or a container that needs no shell, is made anew before the next start.
        (_, None)
            if error.is_empty()
                || network_is_missing(error)
                || (jupyter_port(seen).is_some() && shell_is_missing(error)) =>
        {
            State::Pending {
                reason: String::new(),
            }
        }
        (_, None) => never(match start_cause(error) {
            ErrorKind::Retry(cause) => ExitCause::Retry(cause),
            ErrorKind::Refused(refusal) => ExitCause::Refused(refusal),
            _ => ExitCause::Ended,
        }),
        (_, Some(started_at)) => {
            let finished_at = time(state.finished_at.as_ref());
            let unobserved = unobserved(state.exit_code, finished_at, engine_started);
            // The engine notes a start only after it; a program may have ended before.
            let finished_at = finished_at.filter(|_| !unobserved);
            let finished_at = finished_at.map(|at| at.max(started_at));
            State::Exited {
                started_at: Some(started_at),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_with_255_was_observed_only_long_before_the_engine_started() {
        let at = |seconds: u64| Some(Time::EPOCH + Duration::from_secs(seconds));
        assert!(!unobserved(Some(255), at(1000), at(2000)));
        assert!(unobserved(Some(255), at(1990), at(2000)), "by its restart");
        assert!(unobserved(Some(255), at(3000), at(2000)));
        assert!(unobserved(Some(255), at(1000), None));
        assert!(unobserved(Some(255), None, at(2000)));
        assert!(!unobserved(Some(137), at(3000), at(2000)));
    }

    #[test]
    fn the_pod_of_a_volume_is_in_its_name() {
        let pod = PodId::from_bytes([7; 8]);
        assert_eq!(pod_of_volume(&volume_name(pod)), Some(pod));
        assert_eq!(pod_of_volume("np-somebody's"), None);
        assert_eq!(pod_of_volume("data"), None);
    }
}
