//! A full NeuroPod server, assembled from the library: the routes that existing frontends know, over any [`Platform`].
//!
//! [`router`] nests under any prefix in anybody's own axum program; [`serve`] is the whole server.

mod account;
mod admin;
mod amount;
mod answer;
mod ask;
mod assemble;
mod billing;
mod body;
mod caller;
mod catalogue;
mod client;
mod config;
mod docs;
mod edge;
mod etag;
mod events;
mod export;
mod exposition;
mod google;
mod health;
mod idempotency;
mod ledger;
mod live;
mod logs;
mod metrics;
mod openapi;
mod page;
mod pods;
mod price_view;
mod prices;
mod problem;
mod prometheus;
mod rate;
mod room;
mod routes;
mod seed;
mod serve;
mod sockets;
mod status;
mod templates;
mod traces;
mod traffic;
mod units;
mod users;
mod view;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use neuropod::pod::{Resources, Secret};
use neuropod::{Platform, Time};
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;

pub use config::{Backend, Bills, Cluster, Config, Exposed, Google, LogFormat};
pub use ledger::{Command, Ledger, examine};
pub use seed::seed;
pub use serve::{patient, serve};
pub use traces::Traces;

use edge::Edge;
use problem::Problem;
use room::Room;
use sockets::{Seats, Sockets};
use traffic::Traffic;

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
    /// Where pods run on a cluster, if they do.
    namespace: Option<Arc<str>>,
    started: Instant,
    /// Who has it may read the figures.
    metrics_token: Option<Secret>,
    /// Whether figures name pods and their owners.
    metrics_pods: bool,
    traffic: Traffic,
    seats: Seats,
    /// Whether what stays open is to end.
    ending: watch::Receiver<bool>,
}

/// What a server keeps open: sockets and streams of events.
#[derive(Debug, Clone)]
pub struct Open {
    sockets: Sockets,
    end: watch::Sender<bool>,
}

impl Open {
    /// Tells sockets and streams to come back in a moment, and ends them, within two seconds whatever they do. Before a
    /// graceful shutdown, which would wait for them for ever.
    pub async fn end(&self) {
        self.end.send_replace(true);
        self.sockets.close().await;
    }
}

impl App {
    fn now(&self) -> Time {
        self.platform.clock().now()
    }

    /// The original's word for the mode.
    pub(crate) fn environment(&self) -> &'static str {
        match self.development {
            true => "development",
            false => "production",
        }
    }
}

/// All routes over `platform`, to be served as they are or nested under a prefix. Logins are limited by address only if
/// the program serves with `into_make_service_with_connect_info::<SocketAddr>()`, as [`serve()`] does. Where the
/// configuration names a client id at Google, the platform's [`neuropod::Auth`] is to believe ID tokens:
/// [`Config::provider`] makes whoever vouches for them.
///
/// Two things are for the program that serves them. Sockets whose client takes nothing any more hold their connection until
/// TCP gives it up: [`patient`] makes a listener do that within 15 seconds. And streams and sockets do not end by
/// themselves: [`router_with_open`] answers what ends them.
pub fn router(platform: Platform, config: &Config) -> Router {
    router_with_open(platform, config).0
}

/// The same, and what ends the sockets and streams that it keeps open.
pub fn router_with_open(platform: Platform, config: &Config) -> (Router, Open) {
    let (end, ending) = watch::channel(false);
    let routes = routes::routes(&platform, config);
    let app = App {
        platform,
        public_host: config.public_host.as_str().into(),
        resources: config.resources(),
        development: config.dev,
        limits: Arc::new(rate::Limits::new(config.dev)),
        database: config.database().into(),
        namespace: config.namespace().map(Into::into),
        started: Instant::now(),
        metrics_token: config.metrics_token().cloned(),
        metrics_pods: config.metrics_pods,
        traffic: Traffic::default(),
        seats: Seats::default(),
        ending,
    };
    let edge = Edge {
        origins: config.origins().into(),
        local_only: config.dev && !config.dev_exposed,
        traffic: app.traffic.clone(),
    };
    let (waiting, sockets) = sockets::routes(app.clone(), config);
    let router = routes
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(Room::default(), room::enter))
        // Polls wait, and would take the room of others.
        .merge(waiting)
        .layer(middleware::from_fn_with_state(edge, edge::edge))
        .with_state(app);
    (router, Open { sockets, end })
}

/// The OpenAPI document of a server that has all operations, as the repository keeps it.
pub fn document() -> String {
    docs::text(&routes::document())
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
