//! The one error body: `application/problem+json`, a superset of what the original's clients read.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use neuropod::store::Condition;
use neuropod::{Error, ErrorKind, FieldError};
use serde::Serialize;
use utoipa::ToSchema;

/// `Result` of a handler.
pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

/// When to come again to what does not answer now.
const SOON: Duration = Duration::from_secs(1);

/// What a client is told when something can't be done.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    fields: Vec<FieldError>,
    retry_after: Option<Duration>,
}

/// Why something can't be done.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Body {
    /// `urn:neuropod:problem:` and the code.
    r#type: String,
    /// What the status means.
    title: &'static str,
    /// The status again.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// The message again.
    detail: String,
    /// A word for programs, which stays: `validation`, `unauthenticated`, `forbidden`, `account_suspended`, `not_found`,
    /// `invalid_transition`, `insufficient_balance`, `no_capacity`, `gpu_unavailable`, `quota_exceeded`,
    /// `idempotency_conflict`, `rate_limited`, `payload_too_large`, `unavailable` or `internal`.
    #[schema(pattern = "^[a-z_]+$")]
    code: &'static str,
    /// Never `true`.
    success: bool,
    /// A sentence for a person.
    #[schema(min_length = 1)]
    message: String,
    /// What is wrong, a sentence for each field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<String>,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    fields: Vec<FieldError>,
}

impl Problem {
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// A problem with this status, machine word, and sentence for a person.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            fields: Vec::new(),
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(SOON),
        }
    }

    /// Wrong input as a whole.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "validation", message)
    }

    /// There is nothing at this address.
    pub(crate) fn no_such_route() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "There is nothing at this address.",
        )
    }

    /// Too much at once.
    pub(crate) fn rate_limited(retry_after: Duration) -> Self {
        let message = "Too many requests in too short a time; try again a little later.";
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
        }
    }

    /// A fault of ours, without its detail.
    pub(crate) fn internal() -> Self {
        let message = "Something went wrong on our side; it has been written to the log.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl From<Error> for Problem {
    fn from(e: Error) -> Self {
        let (status, code) = classify(e.kind());
        if status.is_server_error() {
            tracing::error!(error = ?e, "a request failed");
        }
        if code == "internal" {
            return Self::internal();
        }
        Self {
            fields: e.fields().to_vec(),
            ..Self::new(status, code, e.message())
        }
    }
}

fn classify(kind: &ErrorKind) -> (StatusCode, &'static str) {
    match kind {
        ErrorKind::Invalid | ErrorKind::Refused(_) => (StatusCode::BAD_REQUEST, "validation"),
        ErrorKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        ErrorKind::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
        ErrorKind::Suspended => (StatusCode::FORBIDDEN, "account_suspended"),
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        ErrorKind::InvalidTransition => (StatusCode::CONFLICT, "invalid_transition"),
        ErrorKind::InsufficientBalance => (StatusCode::PAYMENT_REQUIRED, "insufficient_balance"),
        ErrorKind::NoCapacity => (StatusCode::CONFLICT, "no_capacity"),
        ErrorKind::GpuUnavailable => (StatusCode::CONFLICT, "gpu_unavailable"),
        ErrorKind::QuotaExceeded => (StatusCode::TOO_MANY_REQUESTS, "quota_exceeded"),
        ErrorKind::IdempotencyConflict => {
            (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_conflict")
        }
        ErrorKind::Condition(condition) => match **condition {
            Condition::Hold { .. } | Condition::Funded { .. } => {
                (StatusCode::PAYMENT_REQUIRED, "insufficient_balance")
            }
            Condition::FewerPods { .. } => (StatusCode::TOO_MANY_REQUESTS, "quota_exceeded"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        },
        // This installation does not do it, whoever asks: no fault of the server, and none that passes.
        ErrorKind::Unsupported => (StatusCode::CONFLICT, "unavailable"),
        ErrorKind::Conflict | ErrorKind::Retry(_) | ErrorKind::Unreachable => {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: format!("urn:neuropod:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: self.message.clone(),
            code: self.code,
            success: false,
            message: self.message,
            errors: self.fields.iter().map(|f| f.message.clone()).collect(),
            fields: self.fields,
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after {
            // Whole seconds, and never too early.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs() + 1));
        }
        response
    }
}
