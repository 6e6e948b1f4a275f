//! A full NeuroPod server, assembled from the library: the routes that existing frontends know, over any [`Platform`].
//!
//! [`router`] nests under any prefix in anybody's own axum program; [`serve`] is the whole server.

mod account;
mod answer;
mod ask;
mod assemble;
mod billing;
mod body;
mod caller;
mod catalogue;
mod config;
mod edge;
mod export;
mod health;
mod idempotency;
mod ledger;
mod logs;
mod page;
mod pods;
mod prices;
mod problem;
mod rate;
mod serve;
mod status;
mod units;
mod view;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use neuropod::Platform;
use neuropod::pod::Resources;
use tower_http::catch_panic::CatchPanicLayer;

pub use config::{Backend, Bills, Config, LogFormat};
pub use ledger::{Command, Ledger, examine};
pub use serve::serve;

use edge::Edge;
use problem::Problem;

/// What the handlers share. They are thin: the rules are the library's.
#[derive(Debug, Clone)]
pub(crate) struct App {
    platform: Platform,
    public_host: Arc<str>,
    resources: Resources,
    development: bool,
    limits: Arc<rate::Limits>,
    /// What keeps everything: the scheme of its address.
    database: Arc<str>,
    started: Instant,
}

/// All routes over `platform`, to be served as they are or nested under a prefix. Logins are limited by address only if
/// the program serves with `into_make_service_with_connect_info::<SocketAddr>()`, as [`serve()`] does.
pub fn router(platform: Platform, config: &Config) -> Router {
    let app = App {
        platform,
        public_host: config.public_host.as_str().into(),
        resources: config.resources(),
        development: config.dev,
        limits: Arc::new(rate::Limits::new(config.dev)),
        database: config.database().into(),
        started: Instant::now(),
    };
    let edge = Edge {
        origins: config.origins().into(),
        local_only: config.dev && !config.dev_exposed,
    };
    let mut routes = Router::new();
    if config.dev {
        routes = routes.route("/api/auth/mock-login", post(account::mock_login));
    }
    routes
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/api/health", get(health::health))
        .route("/api/status", get(status::status))
        .route("/api/status/public", get(health::public_status))
        .route("/api/auth/logout", post(account::logout))
        .route("/api/auth/verify", get(account::verify))
        .route("/api/auth/me", get(account::me))
        .route("/api/pods", post(ask::launch).get(pods::list))
        .route("/api/pods/admin", get(pods::admin_list))
        .route("/api/pods/{pod}", get(pods::one).delete(pods::delete))
        .route("/api/pods/{pod}/start", post(pods::start))
        .route("/api/pods/{pod}/stop", post(pods::stop))
        .route("/api/pods/{pod}/connections", get(pods::connections))
        .route("/api/pods/{pod}/logs", get(logs::logs))
        .route("/api/pods/quote", post(ask::quote))
        .route("/api/billing/balance", get(billing::balance))
        .route("/api/billing/statement", get(billing::statement))
        .route("/api/billing/usage", get(billing::usage))
        .route(
            "/api/billing/budget",
            get(billing::budget)
                .put(billing::set_budget)
                .delete(billing::no_budget),
        )
        .route("/api/billing/export", get(export::export))
        .route("/api/billing/credit", post(billing::credit))
        .route("/api/pricing/history", get(billing::price_history))
        .route("/api/pricing", get(catalogue::pricing).put(prices::update))
        .route("/api/pricing/reset", post(prices::reset))
        .route("/api/pricing/calculate-cost", post(prices::calculate))
        .route("/api/pricing/gpus/available", get(prices::available))
        .route("/api/pricing/gpus/{gpu}", get(prices::one))
        .route("/api/pricing/public", get(catalogue::public_pricing))
        .route("/api/templates", get(catalogue::templates))
        .route("/api/templates/{template}", get(catalogue::template))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(edge, edge::edge))
        .with_state(app)
}

async fn no_such_route() -> Problem {
    Problem::no_such_route()
}

async fn no_such_method(request: Request) -> Problem {
    let message = format!("There is no {} at this address.", request.method());
    Problem::new(
        axum::http::StatusCode::METHOD_NOT_ALLOWED,
        "not_found",
        message,
    )
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
}
