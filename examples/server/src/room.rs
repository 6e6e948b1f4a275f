//! So many requests at once, and no more: what comes beyond is told at once to come again, so that what is in hand is not late.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use crate::problem::Problem;

/// Many times what keeps the cores busy; the rest of them wait for a store or a backend.
const PLACES: usize = 512;

/// The places of one server.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PLACES)))
    }
}

/// Lets a request in if there is a place. Whether the server is alive can be asked of a full one too.
pub(crate) async fn enter(State(room): State<Room>, request: Request, next: Next) -> Response {
    if request.uri().path().ends_with("/healthz") {
        return next.run(request).await;
    }
    match room.0.try_acquire() {
        Ok(_place) => next.run(request).await,
        Err(_) => {
            let message = "The server is busy; try again in a moment.";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use axum::{Router, middleware};
    use tokio::sync::Notify;

    use super::*;

    async fn ask(app: &Router, path: &str) -> Response {
        use tower::ServiceExt;
        let request = Request::get(path).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn what_finds_no_place_is_told_to_come_again_and_nothing_waits() {
        let end = Arc::new(Notify::new());
        let wait = {
            let end = end.clone();
            move || async move { end.notified().await }
        };
        let app = Router::new()
            .route("/wait", get(wait))
            .route("/healthz", get(async || ()))
            .layer(middleware::from_fn_with_state(Room::default(), enter));
        let inside: Vec<_> = (0..PLACES)
            .map(|_| {
                let app = app.clone();
                tokio::spawn(async move { ask(&app, "/wait").await.status() })
            })
            .collect();
        while !inside.is_empty() && ask(&app, "/nothing").await.status() != 503 {
            tokio::task::yield_now().await;
        }
        let refused = ask(&app, "/wait").await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key("retry-after"));
        assert_eq!(ask(&app, "/healthz").await.status(), StatusCode::OK);
        end.notify_waiters();
        for request in inside {
            assert_eq!(request.await.unwrap(), StatusCode::OK);
        }
        assert_eq!(ask(&app, "/nothing").await.status(), StatusCode::NOT_FOUND);
    }
}
