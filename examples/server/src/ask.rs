//! `POST /api/pods`: the body as an ask. What an ask must be like is the library's business.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use neuropod::Offer;
use neuropod::id::GpuId;
use neuropod::launch::{Assignee, Deployment, Launch};
use neuropod::pod::Env;
use neuropod::receipt::Done;
use serde_json::json;

use crate::App;
use crate::answer;
use crate::body::Fields;
use crate::caller::{Caller, Writer};
use crate::idempotency::{self, IdempotencyKey};
use crate::problem::{Problem, Result};
use crate::view;

/// `POST /api/pods`
pub(crate) async fn launch(
    State(app): State<App>,
    Writer(who): Writer,
    key: IdempotencyKey,
    fields: Fields,
) -> Result<Response> {
    let receipt = key.receipt(&who, "POST /api/pods", &fields)?;
    let launch = read(fields, &app)?;
    let done = match &receipt {
        Some(receipt) => app.platform.launch_once(&who, &launch, receipt).await?,
        None => Done {
            outcome: app.platform.launch(&who, &launch).await?,
            replayed: false,
        },
    };
    let pod = &done.outcome;
    let data = json!({
        "podId": pod.id,
        "podName": pod.spec.name,
        "status": view::status(pod.phase()),
        "phase": pod.phase(),
        "message": "The pod is being created.",
    });
    let answer = (StatusCode::CREATED, answer::data(data)).into_response();
    Ok(idempotency::marked(answer, done.replayed))
}

/// `POST /api/pods/quote`: what the same body would cost, and whether it could be had now.
pub(crate) async fn quote(
    State(app): State<App>,
    Caller(who): Caller,
    fields: Fields,
) -> Result<Response> {
    let launch = read(fields, &app)?;
    let Offer {
        quote,
        balance,
        lasts,
        refusal,
    } = app.platform.offer(&who, &launch).await?;
    let refusal = refusal.map(Problem::from);
    let why =
        refusal.map(|problem| json!({ "code": problem.code(), "message": problem.message() }));
    Ok(answer::data(json!({
        "perHour": quote.per_hour(),
        "perHourStopped": quote.terms.volume_rate,
        "parts": quote.parts,
        "hold": quote.hold,
        "priceVersion": quote.terms.price_version,
        "available": crate::billing::available(&balance),
        "lastsSeconds": lasts.map(|lasts| lasts.as_secs()),
        "fits": why.is_none(),
        "why": why,
    })))
}

fn read(mut fields: Fields, app: &App) -> Result<Launch> {
    let deployment = deployment(&mut fields);
    let launch = Launch {
        name: fields.text("name").unwrap_or_default(),
        gpu: GpuId::new(fields.text("gpu").unwrap_or_default()),
        container_disk_gb: fields.whole("containerDiskSize"),
        volume_disk_gb: fields.whole("volumeDiskSize"),
        ports: fields.numbers("ports").unwrap_or_default(),
        tcp_ports: fields.numbers("tcpPorts").unwrap_or_default(),
        env: Env(fields.names_and_texts("env").unwrap_or_default()),
        args: fields.texts("args").unwrap_or_default(),
        jupyter: fields.flag("enableJupyter").unwrap_or(true),
        assign_to: fields.text("assignToUser").map(Assignee::Email),
        stop_after: fields.duration("stopAfter"),
        delete_after: fields.duration("deleteAfter"),
        resources: app.resources,
        ..Launch::new(deployment)
    };
    fields.done()?;
    Ok(launch)
}

/// Something wrong is noted, and what is answered then does not matter.
fn deployment(fields: &mut Fields) -> Deployment {
    let kind = fields.text("deploymentType");
    let template = fields.text("template");
    let image = Deployment::Image(fields.text("dockerImage").unwrap_or_default());
    match (kind.as_deref(), template.as_deref().map(str::parse)) {
        (Some("docker"), _) => return image,
        (Some("template"), Some(Ok(id))) => return Deployment::Template(id),
        (Some("template"), Some(Err(e))) => fields.wrong("template", e.message()),
        (Some("template"), None) => {
            fields.wrong("template", "\"template\" names the template to launch.")
        }
        _ => fields.wrong(
            "deploymentType",
            "\"deploymentType\" must be \"template\" or \"docker\".",
        ),
    }
    image
}
