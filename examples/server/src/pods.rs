//! `/api/pods`: what there is, and what becomes of it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use neuropod::activity::Did;
use neuropod::auth::Identity;
use neuropod::id::PodId;
use neuropod::idle::Activity;
use neuropod::pod::{Phase, Pod};
use neuropod::{Error, ErrorKind, Time};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::answer::{self, Changed, Data, Rows, Said};
use crate::body::{Fields, Nothing};
use crate::caller::{Admin, Caller, Id, Writer};
use crate::idempotency::{self, IdempotencyKey, Key};
use crate::openapi::Refused;
use crate::page::{List, Pages, Search};
use crate::problem::Result;
use crate::view::{self, Beside, Connections, Details, PodRow, Status};

/// How long the backend is waited for, while a frontend waits five seconds for the whole answer.
pub(crate) const BACKEND_PATIENCE: Duration = Duration::from_secs(3);

/// Whose pods.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct ByEmail {
    /// The owner's address, if an administrator asks; from others it changes nothing.
    user_email: Option<String>,
}

/// One pod.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OnePod<'a> {
    success: bool,
    data: &'a PodRow<'a>,
    details: Details,
    /// The same as `data`.
    pod: &'a PodRow<'a>,
}

/// What has become of a pod.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodChange {
    phase: Phase,
    pod_id: PodId,
    status: Status,
}

/// How a pod is started.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "what `start` reads, for the document")]
pub(crate) struct StartPod {
    /// A volume that is gone is replaced by an empty one.
    accept_loss: Option<bool>,
}

/// One's pods, the newest first
#[utoipa::path(
    get, path = "/api/pods", operation_id = "listPods", params(ByEmail, Pages),
    responses((status = 200, body = Rows<PodRow>), Refused<404>),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Caller(who): Caller,
    Search(asked): Search<ByEmail>,
    list: List,
) -> Result<Response> {
    // The original's frontend sends the address unencoded, so its `+` arrives as a blank.
    let email = asked.user_email.map(|email| email.trim().replace(' ', "+"));
    let (owner, email) = match email.filter(|email| who.is_admin() && !email.is_empty()) {
        Some(email) => {
            let user = app.platform.user_by_email(&email).await?;
            let nobody = || {
                Error::new(
                    ErrorKind::NotFound,
                    "There is no user with this e-mail address.",
                )
            };
            (user.ok_or_else(nobody)?.id, Some(email))
        }
        None => (who.user.id, who.is_admin().then(|| who.user.email.clone())),
    };
    let page = app
        .platform
        .pods(&who, owner, list.cursor, list.limit)
        .await?;
    let now = app.platform.clock().now();
    let mut beside = Vec::with_capacity(page.items.len());
    for pod in &page.items {
        let queue_position = queue_position(&app, pod).await?;
        beside.push(Beside {
            user_email: email.clone(),
            usage: app.platform.latest_usage(pod.id),
            queue_position,
            ..Beside::default()
        });
    }
    // Not by name: the log stays when the person is forgotten.
    let seen = json!({ "owner": owner, "count": page.items.len() });
    app.platform.note_look(&who, Did::GetPods, seen);
    let rows = page.items.iter().zip(&beside);
    let rows = rows.map(|(pod, beside)| PodRow::of(pod, beside, &app.public_host, now));
    let next = list.paged.then_some(page.next);
    Ok(answer::rows(rows.collect(), next).into_response())
}

/// The same, for administrators only
#[utoipa::path(
    get, path = "/api/pods/admin", operation_id = "listPodsAsAdmin", params(ByEmail, Pages),
    responses((status = 200, body = Rows<PodRow>), Refused<404>),
)]
pub(crate) async fn admin_list(
    app: State<App>,
    Admin(who): Admin,
    asked: Search<ByEmail>,
    pages: List,
) -> Result<Response> {
    list(app, Caller(who), asked, pages).await
}

/// One pod
#[utoipa::path(
    get, path = "/api/pods/{podId}", operation_id = "getPod", params(("podId" = PodId, Path)),
    responses((status = 200, body = OnePod), Refused<404>),
)]
pub(crate) async fn one(
    State(app): State<App>,
    Caller(who): Caller,
    Id(id): Id<PodId>,
) -> Result<Response> {
    let pod = app.platform.pod(&who, id).await?;
    let measured = tokio::time::timeout(BACKEND_PATIENCE, app.platform.usage_of(&pod)).await;
    let beside = Beside {
        user_email: owner_email(&app, &who, &pod).await?,
        usage: measured
            .ok()
            .and_then(|usage| usage.ok())
            .unwrap_or_default(),
        queue_position: queue_position(&app, &pod).await?,
        runs_dry_at: app.platform.runs_dry_at(&pod).await?,
    };
    let now = app.platform.clock().now();
    let row = PodRow::of(&pod, &beside, &app.public_host, now);
    let one = OnePod {
        success: true,
        data: &row,
        details: Details::of(&pod, &app.public_host, now),
        pod: &row,
    };
    Ok(Json(one).into_response())
}

async fn owner_email(app: &App, who: &Identity, pod: &Pod) -> Result<Option<String>> {
    if !who.is_admin() {
        return Ok(None);
    }
    if pod.owner == who.user.id {
        return Ok(Some(who.user.email.clone()));
    }
    Ok(app
        .platform
        .store()
        .user(pod.owner)
        .await?
        .map(|user| user.email))
}

async fn queue_position(app: &App, pod: &Pod) -> Result<Option<u32>> {
    if pod.phase() != Phase::Queued {
        return Ok(None);
    }
    Ok(app.platform.queue_position(pod).await?)
}

/// Where a pod can be reached
#[utoipa::path(
    get, path = "/api/pods/{podId}/connections", operation_id = "getPodConnections", params(("podId" = PodId, Path)),
    responses((status = 200, body = Data<Connections>), Refused<404>),
)]
pub(crate) async fn connections(
    State(app): State<App>,
    Caller(who): Caller,
    Id(id): Id<PodId>,
) -> Result<Response> {
    let looked = tokio::time::timeout(BACKEND_PATIENCE, app.platform.refresh(&who, id)).await;
    let pod = match looked {
        Ok(Ok(pod)) => pod,
        Ok(Err(e)) if *e.kind() != ErrorKind::Unreachable => return Err(e.into()),
        // What is known is a better answer than none.
        _ => app.platform.pod(&who, id).await?,
    };
    Ok(answer::data(Connections::of(&pod, &app.public_host)).into_response())
}

/// Start a pod
#[utoipa::path(
    post, path = "/api/pods/{podId}/start", operation_id = "startPod", params(("podId" = PodId, Path), Key),
    request_body = StartPod,
    responses(
        (status = 200, body = Changed<PodChange>), Refused<402>, Refused<404>, Refused<409>, Refused<422>, Refused<429>,
    ),
)]
pub(crate) async fn start(
    State(app): State<App>,
    Writer(who): Writer,
    Id(id): Id<PodId>,
    key: IdempotencyKey,
    mut fields: Fields,
) -> Result<Response> {
    let receipt = key.receipt(&who, format_args!("POST /api/pods/{id}/start"), &fields)?;
    let accept_loss = fields.flag("acceptLoss").unwrap_or_default();
    fields.done()?;
    let said = "The pod is being started.";
    if let Some(receipt) = &receipt
        && let Some(done) = app.platform.done(receipt).await?
    {
        return Ok(idempotency::marked(changed(&done.outcome, said), true));
    }
    refuse_if(
        &app,
        &who,
        id,
        Phase::Running,
        "This pod is already running.",
    )
    .await?;
    if let Some(receipt) = &receipt {
        let done = app.platform.start_once(&who, id, accept_loss, receipt);
        let done = done.await?;
        return Ok(idempotency::marked(
            changed(&done.outcome, said),
            done.replayed,
        ));
    }
    let pod = if accept_loss {
        app.platform.start_accepting_loss(&who, id).await?
    } else {
        app.platform.start(&who, id).await?
    };
    Ok(changed(&pod, said).into_response())
}

/// Stop a pod; its volume stays
#[utoipa::path(
    post, path = "/api/pods/{podId}/stop", operation_id = "stopPod", params(("podId" = PodId, Path)),
    request_body = Nothing,
    responses((status = 200, body = Changed<PodChange>), Refused<404>, Refused<409>, Refused<429>),
)]
pub(crate) async fn stop(
    State(app): State<App>,
    Writer(who): Writer,
    Id(id): Id<PodId>,
    fields: Fields,
) -> Result<Json<Changed<PodChange>>> {
    fields.done()?;
    refuse_if(
        &app,
        &who,
        id,
        Phase::Stopped,
        "This pod is already stopped.",
    )
    .await?;
    let pod = app.platform.stop(&who, id).await?;
    Ok(changed(&pod, "The pod is being stopped."))
}

/// When an idle pod is stopped.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Heartbeat {
    last_activity: Option<Activity>,
    idle_stop_at: Option<Time>,
}

/// Say that somebody uses a pod
///
/// For pages and editors whose user is there though his pod does nothing: one that is stopped when idle is not for now.
#[utoipa::path(
    post, path = "/api/pods/{podId}/heartbeat", operation_id = "beat", params(("podId" = PodId, Path)),
    request_body = Nothing,
    responses((status = 200, body = Data<Heartbeat>), Refused<404>, Refused<409>, Refused<429>),
)]
pub(crate) async fn heartbeat(
    State(app): State<App>,
    Writer(who): Writer,
    Id(id): Id<PodId>,
    fields: Fields,
) -> Result<Json<Data<Heartbeat>>> {
    fields.done()?;
    let pod = app.platform.heartbeat(&who, id).await?;
    Ok(answer::data(Heartbeat {
        last_activity: pod.last_activity,
        idle_stop_at: pod.idle_stop_at(),
    }))
}

/// To the platform a wish that holds already is no error; to the frontend it is.
async fn refuse_if(
    app: &App,
    who: &Identity,
    id: PodId,
    phase: Phase,
    message: &str,
) -> Result<()> {
    if app.platform.pod(who, id).await?.phase() == phase {
        return Err(Error::new(ErrorKind::InvalidTransition, message).into());
    }
    Ok(())
}

pub(crate) fn changed(pod: &Pod, message: &'static str) -> Json<Changed<PodChange>> {
    let change = PodChange {
        phase: pod.phase(),
        pod_id: pod.id,
        status: view::status(pod.phase()),
    };
    answer::changed(change, message)
}

/// Delete a pod and its volume
#[utoipa::path(
    delete, path = "/api/pods/{podId}", operation_id = "deletePod", params(("podId" = PodId, Path)),
    responses((status = 200, body = Said), Refused<404>, Refused<409>, Refused<429>),
)]
pub(crate) async fn delete(
    State(app): State<App>,
    Writer(who): Writer,
    Id(id): Id<PodId>,
) -> Result<Json<Said>> {
    app.platform.delete(&who, id).await?;
    Ok(answer::said("The pod is being deleted."))
}
