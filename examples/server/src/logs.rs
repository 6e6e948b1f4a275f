//! `GET /api/pods/:podId/logs`: the end of a log as one text.

use axum::Json;
use axum::extract::State;
use futures::StreamExt;
use neuropod::activity::Did;
use neuropod::auth::Identity;
use neuropod::id::PodId;
use neuropod::orchestrator::LogQuery;
use neuropod::pod::{Phase, Pod};
use neuropod::{Error, Result as CoreResult};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::answer::{self, Data};
use crate::caller::{Caller, Id};
use crate::openapi::Refused;
use crate::page::Search;
use crate::pods::BACKEND_PATIENCE;
use crate::problem::{Problem, Result};

const LINES: u32 = 500;
const LINES_MAX: u32 = 5000;
const BYTES_MAX: usize = 1 << 20;

/// How much of it.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Tail {
    /// How many lines from its end; 500, if it is not said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 5000)]
    tail: Option<String>,
}

/// The end of a log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Logs {
    /// Lines, or a sentence that says why there are none; the last 1 MiB at most.
    logs: String,
}

/// The end of a pod's log
#[utoipa::path(
    get, path = "/api/pods/{podId}/logs", operation_id = "getPodLogs", params(("podId" = PodId, Path), Tail),
    responses((status = 200, body = Data<Logs>), Refused<404>),
)]
pub(crate) async fn logs(
    State(app): State<App>,
    Caller(who): Caller,
    Id(id): Id<PodId>,
    Search(ask): Search<Tail>,
) -> Result<Json<Data<Logs>>> {
    let tail = match ask.tail.as_deref().map(str::parse) {
        None => LINES,
        Some(Ok(tail)) if (1..=LINES_MAX).contains(&tail) => tail,
        Some(_) => {
            let message = format!("\"tail\" is a whole number, 1 to {LINES_MAX}.");
            return Err(Problem::validation(message));
        }
    };
    let pod = app.platform.pod(&who, id).await?;
    let query = LogQuery {
        tail: Some(tail),
        ..LogQuery::default()
    };
    let text = tokio::time::timeout(BACKEND_PATIENCE, read(&app, &who, id, &query)).await;
    let late = |_| Error::unreachable("The backend does not give the log in time.");
    let mut logs = text.map_err(late)??;
    if logs.is_empty() {
        logs = nothing_yet(&pod).to_owned();
    }
    app.platform
        .note_look(&who, Did::GetPodLogs, json!({ "podId": id }));
    Ok(answer::data(Logs { logs }))
}

/// The lines as one text; the end of it if it is too long.
async fn read(app: &App, who: &Identity, id: PodId, query: &LogQuery) -> CoreResult<String> {
    let mut lines = app.platform.logs(who, id, query).await?;
    let mut text = String::new();
    while let Some(line) = lines.next().await {
        text.push_str(&line?.text);
        text.push('\n');
        if text.len() > 2 * BYTES_MAX {
            keep_end(&mut text);
        }
    }
    keep_end(&mut text);
    Ok(text)
}

fn keep_end(text: &mut String) {
    let from = text.ceil_char_boundary(text.len().saturating_sub(BYTES_MAX));
    text.drain(..from);
}

fn nothing_yet(pod: &Pod) -> &'static str {
    match pod.phase() {
        Phase::Queued | Phase::Provisioning => "The pod has not started yet, so there is no log.\n",
        Phase::Starting | Phase::Running => "The pod has not written anything yet.\n",
        _ => "The pod does not run, and its last run has written nothing.\n",
    }
}
