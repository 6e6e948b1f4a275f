//! `POST /api/pods`: the body as an ask. What an ask must be like is the library's business.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use neuropod::billing::Part;
use neuropod::id::{GpuId, PodId, TemplateId};
use neuropod::launch::{Assignee, Deployment, Launch};
use neuropod::money::Money;
use neuropod::pod::{Env, Phase};
use neuropod::receipt::Done;
use neuropod::{Error, Offer};
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::amount::Endless;
use crate::answer::{self, Data};
use crate::body::Fields;
use crate::caller::{Caller, Writer};
use crate::idempotency::{self, IdempotencyKey, Key};
use crate::openapi::Refused;
use crate::problem::{Problem, Result};
use crate::view::{self, DeploymentType, Status};

/// What to launch.
#[derive(ToSchema)]
#[schema(as = Launch)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "what `read` reads, for the document")]
pub(crate) struct LaunchBody {
    #[schema(min_length = 1, max_length = 50)]
    name: String,
    deployment_type: DeploymentType,
    /// With `template`: which one.
    template: Option<TemplateId>,
    /// With `docker`: which image.
    #[schema(max_length = 512)]
    docker_image: Option<String>,
    gpu: GpuId,
    /// GB, at most `limits.containerDiskMax` of the price list; the template's, or 10, if it is not said.
    #[schema(minimum = 1, maximum = 100_000)]
    container_disk_size: Option<u32>,
    /// GB, at most `limits.volumeDiskMax` of the price list; the template's, or 20, if it is not said.
    #[schema(minimum = 1, maximum = 100_000)]
    volume_disk_size: Option<u32>,
    /// Ports for HTTP, with commas between them: `8888,8080`.
    #[schema(pattern = "^[0-9, ]*$", example = "8888,8080")]
    ports: Option<String>,
    /// Ports for anything else.
    #[schema(pattern = "^[0-9, ]*$", example = "22")]
    tcp_ports: Option<String>,
    /// Environment variables.
    env: Option<BTreeMap<String, String>>,
    /// Arguments of the image's entry point.
    #[schema(max_items = 100)]
    args: Option<Vec<String>>,
    /// Run Jupyter beside the image's own program; `true`, if it is not said.
    enable_jupyter: Option<bool>,
    /// The owner's address, if an administrator launches it for somebody else.
    assign_to_user: Option<String>,
    /// Stop it once nothing has used it for so long, `1m` at least: neither its program nor its GPUs compute, its network is
    /// quiet, and no heartbeat came.
    #[schema(pattern = "^ *[0-9]+[smhd]? *$", example = "30m")]
    idle_stop: Option<String>,
    /// Stop it after so long: `30m`, `2h`, `1d`.
    #[schema(pattern = "^ *[0-9]+[smhd]? *$", example = "2h")]
    stop_after: Option<String>,
    /// Delete it after so long.
    #[schema(pattern = "^ *[0-9]+[smhd]? *$", example = "7d")]
    delete_after: Option<String>,
}

/// A pod that is being made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Launched {
    /// A sentence for a person.
    message: &'static str,
    phase: Phase,
    pod_id: PodId,
    pod_name: String,
    status: Status,
}

/// What a launch would cost.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Quoted {
    /// What its payer may spend.
    available: Endless<Money>,
    /// Whether it could be had now.
    fits: bool,
    /// What must be available for it.
    hold: Money,
    /// How long what is available lasts with it beside what runs already; `null` if for ever.
    lasts_seconds: Option<u64>,
    parts: Vec<Part>,
    per_hour: Money,
    per_hour_stopped: Money,
    price_version: u64,
    /// Why it could not.
    why: Option<Why>,
}

/// As in a `Problem`.
#[derive(Debug, Serialize, ToSchema)]
struct Why {
    code: &'static str,
    message: String,
}

/// Launch a pod
#[utoipa::path(
    post, path = "/api/pods", operation_id = "launchPod", params(Key), request_body = LaunchBody,
    responses(
        (status = 201, body = Data<Launched>), Refused<402>, Refused<404>, Refused<409>, Refused<422>, Refused<429>,
    ),
)]
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
    let launched = Launched {
        message: "The pod is being created.",
        phase: pod.phase(),
        pod_id: pod.id,
        pod_name: pod.spec.name.clone(),
        status: view::status(pod.phase()),
    };
    let answer = (StatusCode::CREATED, answer::data(launched));
    Ok(idempotency::marked(answer, done.replayed))
}

/// What a launch would cost, and whether it could be had now
#[utoipa::path(
    post, path = "/api/pods/quote", operation_id = "quotePod", request_body = LaunchBody,
    responses((status = 200, body = Data<Quoted>), Refused<404>),
)]
pub(crate) async fn quote(
    State(app): State<App>,
    Caller(who): Caller,
    fields: Fields,
) -> Result<Json<Data<Quoted>>> {
    let launch = read(fields, &app)?;
    let Offer {
        quote,
        balance,
        lasts,
        refusal,
    } = app.platform.offer(&who, &launch).await?;
    let why = refusal.map(Problem::from).map(|problem| Why {
        code: problem.code(),
        message: problem.message().to_owned(),
    });
    Ok(answer::data(Quoted {
        available: crate::billing::available(&balance),
        fits: why.is_none(),
        hold: quote.hold,
        lasts_seconds: lasts.map(|lasts| lasts.as_secs()),
        per_hour: quote.per_hour(),
        per_hour_stopped: quote.terms.volume_rate,
        price_version: quote.terms.price_version,
        parts: quote.parts,
        why,
    }))
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
        idle_stop: fields.duration("idleStop"),
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
    // The original's frontend sends both, whatever the kind.
    let image = Deployment::Image(fields.text("dockerImage").unwrap_or_default());
    let template = fields.text("template").filter(|text| !text.is_empty());
    let template = template.as_deref().map(str::parse);
    if let Some(Err(e)) = &template {
        fields.wrong("template", Error::message(e));
    }
    match (kind.as_deref(), template) {
        (Some("docker"), _) => return image,
        (Some("template"), Some(Ok(id))) => return Deployment::Template(id),
        (Some("template"), Some(Err(_))) => {}
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
