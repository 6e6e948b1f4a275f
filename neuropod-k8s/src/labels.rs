//! What everything of ours is called and carries. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use neuropod_core::id::{PodId, RunId, Tenant};
use ring::digest::{SHA256, digest};

use crate::config::Config;

pub(crate) const INSTANCE: &str = "neuropod.io/instance";
pub(crate) const POD: &str = "neuropod.io/pod-id";
const RUN: &str = "neuropod.io/run";
pub(crate) const KEY: &str = "neuropod.io/run-key";
const GENERATION: &str = "neuropod.io/generation";
pub(crate) const HASH: &str = "neuropod.io/spec-hash";
/// What those have in common that may talk to each other.
pub(crate) const NETWORK: &str = "neuropod.io/network";
/// Of a claim: the key of the run that made it.
pub(crate) const MADE_BY: &str = "neuropod.io/made-by";
/// Keeps an ended Pod until its end is recorded.
pub(crate) const EVIDENCE: &str = "neuropod.io/evidence";
/// Keeps a Pod from being scheduled until its fence was asked.
pub(crate) const FENCE: &str = "neuropod.io/fence";

pub(crate) type Labels = BTreeMap<String, String>;

/// The claim, service, ingress and policy of a pod.
pub(crate) fn name(pod: PodId) -> String {
    format!("np-{pod}")
}

/// The names that a run's Pod may have: the second where somebody else has the first.
pub(crate) fn names(run: RunId) -> [String; 2] {
    let name = format!("np-{}-{}", run.pod, run.n);
    let other = format!("{name}-{}", &run.key.to_string()[..4]);
    [name, other]
}

/// What a tenant's pods have in common.
pub(crate) fn network(config: &Config, tenant: &Tenant) -> String {
    let text = format!("{}/{tenant}", config.installation);
    let hash = digest(&SHA256, text.as_bytes());
    hash.as_ref()[..6]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// What everything of a pod carries.
pub(crate) fn of_pod(config: &Config, pod: PodId) -> Labels {
    [
        ("app.kubernetes.io/managed-by", "neuropod".to_owned()),
        (INSTANCE, config.installation.clone()),
        (POD, pod.to_string()),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into()
}

/// What a run's Pod carries beside.
pub(crate) fn of_run(run: RunId, generation: u64, spec_hash: &str) -> Labels {
    [
        (RUN, run.n.to_string()),
        (KEY, run.key.to_string()),
        (GENERATION, generation.to_string()),
        (HASH, spec_hash.to_owned()),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into()
}

/// A label of an object.
pub(crate) fn label<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(name).map(String::as_str)
}

/// Whether an object is this installation's.
pub(crate) fn ours(config: &Config, meta: &ObjectMeta) -> bool {
    label(meta, INSTANCE) == Some(&config.installation)
}

/// Of which pod an object of ours is.
pub(crate) fn pod_of(meta: &ObjectMeta) -> Option<PodId> {
    label(meta, POD)?.parse().ok()
}

/// Of which run a Pod is, and of which generation.
pub(crate) fn run_of(meta: &ObjectMeta) -> Option<(RunId, u64)> {
    let run = RunId {
        pod: pod_of(meta)?,
        n: label(meta, RUN)?.parse().ok()?,
        key: label(meta, KEY)?.parse().ok()?,
    };
    Some((run, label(meta, GENERATION)?.parse().ok()?))
}

/// Selects what is this installation's, or one pod's of it.
pub(crate) fn selector(config: &Config, pod: Option<PodId>) -> String {
    let ours = format!("{INSTANCE}={}", config.installation);
    match pod {
        Some(pod) => format!("{ours},{POD}={pod}"),
        None => ours,
    }
}
