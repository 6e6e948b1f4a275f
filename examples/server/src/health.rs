//! Whether the server is alive, and whether it can do its work.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use neuropod::Time;
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::problem::{Problem, Result};

const PATIENCE: Duration = Duration::from_secs(2);

/// `ok` or `ready`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Alive {
    status: &'static str,
}

/// That the server answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `development` or `production`; not in the public status.
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'static str>,
    /// A sentence for a person.
    message: &'static str,
    /// `ok`
    status: &'static str,
    timestamp: Time,
}

/// Whether this process answers
#[utoipa::path(get, path = "/healthz", operation_id = "alive", security(()), responses((status = 200, body = Alive)))]
pub(crate) async fn alive() -> Json<Alive> {
    Json(Alive { status: "ok" })
}

/// Whether store and backend answer too
#[utoipa::path(get, path = "/readyz", operation_id = "ready", security(()), responses((status = 200, body = Alive)))]
pub(crate) async fn ready(State(app): State<App>) -> Result<Json<Alive>> {
    let store = tokio::time::timeout(PATIENCE, app.platform.store().installation());
    let backend = tokio::time::timeout(PATIENCE, app.platform.capacity());
    let (store, backend) = tokio::join!(store, backend);
    let silent = match (matches!(store, Ok(Ok(_))), matches!(backend, Ok(Ok(_)))) {
        (true, true) => return Ok(Json(Alive { status: "ready" })),
        (false, true) => "The store does not answer.",
        (true, false) => "The backend that runs containers does not answer.",
        (false, false) => "Neither the store nor the backend that runs containers answers.",
    };
    Err(Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        silent,
    ))
}

/// Whether the server answers, and in which mode
#[utoipa::path(get, path = "/api/health", operation_id = "health", security(()), responses((status = 200, body = Health)))]
pub(crate) async fn health(State(app): State<App>) -> Json<Health> {
    Json(Health::of(&app, Some(app.environment())))
}

/// Whether the server answers
#[utoipa::path(get, path = "/api/status/public", operation_id = "publicStatus", security(()), responses((status = 200, body = Health)))]
pub(crate) async fn public_status(State(app): State<App>) -> Json<Health> {
    Json(Health::of(&app, None))
}

impl Health {
    fn of(app: &App, environment: Option<&'static str>) -> Self {
        Self {
            environment,
            message: "NeuroPod is running.",
            status: "ok",
            timestamp: app.platform.clock().now(),
        }
    }
}
