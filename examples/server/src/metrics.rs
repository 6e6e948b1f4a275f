//! `GET /api/pods/:podId/metrics`: what a pod used over time, and live.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::stream;
use neuropod::Time;
use neuropod::id::PodId;
use neuropod::metrics::{MetricsQuery, Point, Watch};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::answer::{self, Data};
use crate::caller::{Caller, Id};
use crate::live::{self, Reader, SentEvent};
use crate::openapi::Refused;
use crate::page::{Search, instant};
use crate::problem::{Problem, Result};

/// Which span of time.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Span {
    /// From then on: a day or an instant in UTC; ten minutes before `to`, if it is not said.
    from: Option<String>,
    /// Before that; now, if it is not said.
    to: Option<String>,
    /// One point for each so many seconds; what gives 600 at most, if it is not said. 1,500 points at most.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 604_800)]
    step: Option<String>,
}

/// What a pod used over time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metrics {
    pod_id: PodId,
    from: Time,
    to: Time,
    /// Seconds from a point to the next.
    step: u64,
    /// In the order of time. Where nothing was measured there is no point, and what can't be measured is `null`.
    points: Vec<Point>,
}

/// What a pod used over time
///
/// With `Accept: text/event-stream` what it uses now, once a second: events `usage`, each with a point, or `null` once the
/// pod does not run.
#[utoipa::path(
    get, path = "/api/pods/{podId}/metrics", operation_id = "getPodMetrics", params(("podId" = PodId, Path), Span),
    responses(
        (status = 200, content((Data<Metrics> = "application/json"), (SentEvent = "text/event-stream"))), Refused<404>,
    ),
)]
pub(crate) async fn metrics(
    State(app): State<App>,
    Caller(who): Caller,
    Id(id): Id<PodId>,
    reader: Reader,
    Search(asked): Search<Span>,
) -> Result<Response> {
    let query = MetricsQuery {
        from: instant("from", asked.from.as_deref())?,
        to: instant("to", asked.to.as_deref())?,
        step: step(asked.step.as_deref())?,
    };
    if reader.wants_events {
        let owner = app.platform.pod(&who, id).await?.owner;
        let watch = app.platform.watch_usage(&who, id).await?;
        return Ok(live::events(reader.while_allowed(
            app,
            owner,
            points(watch),
        )));
    }
    let series = app.platform.usage_over_time(&who, id, &query).await?;
    let metrics = Metrics {
        pod_id: id,
        from: series.from,
        to: series.to,
        step: series.step.as_secs(),
        points: series.points,
    };
    Ok(answer::data(metrics).into_response())
}

fn step(text: Option<&str>) -> Result<Option<Duration>> {
    let week = 7 * 24 * 3600;
    let read = |text: &str| match text.parse() {
        Ok(seconds) if (1..=week).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(Problem::validation(format!(
            "\"step\" is a whole number of seconds, 1 to {week}."
        ))),
    };
    text.map(read).transpose()
}

/// What is measured from now on, and first what is known.
fn points(watch: Watch) -> impl futures::Stream<Item = String> {
    let known = watch.latest();
    stream::unfold((watch, known), |(mut watch, known)| async move {
        let point = match known {
            Some(known) => Some(known),
            None => watch.next().await,
        };
        let data = serde_json::to_string(&point.as_deref()).expect("plain data");
        let mut text = String::new();
        live::event(&mut text, Some("usage"), None, &data);
        Some((text, (watch, None)))
    })
}
