//! The original's envelopes of what went well.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// What was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Data<T> {
    success: bool,
    data: T,
}

/// What was asked for has been done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Said {
    success: bool,
    /// A sentence for a person.
    message: &'static str,
}

/// What has become of something.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Changed<T> {
    success: bool,
    data: T,
    /// A sentence for a person.
    message: &'static str,
}

/// A list, or a page of one.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rows<T> {
    success: bool,
    /// How many are here.
    count: usize,
    data: Vec<T>,
    /// Only in pages: where the next one begins, `null` at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    next_cursor: Option<Option<String>>,
}

/// `{success: true, data}`.
pub(crate) fn data<T>(data: T) -> Json<Data<T>> {
    Json(Data {
        success: true,
        data,
    })
}

/// `{success: true, message}`.
pub(crate) fn said(message: &'static str) -> Json<Said> {
    Json(Said {
        success: true,
        message,
    })
}

/// `{success: true, data, message}`.
pub(crate) fn changed<T>(data: T, message: &'static str) -> Json<Changed<T>> {
    Json(Changed {
        success: true,
        data,
        message,
    })
}

/// `{success: true, count, data}`, and where a page ends.
pub(crate) fn rows<T>(data: Vec<T>, next_cursor: Option<Option<String>>) -> Json<Rows<T>> {
    Json(Rows {
        success: true,
        count: data.len(),
        data,
        next_cursor,
    })
}
