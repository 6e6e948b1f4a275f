//! `/metrics`: the platform's figures and the server's own, for Prometheus.

use axum::extract::{FromRequestParts, State};
use axum::http::header::CONTENT_TYPE as KIND;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use neuropod::auth::Credential;
use neuropod::figures::{Census, Done, Figures, PodUsage};
use neuropod::metrics::Point;
use neuropod::pod::Phase;

use crate::App;
use crate::caller::{Admin, credential};
use crate::exposition::{CONTENT_TYPE, Exposition};
use crate::problem::{Problem, Result};
use crate::traffic::Traffic;

/// All phases, so that one that no pod is in is 0 and not unknown.
const PHASES: [(Phase, &str); 9] = [
    (Phase::Queued, "queued"),
    (Phase::Provisioning, "provisioning"),
    (Phase::Starting, "starting"),
    (Phase::Running, "running"),
    (Phase::Stopping, "stopping"),
    (Phase::Stopped, "stopped"),
    (Phase::Exited, "exited"),
    (Phase::Error, "error"),
    (Phase::Deleting, "deleting"),
];

/// Whoever has the token for figures, or is an administrator.
#[derive(Debug)]
pub(crate) struct Reader;

impl FromRequestParts<App> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let token = app.metrics_token.as_ref().map(|token| token.reveal());
        if let (Some(wanted), Credential::Bearer(given)) = (token, credential(&parts.headers))
            && same(wanted.as_bytes(), given.reveal().as_bytes())
        {
            return Ok(Self);
        }
        Admin::from_request_parts(parts, app).await.map(|_| Self)
    }
}

/// Takes as long wherever the two differ.
fn same(wanted: &[u8], given: &[u8]) -> bool {
    let differs = wanted
        .iter()
        .zip(given)
        .fold(0, |all, (a, b)| all | (a ^ b));
    wanted.len() == given.len() && differs == 0
}

/// Figures in Prometheus's text format, for administrators and whoever has `NEUROPOD_METRICS_TOKEN`
#[utoipa::path(
    get, path = "/metrics", operation_id = "figures",
    responses((status = 200, body = String, content_type = "text/plain; version=0.0.4; charset=utf-8")),
)]
pub(crate) async fn figures(State(app): State<App>, _: Reader) -> Response {
    let figures = app.platform.figures().await;
    let mut text = Exposition::default();
    text.gauge("neuropod_build_info", "The release that runs.")
        .counts(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    if let Some(census) = &figures.census {
        there(&mut text, census);
    }
    done(&mut text, &figures.done, figures.store_answers);
    open(&mut text, &figures, app.seats.load());
    usage(&mut text, &figures.usage, app.metrics_pods);
    answers(&mut text, &app.traffic);
    ([(KIND, CONTENT_TYPE)], text.end()).into_response()
}

/// What there is: the same on every replica.
fn there(text: &mut Exposition, census: &Census) {
    let mut pods = text.gauge(
        "neuropod_pods",
        "Pods by phase, as the last sweep found them.",
    );
    for (phase, name) in PHASES {
        let count = census.pods.iter().find(|(other, _)| *other == phase);
        pods.counts(&[("phase", name)], count.map_or(0, |(_, count)| *count));
    }
    let mut waiting = text.gauge(
        "neuropod_queue_length",
        "Pods that wait for a device, by GPU.",
    );
    for (gpu, count) in &census.waiting {
        waiting.counts(&[("gpu", gpu.as_str())], *count);
    }
    if census.waiting.is_empty() {
        // So that an empty queue is 0 and not unknown.
        waiting.counts(&[("gpu", "")], 0);
    }
    text.gauge(
        "neuropod_orphans",
        "Pods that the backend has something of, and that no row knows.",
    )
    .counts(&[], census.orphans);
    text.gauge("neuropod_ledger_payers", "Accounts that pay for a run.")
        .counts(&[], census.payers);
    if let Some((healthy, broken)) = census.devices {
        text.gauge("neuropod_devices", "GPUs of the backend.")
            .counts(&[("health", "good")], healthy)
            .counts(&[("health", "broken")], broken);
    }
    text.gauge(
        "neuropod_last_sweep_timestamp_seconds",
        "When the backend was last listed as a whole.",
    )
    .is(&[], census.at.as_micros() as f64 / 1e6);
}

/// What this replica has done.
fn done(text: &mut Exposition, done: &Done, store_answers: bool) {
    text.histogram(
        "neuropod_launch_duration_seconds",
        "From the opening of a run until it was ready.",
    )
    .spreads(&[], &done.launches);
    text.histogram(
        "neuropod_reconcile_lag_seconds",
        "From a launch to the pass that opened its first run.",
    )
    .spreads(&[], &done.lag);
    let mut passes = text.histogram(
        "neuropod_pass_duration_seconds",
        "How long passes took, by what they were over.",
    );
    for (kind, spread) in &done.passes {
        passes.spreads(&[("kind", kind)], spread);
    }
    text.gauge(
        "neuropod_passes_in_progress",
        "Claimed work that is being done.",
    )
    .counts(&[], done.passes_under_way);
    text.counter(
        "neuropod_pod_failures_total",
        "How often a pod came into ERROR.",
    )
    .counts(&[], done.failures);
    text.gauge("neuropod_store_up", "Whether the store answers.")
        .counts(&[], u64::from(store_answers));
    text.counter(
        "neuropod_store_commits_total",
        "Writes to the store, by what became of them.",
    )
    .counts(&[("outcome", "written")], done.commits.written)
    .counts(&[("outcome", "conflict")], done.commits.conflicts)
    .counts(&[("outcome", "refused")], done.commits.refused)
    .counts(&[("outcome", "failed")], done.commits.failed);
    text.histogram(
        "neuropod_store_commit_duration_seconds",
        "How long writes took.",
    )
    .spreads(&[], &done.commit_time);
    text.counter(
        "neuropod_ledger_postings_total",
        "What was posted: transfers, totals of meters that go on, and totals that settle a meter.",
    )
    .counts(&[("kind", "transfer")], done.transfers)
    .counts(&[("kind", "total")], done.totals)
    .counts(&[("kind", "settled")], done.last_totals);
}

/// What stays open on this replica.
fn open(text: &mut Exposition, figures: &Figures, sockets: u64) {
    text.gauge("neuropod_sockets", "Sockets that are connected.")
        .counts(&[], sockets);
    text.gauge("neuropod_event_followers", "Who follows events.")
        .counts(&[], figures.followers);
    text.gauge(
        "neuropod_followed_logs",
        "Logs that are read for those who follow them.",
    )
    .counts(&[], figures.logs);
    text.gauge(
        "neuropod_measured_pods",
        "Pods that are measured because somebody watches them.",
    )
    .counts(&[], figures.measured);
}

/// What is asked of a point.
type Of = fn(&Point) -> Option<f64>;

/// What measured pods use: of all together, or of each with its owner.
fn usage(text: &mut Exposition, pods: &[PodUsage], each: bool) {
    let of: [(&'static str, &str, Of); 6] = [
        (
            "neuropod_usage_cpu_cores",
            "Cores that measured pods keep busy.",
            |p| p.cpu_cores,
        ),
        (
            "neuropod_usage_memory_bytes",
            "Working set of measured pods.",
            |p| p.memory_bytes.map(|bytes| bytes as f64),
        ),
        (
            "neuropod_usage_disk_bytes",
            "What measured pods have on their own disks.",
            |p| p.disk_bytes.map(|bytes| bytes as f64),
        ),
        (
            "neuropod_usage_gpu_ratio",
            "How busy the GPUs of measured pods are, of 1 each.",
            |p| {
                let known = p.gpus.iter().filter_map(|gpu| gpu.percent);
                known
                    .map(|percent| f64::from(percent) / 100.0)
                    .reduce(|a, b| a + b)
            },
        ),
        (
            "neuropod_usage_gpu_memory_bytes",
            "GPU memory that measured pods use.",
            |p| {
                let known = p.gpus.iter().filter_map(|gpu| gpu.memory_bytes);
                known.map(|bytes| bytes as f64).reduce(|a, b| a + b)
            },
        ),
        (
            "neuropod_usage_gpu_power_watts",
            "Power of the GPUs of measured pods.",
            |p| {
                let known = p.gpus.iter().filter_map(|gpu| gpu.milliwatts);
                known
                    .map(|milliwatts| f64::from(milliwatts) / 1000.0)
                    .reduce(|a, b| a + b)
            },
        ),
    ];
    for (name, help, of) in of {
        let mut family = text.gauge(name, help);
        if !each {
            let known = pods.iter().filter_map(|pod| of(&pod.latest));
            family.may_be(&[], known.reduce(|a, b| a + b));
            continue;
        }
        for pod in pods {
            let (id, user) = (pod.pod.to_string(), pod.owner.to_string());
            family.may_be(&[("pod", &id), ("user", &user)], of(&pod.latest));
        }
    }
}

/// What was answered to requests.
fn answers(text: &mut Exposition, traffic: &Traffic) {
    let answered = traffic.so_far();
    let mut requests = text.counter(
        "neuropod_http_requests_total",
        "Requests that were answered.",
    );
    for one in &answered {
        for (status, count) in &one.by_status {
            let status = status.to_string();
            let labels = [
                ("method", one.method),
                ("route", &*one.route),
                ("status", &status),
            ];
            requests.counts(&labels, *count);
        }
    }
    let mut took = text.histogram(
        "neuropod_http_request_duration_seconds",
        "How long requests took, until the answer began.",
    );
    for one in &answered {
        took.spreads(&[("method", one.method), ("route", &*one.route)], &one.took);
    }
}
