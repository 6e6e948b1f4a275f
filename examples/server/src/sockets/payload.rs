//! What is in an event, as the original's clients know it.

use neuropod::Time;
use neuropod::event::NewEvent;
use neuropod::id::PodId;
use neuropod::metrics::Point;
use neuropod::money::Money;
use neuropod::pod::{Phase, Pod, Reason};
use serde::Serialize;
use serde_json::{Value, json};

use crate::App;
use crate::view::{self, Service, Stats, Status};

/// What has become of a pod, as its row says now. For its owner and administrators: the addresses have tokens in them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodUpdate<'a> {
    r#type: &'static str,
    pod_id: PodId,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Stats>,
    http_services: Vec<Service<'a>>,
    tcp_services: Vec<Service<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    phase: Phase,
    status_reason: Option<Reason>,
    exit_code: Option<i64>,
    timestamp: Time,
}

impl<'a> PodUpdate<'a> {
    /// Without what it uses, unless that is nothing: who has seen figures keeps them.
    pub(super) fn of(pod: &'a Pod, app: &'a App) -> Self {
        let ends = pod.phase() != Phase::Running;
        let now = app.now();
        let stats = ends.then(|| Stats::of(pod, None, now));
        let (http_services, tcp_services) = view::all_services(pod, &app.public_host);
        Self {
            r#type: "podUpdate",
            pod_id: pod.id,
            status: view::status(pod.phase()),
            stats,
            http_services,
            tcp_services,
            message: pod.message.as_deref(),
            phase: pod.phase(),
            status_reason: pod.reason,
            exit_code: pod.exit_code,
            timestamp: now,
        }
    }

    /// With what it uses.
    pub(super) fn with_stats(pod: &'a Pod, usage: Option<&Point>, app: &'a App) -> Self {
        Self {
            stats: Some(Stats::of(pod, usage, app.now())),
            ..Self::of(pod, app)
        }
    }
}

/// `null` once it does not run any more.
pub(super) fn pod_metrics(pod: PodId, usage: Option<&Point>, now: Time) -> Value {
    json!({ "type": "podMetrics", "podId": pod, "metrics": usage, "timestamp": now })
}

pub(super) fn pod_created(event: &NewEvent, pod: &Pod, email: &str) -> Value {
    json!({
        "type": "podCreated",
        "podId": pod.id,
        "podName": pod.spec.name,
        "status": view::status(pod.phase()),
        "gpu": pod.spec.gpu,
        "containerDiskSize": pod.spec.container_disk_gb,
        "volumeDiskSize": pod.spec.volume_disk_gb,
        "createdBy": email,
        "timestamp": event.at,
    })
}

pub(super) fn pod_deleted(event: &NewEvent) -> Value {
    json!({ "type": "podDeleted", "podId": event.pod, "timestamp": event.at })
}

pub(super) fn low_balance(event: &NewEvent) -> Value {
    named("lowBalanceAlert", event, &["currentBalance", "threshold"])
}

pub(super) fn balance(event: &NewEvent) -> Value {
    named("balanceUpdate", event, &["newBalance"])
}

pub(super) fn budget(event: &NewEvent) -> Value {
    named("budgetReached", event, &[])
}

pub(super) fn notification(event: &NewEvent) -> Value {
    let kind = event.body["kind"].as_str().unwrap_or("notice");
    let mut told = named(kind, event, &[]);
    if let (Some(fields), Some(pod)) = (told.as_object_mut(), event.pod) {
        fields.remove("kind");
        fields.insert("podId".to_owned(), json!(pod));
    }
    told
}

pub(super) fn broadcast(message: &Value, at: Time) -> Value {
    json!({ "message": message, "timestamp": at })
}

/// What the event says, with amounts as numbers.
fn named(r#type: &str, event: &NewEvent, amounts: &[&str]) -> Value {
    let mut told = event.body.clone();
    for amount in amounts {
        let money = told[*amount].as_str().and_then(|text| text.parse().ok());
        if let Some(money) = money.map(Money::to_f64) {
            told[*amount] = money.into();
        }
    }
    told["type"] = r#type.into();
    told["timestamp"] = json!(event.at);
    told
}
