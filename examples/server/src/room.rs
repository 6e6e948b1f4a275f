//! So many requests at once, and so many that wait for a moment: what comes beyond is told at once to come again, so that what is
//! in hand is not late, and those who ask again at once take no time from it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::problem::Problem;

/// Many times what keeps the cores busy; the rest of them wait for a store or a backend.
const PLACES: usize = 512;
/// Those who wait for a place, in the order they came.
const WAITING: usize = 2_048;
/// Longer than a crowd takes to pass, and shorter than a person notices.
const PATIENCE: Duration = Duration::from_millis(250);

/// The places of one server.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Places>);

#[derive(Debug)]
struct Places {
    inside: Semaphore,
    waiting: Semaphore,
}

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Places {
            inside: Semaphore::new(PLACES),
            waiting: Semaphore::new(WAITING),
        }))
    }
}

impl Places {
    /// A place, at once or in a moment.
    async fn take(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(place) = self.inside.try_acquire() {
            return Some(place);
        }
        let _waits = self.waiting.try_acquire().ok()?;
        let place = tokio::time::timeout(PATIENCE, self.inside.acquire()).await;
        place.ok()?.ok()
    }
}

/// Lets a request in if there is a place. A full one can be asked too whether it is alive, and how it is.
pub(crate) async fn enter(State(room): State<Room>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path.ends_with("/healthz") || path == "/metrics" {
        return next.run(request).await;
    }
    match room.0.take().await {
        Some(_place) => next.run(request).await,
        None => {
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
    use tokio::task::JoinHandle;

    use super::*;

    async fn ask(app: &Router, path: &str) -> Response {
        use tower::ServiceExt;
        let request = Request::get(path).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap()
    }

    /// A full room, how to empty it, and who is inside.
    async fn full() -> (Router, Room, Arc<Notify>, Vec<JoinHandle<StatusCode>>) {
        let end = Arc::new(Notify::new());
        let wait = {
            let end = end.clone();
            move || async move { end.notified().await }
        };
        let room = Room::default();
        let app = Router::new()
            .route("/wait", get(wait))
            .route("/healthz", get(async || ()))
            .layer(middleware::from_fn_with_state(room.clone(), enter));
        let inside = (0..PLACES).map(|_| waits(&app)).collect();
        while room.0.inside.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        (app, room, end, inside)
    }

    fn waits(app: &Router) -> JoinHandle<StatusCode> {
        let app = app.clone();
        tokio::spawn(async move { ask(&app, "/wait").await.status() })
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_place_for_a_moment_is_told_to_come_again() {
        let (app, _room, end, inside) = full().await;
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

    #[tokio::test(start_paused = true)]
    async fn so_many_wait_and_no_more_and_they_have_the_next_places() {
        let (app, room, end, _inside) = full().await;
        let waiting: Vec<_> = (0..WAITING).map(|_| waits(&app)).collect();
        while room.0.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let began = tokio::time::Instant::now();
        let refused = ask(&app, "/wait").await.status();
        assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(began.elapsed(), Duration::ZERO, "it is told at once");
        while waiting.iter().any(|request| !request.is_finished()) {
            tokio::task::yield_now().await;
            end.notify_waiters();
        }
        for request in waiting {
            assert_eq!(request.await.unwrap(), StatusCode::OK);
        }
    }
}
