//! Whether the server is alive, and whether it can do its work.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::App;
use crate::problem::{Problem, Result};

const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /healthz`: this process answers.
pub(crate) async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// `GET /readyz`: store and backend answer too.
pub(crate) async fn ready(State(app): State<App>) -> Result<Json<Value>> {
    let store = tokio::time::timeout(PATIENCE, app.platform.store().installation());
    let backend = tokio::time::timeout(PATIENCE, app.platform.capacity());
    let (store, backend) = tokio::join!(store, backend);
    let silent = match (matches!(store, Ok(Ok(_))), matches!(backend, Ok(Ok(_)))) {
        (true, true) => return Ok(Json(json!({ "status": "ready" }))),
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

/// `GET /api/health`
pub(crate) async fn health(State(app): State<App>) -> Json<Value> {
    Json(json!({
        "status": "ok",
        "message": "NeuroPod is running.",
        "timestamp": app.platform.clock().now(),
        "environment": if app.development { "development" } else { "production" },
    }))
}

/// `GET /api/status/public`
pub(crate) async fn public_status(State(app): State<App>) -> Json<Value> {
    Json(json!({
        "status": "ok",
        "message": "NeuroPod is running.",
        "timestamp": app.platform.clock().now(),
    }))
}
