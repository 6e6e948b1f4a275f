//! From the row of a pod and its open run to what the backend is asked to run. Pure.

use std::collections::BTreeMap;

use ring::digest::{SHA256, digest};

use crate::jupyter;
use crate::orchestrator::{DeviceRequest, Jupyter, PortMap, VolumeMount, Workload};
use crate::pod::{Env, Pod, Run};
use crate::wish::GRACE;

const GB: u64 = 1_000_000_000;

/// What `run` of `pod` is to be. `products` are those that stand for its GPU.
pub(crate) fn workload(pod: &Pod, run: &Run, products: Vec<String>) -> Workload {
    let spec = &pod.spec;
    let mut env = spec.env.0.clone();
    env.extend(platform_env(pod, run));
    let volume = VolumeMount {
        path: spec.volume_path.clone(),
        size_bytes: u64::from(spec.volume_disk_gb) * GB,
        id: pod
            .volume
            .as_ref()
            .and_then(|v| v.id.clone())
            .filter(|_| !pod.accept_volume_loss),
    };
    let host = |container| {
        pod.ports
            .iter()
            .find(|p| p.container == container)
            .map(|p| p.host)
    };
    Workload {
        run: pod.run_id(run),
        generation: run.generation,
        tenant: pod.tenant.clone(),
        spec_hash: spec_hash(pod),
        image: spec.image.clone(),
        args: spec.args.clone(),
        env: Env(env),
        ports: spec
            .ports
            .iter()
            .map(|p| PortMap {
                container: p.container,
                host: host(p.container),
                proto: p.proto,
            })
            .collect(),
        volume: (spec.volume_disk_gb > 0).then_some(volume),
        devices: pod.devices.clone(),
        device_request: (spec.devices > 0).then_some(DeviceRequest {
            count: spec.devices,
            products,
        }),
        resources: spec.resources,
        disk_bytes: u64::from(spec.container_disk_gb) * GB,
        jupyter: run.jupyter_token.clone().map(|token| Jupyter {
            port: jupyter::PORT,
            token,
        }),
        grace: GRACE,
    }
}

/// What the platform tells the container. The names are the original's, and our own `NEUROPOD_POD_*`.
fn platform_env(pod: &Pod, run: &Run) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([
        ("NEUROPOD_POD_ID".to_owned(), pod.id.to_string()),
        ("NEUROPOD_POD_NAME".to_owned(), pod.spec.name.clone()),
        ("NEUROPOD_USER".to_owned(), pod.owner.to_string()),
        (
            "NEUROPOD_WORKSPACE".to_owned(),
            pod.spec.volume_path.clone(),
        ),
        ("NEUROPOD_GPU".to_owned(), pod.spec.gpu.to_string()),
        (
            "NEUROPOD_GPU_COUNT".to_owned(),
            pod.spec.devices.to_string(),
        ),
        ("COMFYUI_LISTEN".to_owned(), "0.0.0.0".to_owned()),
        ("COMFYUI_PORT".to_owned(), "8188".to_owned()),
    ]);
    if let Some(token) = &run.jupyter_token {
        env.insert("JUPYTER_ENABLE_LAB".to_owned(), "yes".to_owned());
        env.insert("JUPYTER_TOKEN".to_owned(), token.reveal().to_owned());
    }
    env
}

/// Hash of what does not change between the runs of a pod, 16 hexadecimal digits: a container of our name with
/// another hash is not ours.
fn spec_hash(pod: &Pod) -> String {
    let json = serde_json::to_vec(&(pod.id, &pod.spec)).expect("a specification is plain data");
    digest(&SHA256, &json).as_ref()[..8]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}
