//! `GET /api/pods/:podId/logs`: the end of a log as one text.

use axum::extract::State;
use axum::response::Response;
use futures::StreamExt;
use neuropod::auth::Identity;
use neuropod::id::PodId;
use neuropod::orchestrator::LogQuery;
use neuropod::pod::{Phase, Pod};
use neuropod::{Error, Result as CoreResult};
use serde::Deserialize;
use serde_json::json;

use crate::App;
use crate::answer;
use crate::caller::{Caller, Id};
use crate::page::Search;
use crate::pods::BACKEND_PATIENCE;
use crate::problem::{Problem, Result};

const LINES: u32 = 500;
const LINES_MAX: u32 = 5000;
const BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Deserialize)]
pub(crate) struct Ask {
    tail: Option<String>,
}

/// `GET /api/pods/:podId/logs`
pub(crate) async fn logs(
    State(app): State<App>,
    Caller(who): Caller,
    Id(id): Id<PodId>,
    Search(ask): Search<Ask>,
) -> Result<Response> {
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
    let text = text.map_err(late)??;
    let logs = if text.is_empty() {
        nothing_yet(&pod)
    } else {
        &text
    };
    Ok(answer::data(json!({ "logs": logs })))
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
