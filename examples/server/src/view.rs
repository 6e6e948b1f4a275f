//! A pod as the frontend knows it.

use std::sync::Arc;

use neuropod::Time;
use neuropod::funds;
use neuropod::id::{GpuId, PodId, TemplateId};
use neuropod::idle::Activity;
use neuropod::metrics::Point;
use neuropod::money::Money;
use neuropod::pod::{Desired, Endpoint, Phase, Pod, PortSpec, Proto, Reason};
use serde::Serialize;
use utoipa::ToSchema;

/// What is shown of a pod beside the row itself.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// The owner's address, for administrators.
    pub(crate) user_email: Option<String>,
    /// What it uses now, if that was measured.
    pub(crate) usage: Option<Arc<Point>>,
    /// Its place in the queue for its GPU.
    pub(crate) queue_position: Option<u32>,
    /// When its owner's balance runs out, if that was asked.
    pub(crate) runs_dry_at: Option<Time>,
}

/// The original's states of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PodStatus)]
pub(crate) enum Status {
    /// Waits, is made, or starts.
    Creating,
    /// Every port has answered.
    Running,
    /// Has no container, or is losing it.
    Stopped,
    /// The platform could not give what was asked.
    Error,
}

/// The original's states of a service.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ServiceStatus {
    /// Has not answered yet.
    Creating,
    /// Answers.
    Ready,
    /// Its pod does not run.
    Stopped,
    /// Its pod failed, or nothing will answer there.
    Error,
}

/// What a pod was made of.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DeploymentType {
    /// A template.
    Template,
    /// Any image.
    Docker,
}

/// The original's `PodRow`, with what it lacked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodRow<'a> {
    pod_id: PodId,
    pod_name: &'a str,
    status: Status,
    gpu: &'a GpuId,
    container_disk_size: u32,
    volume_disk_size: u32,
    created_at: Time,
    last_active: Time,
    stats: Stats,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_email: Option<&'a str>,
    http_services: Vec<Service<'a>>,
    tcp_services: Vec<Service<'a>>,
    docker_image: &'a str,
    template_id: Option<TemplateId>,
    deployment_type: DeploymentType,
    enable_jupyter: bool,
    phase: Phase,
    desired: Desired,
    status_reason: Option<Reason>,
    status_message: Option<&'a str>,
    exit_code: Option<i64>,
    queue_position: Option<u32>,
    price_per_hour: f64,
    price_per_hour_stopped: f64,
    /// What the open run and the volume have come to, at the prices they were opened at.
    accrued_cost: f64,
    /// When it was last used, and by what, if it is stopped when idle.
    last_activity: Option<Activity>,
    /// It is stopped then, if nothing uses it before.
    idle_stop_at: Option<Time>,
    stop_after: Option<Time>,
    delete_after: Option<Time>,
    /// The balance has run out: the volume goes then.
    kept_until: Option<Time>,
    /// The balance runs out then. Only of a pod that is looked at alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    runs_dry_at: Option<Time>,
}

/// The five original fields are always numbers, 0 where nothing was measured; the others say `null` then.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stats {
    cpu_usage: u64,
    memory_usage: u64,
    gpu_usage: u32,
    uptime: u64,
    last_updated: Time,
    cpu_milli: Option<u64>,
    memory_bytes: Option<u64>,
    disk_bytes: Option<u64>,
    volume_bytes: Option<u64>,
}

/// The original's `ConnectionInfo`, with the exact state.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Connections<'a> {
    pod_id: PodId,
    pod_name: &'a str,
    status: Status,
    http_services: Vec<Service<'a>>,
    tcp_services: Vec<Service<'a>>,
    phase: Phase,
    status_reason: Option<Reason>,
    status_message: Option<&'a str>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Service<'a> {
    port: u16,
    service_name: &'a str,
    url: String,
    is_custom: bool,
    status: ServiceStatus,
    /// Why nothing will answer there, though its pod runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<Reason>,
}

/// What the frontend's type of a single pod names beside the row.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Details {
    url: String,
    subdomain: String,
    created_at: Time,
    last_active: Time,
    cost: f64,
    total_cost: f64,
}

impl<'a> PodRow<'a> {
    pub(crate) fn of(pod: &'a Pod, beside: &'a Beside, public_host: &str, now: Time) -> Self {
        let phase = pod.phase();
        let spec = &pod.spec;
        Self {
            pod_id: pod.id,
            pod_name: &spec.name,
            status: status(phase),
            gpu: &spec.gpu,
            container_disk_size: spec.container_disk_gb,
            volume_disk_size: spec.volume_disk_gb,
            created_at: pod.created_at,
            last_active: last_active(pod, now),
            stats: Stats::of(pod, beside.usage.as_deref(), now),
            user_email: beside.user_email.as_deref(),
            http_services: services(pod, Proto::Http, public_host),
            tcp_services: services(pod, Proto::Tcp, public_host),
            docker_image: &spec.image,
            template_id: spec.template,
            deployment_type: match spec.template {
                Some(_) => DeploymentType::Template,
                None => DeploymentType::Docker,
            },
            enable_jupyter: spec.jupyter,
            phase,
            desired: pod.desired,
            status_reason: pod.reason,
            status_message: pod.message.as_deref(),
            exit_code: pod.exit_code,
            queue_position: beside.queue_position,
            price_per_hour: price_per_hour(pod).to_f64(),
            price_per_hour_stopped: pod.terms.volume_rate.to_f64(),
            accrued_cost: accrued(pod, now).to_f64(),
            last_activity: pod.last_activity,
            idle_stop_at: pod.idle_stop_at(),
            stop_after: pod.deadlines.stop_after,
            delete_after: pod.deadlines.delete_after,
            kept_until: pod.volume.as_ref().and_then(|volume| volume.kept_until),
            runs_dry_at: beside.runs_dry_at,
        }
    }
}

impl Stats {
    /// Percentages are whole numbers: the original's frontend prints them as they are.
    pub(crate) fn of(pod: &Pod, usage: Option<&Point>, now: Time) -> Self {
        let percent = |value: Option<f64>| value.unwrap_or(0.0).clamp(0.0, 100.0).round() as u64;
        let charged_from = pod.run.as_ref().and_then(|run| run.charged_from);
        Self {
            cpu_usage: percent(usage.and_then(|usage| usage.cpu_percent)),
            memory_usage: percent(usage.and_then(Point::memory_percent)),
            gpu_usage: usage.and_then(Point::gpu_percent).unwrap_or(0),
            uptime: charged_from.map_or(0, |from| now.since(from).as_secs()),
            last_updated: usage.map_or(now, |usage| usage.at),
            cpu_milli: (usage.and_then(|usage| usage.cpu_cores))
                .map(|cores| (cores * 1000.0).round() as u64),
            memory_bytes: usage.and_then(|usage| usage.memory_bytes),
            disk_bytes: usage.and_then(|usage| usage.disk_bytes),
            volume_bytes: usage.and_then(|usage| usage.volume_bytes),
        }
    }
}

impl<'a> Connections<'a> {
    pub(crate) fn of(pod: &'a Pod, public_host: &str) -> Self {
        Self {
            pod_id: pod.id,
            pod_name: &pod.spec.name,
            status: status(pod.phase()),
            http_services: services(pod, Proto::Http, public_host),
            tcp_services: services(pod, Proto::Tcp, public_host),
            phase: pod.phase(),
            status_reason: pod.reason,
            status_message: pod.message.as_deref(),
        }
    }
}

impl Details {
    pub(crate) fn of(pod: &Pod, public_host: &str, now: Time) -> Self {
        let first = services(pod, Proto::Http, public_host).into_iter().next();
        let url = first.map(|service| service.url).unwrap_or_default();
        let authority = url
            .split("://")
            .nth(1)
            .and_then(|rest| rest.split('/').next());
        Self {
            subdomain: authority.unwrap_or_default().to_owned(),
            url,
            created_at: pod.created_at,
            last_active: last_active(pod, now),
            cost: price_per_hour(pod).to_f64(),
            total_cost: accrued(pod, now).to_f64(),
        }
    }
}

/// One of the original's four words.
pub(crate) fn status(phase: Phase) -> Status {
    match phase {
        Phase::Queued | Phase::Provisioning | Phase::Starting => Status::Creating,
        Phase::Running => Status::Running,
        Phase::Stopping | Phase::Stopped | Phase::Exited | Phase::Deleting => Status::Stopped,
        Phase::Error => Status::Error,
    }
}

fn last_active(pod: &Pod, now: Time) -> Time {
    if pod.phase() == Phase::Running {
        now
    } else {
        pod.updated_at
    }
}

fn price_per_hour(pod: &Pod) -> Money {
    pod.terms.run_rate + pod.terms.volume_rate
}

fn accrued(pod: &Pod, now: Time) -> Money {
    let run = pod
        .run
        .as_ref()
        .map_or(Money::ZERO, |run| funds::run_total(run, now));
    let volume = pod
        .volume
        .as_ref()
        .map_or(Money::ZERO, |v| funds::volume_total(v, now));
    run + volume
}

/// By HTTP, and by plain TCP.
pub(crate) fn all_services<'a>(
    pod: &'a Pod,
    public_host: &str,
) -> (Vec<Service<'a>>, Vec<Service<'a>>) {
    (
        services(pod, Proto::Http, public_host),
        services(pod, Proto::Tcp, public_host),
    )
}

fn services<'a>(pod: &'a Pod, proto: Proto, public_host: &str) -> Vec<Service<'a>> {
    let ports = pod.spec.ports.iter().filter(|port| port.proto == proto);
    ports
        .map(|port| {
            let endpoint = pod.run.as_ref().and_then(|run| {
                let mut endpoints = run.endpoints.iter();
                endpoints.find(|e| e.container == port.container && e.proto == proto)
            });
            Service {
                port: port.container,
                service_name: &port.name,
                url: url(pod, port, endpoint, public_host),
                is_custom: port.custom,
                status: service_status(pod, endpoint),
                status_reason: endpoint.and_then(|e| e.failed),
            }
        })
        .collect()
}

fn service_status(pod: &Pod, endpoint: Option<&Endpoint>) -> ServiceStatus {
    match pod.phase() {
        Phase::Error => ServiceStatus::Error,
        Phase::Stopping | Phase::Stopped | Phase::Exited | Phase::Deleting => {
            ServiceStatus::Stopped
        }
        _ if endpoint.is_some_and(|e| e.ready) => ServiceStatus::Ready,
        _ if endpoint.is_some_and(|e| e.failed.is_some()) => ServiceStatus::Error,
        _ => ServiceStatus::Creating,
    }
}

/// The address of a port: where its run can be reached, else where the lease of its host port says that it will be.
fn url(pod: &Pod, port: &PortSpec, endpoint: Option<&Endpoint>, public_host: &str) -> String {
    let leased = || {
        let lease = pod
            .ports
            .iter()
            .find(|lease| lease.container == port.container)?;
        Some((public_host, lease.host, false))
    };
    let reached = endpoint.map(|e| (e.host.as_str(), e.port, e.tls));
    let Some((host, number, tls)) = reached.or_else(leased) else {
        return String::new();
    };
    let (scheme, usual) = match (port.proto, tls) {
        (Proto::Tcp, _) => ("tcp", None),
        (Proto::Http, false) => ("http", Some(80)),
        (Proto::Http, true) => ("https", Some(443)),
    };
    let authority = if usual == Some(number) {
        host.to_owned()
    } else {
        format!("{host}:{number}")
    };
    format!("{scheme}://{authority}{}", jupyter_token(pod, port))
}

/// The token of the run's Jupyter, for its own port only.
fn jupyter_token(pod: &Pod, port: &PortSpec) -> String {
    let token = pod.run.as_ref().and_then(|run| run.jupyter_token.as_ref());
    match token {
        Some(token) if port.container == 8888 => format!("/?token={}", token.reveal()),
        _ => String::new(),
    }
}
