//! `/api/pods`: what there is, and what becomes of it.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use neuropod::auth::Identity;
use neuropod::id::PodId;
use neuropod::pod::{Phase, Pod};
use neuropod::{Error, ErrorKind};
use serde::Serialize;
use serde_json::json;

use crate::App;
use crate::answer;
use crate::body::Fields;
use crate::caller::{Admin, Caller, Id, Writer};
use crate::idempotency::{self, IdempotencyKey};
use crate::page::List;
use crate::problem::Result;
use crate::view::{self, Beside, Connections, Details, PodRow};

/// How long the backend is waited for, while a frontend waits five seconds for the whole answer.
pub(crate) const BACKEND_PATIENCE: Duration = Duration::from_secs(3);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rows<'a> {
    count: usize,
    data: Vec<PodRow<'a>>,
    /// Only in pages: there, `null` at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<Option<String>>,
}

/// `GET /api/pods`
pub(crate) async fn list(
    State(app): State<App>,
    Caller(who): Caller,
    list: List,
) -> Result<Response> {
    let (owner, email) = match list
        .user_email
        .filter(|email| who.is_admin() && !email.is_empty())
    {
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
            queue_position,
            ..Beside::default()
        });
    }
    let rows = page.items.iter().zip(&beside);
    Ok(answer::success(Rows {
        count: page.items.len(),
        data: rows
            .map(|(pod, beside)| PodRow::of(pod, beside, &app.public_host, now))
            .collect(),
        next_cursor: list.paged.then_some(page.next),
    }))
}

/// `GET /api/pods/admin`
pub(crate) async fn admin_list(
    app: State<App>,
    Admin(who): Admin,
    query: List,
) -> Result<Response> {
    list(app, Caller(who), query).await
}

/// `GET /api/pods/:podId`
pub(crate) async fn one(
    State(app): State<App>,
    Caller(who): Caller,
    Id(id): Id<PodId>,
) -> Result<Response> {
    let pod = app.platform.pod(&who, id).await?;
    let measured = tokio::time::timeout(BACKEND_PATIENCE, app.platform.usage(&who, id)).await;
    let beside = Beside {
        user_email: owner_email(&app, &who, &pod).await?,
        usage: measured
            .ok()
            .and_then(|usage| usage.ok())
            .unwrap_or_default(),
        queue_position: queue_position(&app, &pod).await?,
        runs_dry_at: app.platform.balance(&who, pod.owner).await?.runs_dry_at,
    };
    let now = app.platform.clock().now();
    let row = PodRow::of(&pod, &beside, &app.public_host, now);
    let details = Details::of(&pod, &app.public_host, now);
    Ok(answer::success(
        json!({ "data": row, "pod": row, "details": details }),
    ))
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

/// `GET /api/pods/:podId/connections`
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
    Ok(answer::data(Connections::of(&pod, &app.public_host)))
}

/// `POST /api/pods/:podId/start`; with `acceptLoss`, a volume that is gone is replaced by an empty one.
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
        return Ok(idempotency::marked(changed(&done.outcome, said), done.replayed));
    }
    let pod = if accept_loss {
        app.platform.start_accepting_loss(&who, id).await?
    } else {
        app.platform.start(&who, id).await?
    };
    Ok(changed(&pod, said))
}

/// `POST /api/pods/:podId/stop`
pub(crate) async fn stop(
    State(app): State<App>,
    Writer(who): Writer,
    Id(id): Id<PodId>,
    fields: Fields,
) -> Result<Response> {
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

fn changed(pod: &Pod, message: &str) -> Response {
    let status = view::status(pod.phase());
    let data = json!({ "podId": pod.id, "status": status, "phase": pod.phase() });
    answer::success(json!({ "message": message, "data": data }))
}

/// `DELETE /api/pods/:podId`
pub(crate) async fn delete(
    State(app): State<App>,
    Writer(who): Writer,
    Id(id): Id<PodId>,
) -> Result<Response> {
    app.platform.delete(&who, id).await?;
    Ok(answer::success(
        json!({ "message": "The pod is being deleted." }),
    ))
}
