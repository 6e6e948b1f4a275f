//! What a Pod of ours does, as the cluster tells it. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use neuropod_core::orchestrator::{ExitCause, State};
use neuropod_core::pod::Endpoint;
use neuropod_core::{Refusal, RetryCause};

use crate::error::image_refusal;
use crate::manifest::REFUSED;
use crate::time::told;

/// Of a Pod whose node port somebody else has.
pub(crate) const PORT_TAKEN: &str = "port-taken";
/// Of a Pod that asks for devices by UUID, which a cluster does not know.
pub(crate) const NO_DEVICE: &str = "no-device";

/// Whether it waits behind its fence.
pub(crate) fn is_gated(pod: &Pod) -> bool {
    let gates = pod.spec.as_ref().and_then(|s| s.scheduling_gates.as_ref());
    gates.is_some_and(|gates| !gates.is_empty())
}

/// Whether somebody has asked for its deletion.
pub(crate) fn is_leaving(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether a node was found for it.
pub(crate) fn is_placed(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|s| s.node_name.is_some())
}

fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

/// What it does; `endpoints` are told if it runs.
pub(crate) fn state(pod: &Pod, endpoints: impl FnOnce() -> Vec<Endpoint>) -> State {
    let container = container(pod).and_then(|c| c.state.as_ref());
    if let Some(ended) = container.and_then(|c| c.terminated.as_ref()) {
        let started_at = ended.started_at.as_ref().and_then(|t| told(t.0));
        let Some(started_at) = started_at else {
            return never(
                Some(ended.exit_code.into()),
                never_started(pod, ended.reason.as_deref()),
            );
        };
        let finished_at = ended.finished_at.as_ref().and_then(|t| told(t.0));
        let unobserved = ended.reason.as_deref() == Some("ContainerStatusUnknown");
        return State::Exited {
            started_at: Some(started_at),
            finished_at: finished_at
                .filter(|_| !unobserved)
                .map(|at| at.max(started_at)),
            code: Some(ended.exit_code.into()),
            cause: match ended.reason.as_deref() {
                Some("OOMKilled") => ExitCause::OutOfMemory,
                _ if unobserved => ExitCause::NodeLost,
                _ => ExitCause::Ended,
            },
        };
    }
    let over = matches!(phase(pod), Some("Failed" | "Succeeded"));
    let running = container.and_then(|c| c.running.as_ref());
    if let Some(started_at) = running
        .and_then(|r| r.started_at.as_ref())
        .and_then(|t| told(t.0))
    {
        // Its node is gone, and nobody has seen the end.
        if over {
            return State::Exited {
                started_at: Some(started_at),
                finished_at: None,
                code: None,
                cause: ExitCause::NodeLost,
            };
        }
        return State::Running {
            started_at,
            endpoints: endpoints(),
        };
    }
    if over || is_leaving(pod) || refused(pod).is_some() {
        return never(None, never_started(pod, None));
    }
    State::Pending {
        reason: waiting(pod).unwrap_or_default(),
    }
}

fn never(code: Option<i64>, cause: ExitCause) -> State {
    State::Exited {
        started_at: None,
        finished_at: None,
        code,
        cause,
    }
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn refused(pod: &Pod) -> Option<&str> {
    pod.metadata
        .annotations
        .as_ref()?
        .get(REFUSED)
        .map(String::as_str)
}

/// Why what never started never will: `ended` is what its container says.
fn never_started(pod: &Pod, ended: Option<&str>) -> ExitCause {
    match refused(pod) {
        Some(PORT_TAKEN) => return ExitCause::Retry(RetryCause::PortTaken),
        Some(_) => return ExitCause::Retry(RetryCause::GpuAdmission),
        None => {}
    }
    let reason = pod
        .status
        .as_ref()
        .and_then(|s| s.reason.as_deref())
        .unwrap_or_default();
    match (reason, ended) {
        // Ended by us.
        ("DeadlineExceeded", _) => ExitCause::Ended,
        ("UnexpectedAdmissionError", _) => ExitCause::Retry(RetryCause::GpuAdmission),
        (reason, _) if reason.starts_with("OutOf") && reason.contains('/') => {
            ExitCause::Retry(RetryCause::GpuAdmission)
        }
        (_, Some("StartError" | "ContainerCannotRun" | "RunContainerError")) => {
            ExitCause::Refused(Refusal::Spec)
        }
        _ => ExitCause::Retry(RetryCause::Evicted),
    }
}

/// Why it does not run yet, for people.
fn waiting(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    if !is_placed(pod) {
        let scheduled = status
            .conditions
            .iter()
            .flatten()
            .find(|c| c.type_ == "PodScheduled")?;
        let unschedulable = scheduled.reason.as_deref() == Some("Unschedulable");
        let message = scheduled.message.as_deref().unwrap_or_default();
        return unschedulable.then(|| format!("No node can take it now: {message}"));
    }
    let waiting = container(pod)?.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    Some(match waiting.reason.as_deref()? {
        "ContainerCreating" | "PodInitializing" => return None,
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" => {
            format!("The image can't be pulled: {message}")
        }
        other => format!("{other}: {message}"),
    })
}

/// Whether the scheduler has found no node for it. That its volume is not there yet is no matter of nodes.
pub(crate) fn is_unschedulable(pod: &Pod) -> bool {
    let of_nodes = |why: String| !why.contains("PersistentVolumeClaim");
    !is_placed(pod) && !is_gated(pod) && waiting(pod).is_some_and(of_nodes)
}

/// Why the node will never start it, if that is so, and the node's own words.
pub(crate) fn refusal(pod: &Pod) -> Option<(Refusal, String)> {
    let waiting = container(pod)?.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let message = waiting.message.clone().unwrap_or_default();
    if matches!(
        reason,
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError"
    ) {
        return Some((Refusal::Spec, message));
    }
    Some((image_refusal(reason, &message)?, message))
}

#[cfg(test)]
mod tests;
