//! The original's envelope of what went well.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

#[derive(Serialize)]
struct Envelope<T> {
    success: bool,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize)]
struct Data<T> {
    data: T,
}

/// `{success: true, …}` with the fields of `rest`.
pub(crate) fn success(rest: impl Serialize) -> Response {
    Json(Envelope {
        success: true,
        rest,
    })
    .into_response()
}

/// `{success: true, data}`.
pub(crate) fn data(data: impl Serialize) -> Response {
    success(Data { data })
}
