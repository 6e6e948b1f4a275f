//! `GET /api/events`: what happens, as it happens, as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use neuropod::Time;
use neuropod::event::Event;
use neuropod::feed::{Following, Told};
use neuropod::id::{PodId, UserId};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use utoipa::IntoParams;

use crate::App;
use crate::caller::Visitor;
use crate::live::SentEvent;
use crate::problem::Result;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How often something is sent to show that nothing has happened.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// When to come back, in milliseconds.
const BACK_IN: u32 = 1000;

/// Where to go on.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "what `follow` reads, for the document")]
pub(crate) struct After {
    /// The `id` of the last event that was taken: what was missed since comes first. One that is too old, or none of ours,
    /// is answered by an event `reset`: look at everything anew.
    #[param(rename = "Last-Event-ID", value_type = Option<String>)]
    last_event_id: Option<String>,
}

/// What stands in `data`, the same for everybody who may see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    r#type: &'a str,
    timestamp: Time,
    pod_id: Option<PodId>,
    /// Whose it is.
    user_id: Option<UserId>,
    details: &'a Value,
}

/// What happens, as it happens
///
/// One event for each change that one may see: `podCreated`, `podUpdate`, `podDeleted`, `podGone`, `balanceUpdate`,
/// `lowBalance`, `budgetReached`, `broadcast`, and for administrators `adminNotice`. `reset` says that something may have
/// been left out, `end` why the stream ends: the session has, or the server does, which is there again in a moment.
#[utoipa::path(
    get, path = "/api/events", operation_id = "followEvents", params(After),
    responses((status = 200, content_type = "text/event-stream", body = SentEvent)),
)]
pub(crate) async fn follow(
    State(app): State<App>,
    Visitor(visit): Visitor,
    headers: HeaderMap,
) -> Result<Response> {
    let after = headers.get(LAST_EVENT_ID);
    // Whatever is no text is no place of ours.
    let after = after.map(|after| after.to_str().unwrap_or("?"));
    let following = app.platform.follow(visit, after).await?;
    let mut heartbeat =
        tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream = Stream {
        following,
        heartbeat,
        ending: app.ending.clone(),
        over: false,
    };
    // Whoever comes back before anything has happened goes on from here.
    let first = format!("retry: {BACK_IN}\nid: {}\n\n", stream.following.cursor());
    let texts = stream::once(async { Ok::<_, Infallible>(first) });
    let texts = futures::StreamExt::chain(texts, stream::unfold(stream, Stream::next));
    let kind = HeaderValue::from_static("text/event-stream");
    let headers = [
        (header::CONTENT_TYPE, kind),
        // A proxy that gathers what comes would keep it back.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    Ok((headers, Body::from_stream(texts)).into_response())
}

struct Stream {
    following: Following,
    heartbeat: Interval,
    ending: watch::Receiver<bool>,
    over: bool,
}

impl Stream {
    async fn next(mut self) -> Option<(std::result::Result<String, Infallible>, Self)> {
        if self.over {
            return None;
        }
        let text = tokio::select! {
            biased;
            () = told_to_end(&mut self.ending) => {
                self.over = true;
                end("The server is restarting. Connect again in a moment.")
            }
            told = self.following.next() => match told {
                Told::Event(published) => published.text(event).to_owned(),
                Told::Lagged => format!("event: reset\nid: {}\ndata: {{}}\n\n", self.following.cursor()),
                Told::Ended(why) => {
                    self.over = true;
                    end(why.message())
                }
            },
            _ = self.heartbeat.tick() => ":\n\n".to_owned(),
        };
        Some((Ok(text), self))
    }
}

/// Never, where nobody is left who could tell.
async fn told_to_end(ending: &mut watch::Receiver<bool>) {
    if ending.wait_for(|&ending| ending).await.is_err() {
        std::future::pending().await
    }
}

fn end(message: &str) -> String {
    let data = serde_json::json!({ "message": message });
    format!("event: end\ndata: {data}\n\n")
}

fn event(event: &Event) -> String {
    let Event { cursor, event } = event;
    let kind = serde_json::to_value(event.kind).unwrap_or_default();
    let kind = kind.as_str().unwrap_or("event");
    let data = Data {
        r#type: kind,
        timestamp: event.at,
        pod_id: event.pod,
        user_id: event.owner,
        details: &event.body,
    };
    // On one line, as all of serde_json's text that is not made for people.
    let data = serde_json::to_string(&data).unwrap_or_default();
    format!("event: {kind}\nid: {cursor}\ndata: {data}\n\n")
}
