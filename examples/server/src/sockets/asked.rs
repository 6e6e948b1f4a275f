//! What clients may ask for: to be told of a pod, or not any more, its log, and whether we are there. Each is answered by
//! events, and acknowledged by exactly one `null`, whatever it was.

use std::sync::Arc;
use std::time::Duration;

use neuropod::activity::Did;
use neuropod::id::PodId;
use neuropod::metrics::Point;
use neuropod::orchestrator::LogQuery;
use neuropod::pod::{Phase, Pod};
use neuropod::{Error, ErrorKind};
use serde_json::{Value, json};
use socketioxide::extract::SocketRef;

use super::arrived::Asked;
use super::hall::Hall;
use super::payload::PodUpdate;
use super::seat::Seat;
use crate::logs;
use crate::pods::BACKEND_PATIENCE;

/// The lines of a log that are sent.
const LINES: u32 = 500;
/// And so much of them, since many of these may wait for a client that reads slowly.
const LOG_BYTES: usize = 256 << 10;
/// How long what a pod uses is waited for before it is told without: a page asks for many at once.
const STATS_PATIENCE: Duration = Duration::from_millis(300);

/// Why something was not done, as the original's clients know it.
#[derive(Debug)]
struct Failed {
    r#type: &'static str,
    message: String,
    pod: Option<String>,
}

impl Failed {
    fn invalid() -> Self {
        Self {
            r#type: "INVALID_REQUEST",
            message: "\"podId\" is needed.".to_owned(),
            pod: None,
        }
    }

    /// A stranger can't tell a pod that is not there from somebody else's.
    fn of(e: &Error, pod: &str, otherwise: &'static str) -> Self {
        let (r#type, message) = match e.kind() {
            ErrorKind::NotFound | ErrorKind::Invalid => ("POD_NOT_FOUND", "There is no such pod."),
            ErrorKind::Forbidden | ErrorKind::Suspended => ("ACCESS_DENIED", "This is not yours."),
            _ => (otherwise, "That does not work now. Try again in a moment."),
        };
        Self {
            r#type,
            message: message.to_owned(),
            pod: Some(pod.to_owned()),
        }
    }
}

fn pod_id(data: &Value) -> Result<&str, Failed> {
    let id = data.get("podId").and_then(Value::as_str);
    id.filter(|id| !id.is_empty()).ok_or_else(Failed::invalid)
}

impl Hall {
    pub(super) async fn answer(self: &Arc<Self>, socket: &SocketRef, seat: &Seat, asked: Asked) {
        if seat.is_over() {
            return;
        }
        let Asked { event, data, ack } = asked;
        let now = self.app().now();
        let who = seat.visit.who().user.id.to_string();
        let limits = &self.app().limits;
        let done = match event.as_str() {
            "subscribe" | "requestLogs" if limits.questions.take(&who, now).is_err() => {
                Err(Failed {
                    r#type: "RATE_LIMITED",
                    message: "Too many requests in too short a time; try again a little later."
                        .to_owned(),
                    pod: data.get("podId").and_then(Value::as_str).map(str::to_owned),
                })
            }
            "subscribe" => self.subscribe(socket, seat, &data).await,
            "unsubscribe" => self.unsubscribe(socket, seat, &data),
            "requestLogs" => self.send_log(socket, seat, &data).await,
            "ping" => {
                self.say(socket, seat, "pong", &json!({ "timestamp": now }));
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(failed) = done {
            let mut error = json!({ "type": failed.r#type, "message": failed.message });
            if let Some(pod) = failed.pod {
                error["podId"] = pod.into();
            }
            self.say(socket, seat, "error", &error);
        }
        if ack.send(&()).is_err() {
            self.cut(socket, seat);
        }
    }

    async fn subscribe(
        self: &Arc<Self>,
        socket: &SocketRef,
        seat: &Seat,
        data: &Value,
    ) -> Result<(), Failed> {
        let id = pod_id(data)?;
        let failed = |e: Error| Failed::of(&e, id, "SUBSCRIPTION_ERROR");
        let pod: PodId = id.parse().map_err(failed)?;
        let platform = &self.app().platform;
        let who = seat.visit.who();
        platform.pod(who, pod).await.map_err(failed)?;
        socket.join(self.pod_room(pod));
        // Read again: what happens from now on is told, so nothing is missed between the two.
        let row = match platform.pod(who, pod).await {
            Ok(row) => row,
            Err(e) => {
                socket.leave(self.pod_room(pod));
                return Err(failed(e));
            }
        };
        let usage = match row.phase() {
            Phase::Running => self.usage(&row).await,
            _ => None,
        };
        let update = PodUpdate::with_stats(&row, usage.as_deref(), self.app());
        self.say(socket, seat, "podUpdate", &update);
        let told = json!({ "podId": pod, "message": "You are told what becomes of this pod." });
        self.say(socket, seat, "subscribed", &told);
        self.tell_usage(who, pod);
        Ok(())
    }

    async fn usage(&self, pod: &Pod) -> Option<Arc<Point>> {
        let usage = self.app().platform.usage_of(pod);
        let measured = tokio::time::timeout(STATS_PATIENCE, usage).await;
        measured.ok().and_then(Result::ok).flatten()
    }

    fn unsubscribe(&self, socket: &SocketRef, seat: &Seat, data: &Value) -> Result<(), Failed> {
        let id = pod_id(data)?;
        // Of anything else nobody is a member.
        if let Ok(pod) = id.parse() {
            socket.leave(self.pod_room(pod));
        }
        let told = json!({ "podId": id, "message": "You are not told of this pod any more." });
        self.say(socket, seat, "unsubscribed", &told);
        Ok(())
    }

    async fn send_log(&self, socket: &SocketRef, seat: &Seat, data: &Value) -> Result<(), Failed> {
        let id = pod_id(data)?;
        let failed = |e: Error| Failed::of(&e, id, "LOGS_ERROR");
        let pod: PodId = id.parse().map_err(failed)?;
        let app = self.app();
        let who = seat.visit.who();
        let row: Pod = app.platform.pod(who, pod).await.map_err(failed)?;
        let query = LogQuery {
            tail: Some(LINES),
            ..LogQuery::default()
        };
        let read = logs::read(app, who, pod, &query, None, false, LOG_BYTES);
        let late = |_| Error::unreachable("The backend does not give the log in time.");
        let read = tokio::time::timeout(BACKEND_PATIENCE, read).await;
        let mut text = read.map_err(late).flatten().map_err(failed)?;
        if text.is_empty() {
            text = logs::nothing_yet(&row).to_owned();
        }
        app.platform
            .note_look(who, Did::GetPodLogs, json!({ "podId": pod }));
        let log = json!({ "podId": pod, "logs": text, "timestamp": app.now() });
        self.say(socket, seat, "podLogs", &log);
        Ok(())
    }
}
