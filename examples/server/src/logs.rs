//! `GET /api/pods/:podId/logs`: the end of a log as one text, a log as a file, and a log that is followed.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::{BoxStream, Stream};
use neuropod::activity::Did;
use neuropod::auth::Identity;
use neuropod::id::PodId;
use neuropod::orchestrator::{LogLine, LogQuery};
use neuropod::pod::{Phase, Pod};
use neuropod::{Error, LogFrom, LogItem, Result as CoreResult, Time};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::answer::{self, Data};
use crate::caller::{Caller, Id};
use crate::live::{self, Reader, SentEvent};
use crate::openapi::Refused;
use crate::page::{Search, instant};
use crate::pods::BACKEND_PATIENCE;
use crate::problem::{Problem, Result};

const LINES: u32 = 500;
const LINES_MAX: u32 = 5000;
const BYTES_MAX: usize = 1 << 20;

/// How much of it, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// How many lines from its end; 500, if it is not said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 5000)]
    tail: Option<String>,
    /// Only what was written from then on: a day or an instant in UTC.
    since: Option<String>,
    /// `true`: go on with what comes, as events. So does `Accept: text/event-stream`.
    #[param(value_type = Option<bool>)]
    follow: Option<String>,
    /// `true`: each line with its time before it.
    #[param(value_type = Option<bool>)]
    timestamps: Option<String>,
    /// `true`: all that is there of the last run, as a file.
    #[param(value_type = Option<bool>)]
    download: Option<String>,
}

/// The end of a log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Logs {
    /// Lines, or a sentence that says why there are none; the last 1 MiB at most.
    logs: String,
}

/// A log
///
/// Its end as one text, all of it as a file, or, with `Accept: text/event-stream` or `follow`, what is written from now on
/// over stop and start: an event for each line, whose `id` is its place (send it back in `Last-Event-ID` to go on there),
/// with `{text, stderr, at}`; and events `gap` with `{lost}` where lines are missing, `null` where nobody has counted them.
#[utoipa::path(
    get, path = "/api/pods/{podId}/logs", operation_id = "getPodLogs",
    params(("podId" = PodId, Path), Asked, ("Last-Event-ID" = Option<String>, Header, description = "Go on after this line.")),
    responses(
        (status = 200, content(
            (Data<Logs> = "application/json"), (String = "text/plain"), (SentEvent = "text/event-stream"),
        )),
        Refused<404>,
    ),
)]
pub(crate) async fn logs(
    State(app): State<App>,
    Caller(who): Caller,
    Id(id): Id<PodId>,
    reader: Reader,
    Search(asked): Search<Asked>,
) -> Result<Response> {
    let tail = match asked.tail.as_deref().map(str::parse) {
        None => None,
        Some(Ok(tail)) if (1..=LINES_MAX).contains(&tail) => Some(tail),
        Some(_) => {
            let message = format!("\"tail\" is a whole number, 1 to {LINES_MAX}.");
            return Err(Problem::validation(message));
        }
    };
    let since = instant("since", asked.since.as_deref())?;
    let follow = flag("follow", asked.follow.as_deref())?;
    let timestamps = flag("timestamps", asked.timestamps.as_deref())?;
    let download = flag("download", asked.download.as_deref())?;
    let pod = app.platform.pod(&who, id).await?;
    app.platform
        .note_look(&who, Did::GetPodLogs, json!({ "podId": id }));
    if follow || reader.wants_events {
        let last = reader.last_event.as_deref().map(str::parse).transpose();
        let last = last.map_err(|_| {
            Problem::validation("\"Last-Event-ID\" is the id of an event of this log.")
        })?;
        let from = match (last, since) {
            (Some(place), _) => LogFrom::After(place),
            (None, Some(at)) => LogFrom::Since(at),
            (None, None) => LogFrom::Tail(tail.unwrap_or(LINES)),
        };
        let lines = app.platform.follow_logs(&who, id, from).await?;
        let events = reader.while_allowed(app, pod.owner, lines.map(events));
        return Ok(live::events(events));
    }
    if download {
        let query = LogQuery {
            tail,
            ..LogQuery::default()
        };
        let lines = app.platform.logs(&who, id, &query).await?;
        let name = format!("attachment; filename=\"{id}.log\"");
        let headers = [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
            (header::CONTENT_DISPOSITION, name),
        ];
        let body = Body::from_stream(file(lines, since, timestamps));
        return Ok((headers, body).into_response());
    }
    let query = LogQuery {
        tail: Some(tail.unwrap_or(LINES)),
        ..LogQuery::default()
    };
    let text = read(&app, &who, id, &query, since, timestamps, BYTES_MAX);
    let text = tokio::time::timeout(BACKEND_PATIENCE, text).await;
    let late = |_| Error::unreachable("The backend does not give the log in time.");
    let mut logs = text.map_err(late)??;
    if logs.is_empty() {
        logs = nothing_yet(&pod).to_owned();
    }
    Ok(answer::data(Logs { logs }).into_response())
}

fn flag(name: &str, text: Option<&str>) -> Result<bool> {
    match text {
        None | Some("false") => Ok(false),
        Some("true" | "") => Ok(true),
        Some(_) => Err(Problem::validation(format!("\"{name}\" is true or false."))),
    }
}

/// Items as events.
fn events(items: CoreResult<Vec<LogItem>>) -> String {
    let mut text = String::new();
    let Ok(items) = items else {
        // The answer ends with it, and its reader comes again.
        return text;
    };
    for item in items {
        match item {
            LogItem::Line(line) => {
                let data = json!({ "text": line.text, "stderr": line.stderr, "at": at(&line) });
                let id = line.cursor.to_string();
                live::event(&mut text, None, Some(&id), &data.to_string());
            }
            LogItem::Gap { lost } => {
                let data = json!({ "lost": lost }).to_string();
                live::event(&mut text, Some("gap"), None, &data);
            }
        }
    }
    text
}

fn at(line: &LogLine) -> Time {
    Time::from_micros(line.cursor.nanos.div_euclid(1000))
}

/// A line as it is shown, if it is late enough.
fn shown(line: &LogLine, since: Option<Time>, timestamps: bool, to: &mut String) {
    if since.is_some_and(|since| at(line) < since) {
        return;
    }
    if timestamps {
        to.push_str(&at(line).to_string());
        to.push(' ');
    }
    to.push_str(&line.text);
    to.push('\n');
}

/// All lines, as fast as they are read.
fn file(
    lines: BoxStream<'static, CoreResult<LogLine>>,
    since: Option<Time>,
    timestamps: bool,
) -> impl Stream<Item = CoreResult<String>> {
    lines.ready_chunks(256).map(move |chunk| {
        let mut text = String::new();
        for line in chunk {
            shown(&line?, since, timestamps, &mut text);
        }
        Ok(text)
    })
}

/// The lines as one text; the end of it if it is too long.
pub(crate) async fn read(
    app: &App,
    who: &Identity,
    id: PodId,
    query: &LogQuery,
    since: Option<Time>,
    timestamps: bool,
    most: usize,
) -> CoreResult<String> {
    let mut lines = app.platform.logs(who, id, query).await?;
    let mut text = String::new();
    while let Some(line) = lines.next().await {
        shown(&line?, since, timestamps, &mut text);
        if text.len() > 2 * most {
            keep_end(&mut text, most);
        }
    }
    keep_end(&mut text, most);
    Ok(text)
}

fn keep_end(text: &mut String, most: usize) {
    let from = text.ceil_char_boundary(text.len().saturating_sub(most));
    text.drain(..from);
}

/// Why a log is empty.
pub(crate) fn nothing_yet(pod: &Pod) -> &'static str {
    match pod.phase() {
        Phase::Queued | Phase::Provisioning => "The pod has not started yet, so there is no log.\n",
        Phase::Starting | Phase::Running => "The pod has not written anything yet.\n",
        _ => "The pod does not run, and its last run has written nothing.\n",
    }
}
