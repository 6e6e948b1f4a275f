//! What a run's Pod and a pod's claim are to be. Pure.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use neuropod_core::orchestrator::{VolumeMount, Workload};
use serde_json::{Value, json};

use crate::config::Config;
use crate::expose;
use crate::labels::{self, EVIDENCE, FENCE, MADE_BY, NETWORK};

/// The only container's name.
pub(crate) const CONTAINER: &str = "main";
/// Of a Pod that can't start: why, as [`crate::observe`] reads it.
pub(crate) const REFUSED: &str = "neuropod.io/refused";

/// What a program that is root in its container may do there, as on Docker.
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

/// The Pod of a run, kept from being scheduled until its fence was asked.
pub(crate) fn pod(config: &Config, w: &Workload, name: &str) -> Pod {
    let mut all = labels::of_pod(config, w.run.pod);
    all.extend(labels::of_run(w.run, w.generation, &w.spec_hash));
    all.insert(NETWORK.to_owned(), labels::network(config, &w.tenant));
    let mut env: Vec<Value> = w
        .env
        .0
        .iter()
        .map(|(k, v)| json!({"name": k, "value": escaped(v)}))
        .collect();
    let wanted = w
        .device_request
        .as_ref()
        .map(|request| config.gpus.wanted(request));
    if wanted.is_none() {
        // Where NVIDIA's runtime is the default one it would give every GPU of the node.
        env.push(json!({"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}));
    }
    let cpu = config
        .cpu_request_milli
        .unwrap_or(u32::MAX)
        .min(w.resources.cpu_milli);
    let memory = config
        .memory_request_bytes
        .unwrap_or(u64::MAX)
        .min(w.resources.memory_bytes);
    let mut limits = json!({
        "cpu": format!("{}m", w.resources.cpu_milli),
        "memory": w.resources.memory_bytes.to_string(),
        "ephemeral-storage": w.disk_bytes.to_string(),
    });
    // Disk is a limit only: kept for pods that never use it, it would leave no room for others.
    let mut requests =
        json!({"cpu": format!("{cpu}m"), "memory": memory.to_string(), "ephemeral-storage": "0"});
    if let Some(wanted) = &wanted {
        limits[&wanted.resource] = wanted.count.to_string().into();
        requests[&wanted.resource] = wanted.count.to_string().into();
    }
    let ports: Vec<Value> = w
        .ports
        .iter()
        .map(|p| json!({"containerPort": p.container, "protocol": "TCP"}))
        .collect();
    let mut container = json!({
        "name": CONTAINER,
        "image": w.image,
        "imagePullPolicy": "IfNotPresent",
        "env": env,
        "ports": ports,
        "resources": {"limits": limits, "requests": requests},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "privileged": false,
            "capabilities": {"drop": ["ALL"], "add": CAPABILITIES},
        },
    });
    if !w.args.is_empty() {
        container["args"] = w
            .args
            .iter()
            .map(|arg| escaped(arg))
            .collect::<Vec<_>>()
            .into();
    }
    let mut spec = json!({
        "schedulingGates": [{"name": FENCE}],
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": whole_seconds(w.grace),
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
    });
    if let Some(volume) = &w.volume {
        container["volumeMounts"] = json!([{"name": "volume", "mountPath": volume.path}]);
        let claim = json!({"claimName": labels::name(w.run.pod)});
        spec["volumes"] = json!([{"name": "volume", "persistentVolumeClaim": claim}]);
    }
    if !config.pull_secrets.is_empty() {
        spec["imagePullSecrets"] = config
            .pull_secrets
            .iter()
            .map(|name| json!({"name": name}))
            .collect();
    }
    if let Some(wanted) = wanted {
        let taint = wanted.resource.clone();
        let mut tolerations = vec![json!({"key": taint, "operator": "Exists"})];
        if taint != config.gpus.resource {
            tolerations.push(json!({"key": config.gpus.resource, "operator": "Exists"}));
        }
        spec["tolerations"] = tolerations.into();
        if let Some((label, values)) = wanted.on {
            let term =
                json!({"matchExpressions": [{"key": label, "operator": "In", "values": values}]});
            let required = json!({"nodeSelectorTerms": [term]});
            spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}});
        }
        if let Some(class) = &config.gpus.runtime_class {
            spec["runtimeClassName"] = class.clone().into();
        }
    }
    spec["containers"] = json!([container]);
    let mut annotations = json!({});
    if !w.ports.is_empty() {
        annotations[expose::PORTS] = expose::written(&w.ports).into();
    }
    let value = json!({
        "metadata": {"name": name, "labels": all, "annotations": annotations, "finalizers": [EVIDENCE]},
        "spec": spec,
    });
    serde_json::from_value(value).expect("a Pod of the API")
}

/// The claim of a pod's volume, made by that run.
pub(crate) fn claim(config: &Config, w: &Workload, volume: &VolumeMount) -> PersistentVolumeClaim {
    let mut all = labels::of_pod(config, w.run.pod);
    all.insert(MADE_BY.to_owned(), w.run.key.to_string());
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": volume.size_bytes.to_string()}},
    });
    if let Some(class) = &config.storage_class {
        spec["storageClassName"] = class.clone().into();
    }
    let value = json!({"metadata": {"name": labels::name(w.run.pod), "labels": all}, "spec": spec});
    serde_json::from_value(value).expect("a claim of the API")
}

/// A cluster puts variables for `$(NAME)` into arguments and values; `$$` is one dollar.
fn escaped(text: &str) -> String {
    text.replace('$', "$$")
}

/// Less than a second is some grace and not none.
pub(crate) fn whole_seconds(grace: std::time::Duration) -> u64 {
    grace.as_secs() + u64::from(grace.subsec_nanos() > 0)
}
