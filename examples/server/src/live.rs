//! Answers that go on: events for who reads them, ended within a second when he may not read them any more.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream, StreamExt};
use neuropod::auth::{Action, Credential, Owner};
use neuropod::id::UserId;
use neuropod::{Error, ErrorKind};
use utoipa::ToSchema;

use crate::App;
use crate::caller::credential;
use crate::problem::Problem;

/// The media type of events.
pub(crate) const EVENTS: &str = "text/event-stream";
/// How often it is asked whether somebody may still read.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// A connection on which nothing else is to be said tells so often that it is alive.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// One event of such an answer, as the document has it: OpenAPI 3.1 has no word for a body that is many.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct SentEvent {
    /// Where a reader who comes back goes on.
    id: Option<String>,
    /// What kind it is; `message` if it is not said.
    event: Option<String>,
    /// JSON.
    data: String,
}

/// Who reads, and how: taken beside the [`crate::caller::Caller`].
#[derive(Debug)]
pub(crate) struct Reader {
    credential: Credential,
    /// Whether he asks for events.
    pub(crate) wants_events: bool,
    /// The id of the event that he has read last.
    pub(crate) last_event: Option<String>,
}

impl FromRequestParts<App> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let text = |name: &str| {
            let value = parts.headers.get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        Ok(Self {
            credential: credential(&parts.headers),
            wants_events: accepts_events(&parts.headers),
            last_event: text("last-event-id").filter(|id| !id.is_empty()),
        })
    }
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.to_ascii_lowercase().contains(EVENTS))
}

impl Reader {
    /// What is `owner`'s, as long as the reader may read it and the server does not end.
    pub(crate) fn while_allowed<S: Stream>(
        self,
        app: App,
        owner: UserId,
        stream: S,
    ) -> impl Stream<Item = S::Item> {
        stream.take_until(async move {
            let mut ending = app.ending.clone();
            loop {
                tokio::select! {
                    // Nobody ends it if whoever could is gone.
                    Ok(_) = ending.wait_for(|&end| end) => break,
                    () = tokio::time::sleep(ASK_EVERY) => {}
                }
                if let Err(error) = self.may_read(&app, owner).await
                    && *error.kind() != ErrorKind::Unreachable
                {
                    break;
                }
            }
        })
    }

    async fn may_read(&self, app: &App, owner: UserId) -> Result<(), Error> {
        let auth = app.platform.auth();
        let who = auth.authenticate(&self.credential).await?;
        auth.authorize(&who, Action::Read, Owner::User(owner)).await
    }
}

/// One event as it is sent.
pub(crate) fn event(text: &mut String, kind: Option<&str>, id: Option<&str>, data: &str) {
    for (name, value) in [("event", kind), ("id", id), ("data", Some(data))] {
        if let Some(value) = value {
            text.push_str(name);
            text.push_str(": ");
            text.push_str(value);
            text.push('\n');
        }
    }
    text.push('\n');
}

/// Events, already written, as an answer; with a sign of life when there are none for long.
pub(crate) fn events(events: impl Stream<Item = String> + Send + 'static) -> Response {
    let alive = stream::unfold(Box::pin(events), |mut events| async move {
        match tokio::time::timeout(ALIVE_EVERY, events.next()).await {
            Ok(None) => None,
            Ok(Some(text)) => Some((text, events)),
            Err(_) => Some((":\n\n".to_owned(), events)),
        }
    });
    let bytes = alive.map(|text| Ok::<_, Infallible>(Bytes::from(text)));
    // So that a reader knows at once that he is heard.
    let first = stream::once(async { Ok(Bytes::from_static(b":\n\n")) });
    let body = Body::from_stream(first.chain(bytes));
    ([(header::CONTENT_TYPE, EVENTS)], body).into_response()
}
