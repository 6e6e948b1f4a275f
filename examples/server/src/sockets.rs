//! Socket.IO on the port of everything else: what an existing frontend's pages live by. Fed by the platform's feed, which
//! tells of each change once.

mod arrived;
mod asked;
mod door;
mod hall;
mod head;
mod payload;
mod seat;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::middleware::map_request;
use socketioxide::SocketIo;

use crate::App;
use crate::config::Config;
use hall::Hall;

/// Packets that wait for one socket. A socket that has room for no more is cut, so it is enough for a burst.
const WAITING: usize = 1024;
/// The longest message of a client, in bytes.
const LONGEST: usize = 64 << 10;
/// The original's: what one answer to a poll and one of its requests may hold.
const PAYLOAD: u64 = 1_000_000;
/// How long a connection may stay without a token.
const UNKNOWN: Duration = Duration::from_secs(10);
/// How long sockets are waited for at the end; what takes nothing any more would be waited for longer.
const FAREWELL: Duration = Duration::from_secs(2);

/// Everybody who is connected to one server.
#[derive(Debug, Clone)]
pub(crate) struct Sockets(Arc<Hall>);

/// How many of them there are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seats(Arc<AtomicU64>);

impl Seats {
    pub(crate) fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn are(&self, taken: usize) {
        self.0.store(taken as u64, Ordering::Relaxed);
    }
}

/// What serves them, to be added to the routes outside of whatever limits how long or how many requests may take: a poll
/// waits for the next event.
pub(crate) fn routes(app: App, config: &Config) -> (Router<App>, Sockets) {
    let (service, io) = SocketIo::builder()
        .max_buffer_size(WAITING)
        .ws_read_buffer_size(1024)
        .ws_max_message_size(LONGEST)
        .ws_max_frame_size(LONGEST)
        .max_payload(PAYLOAD)
        .ping_interval(config.ping_interval)
        .ping_timeout(config.ping_timeout)
        .connect_timeout(UNKNOWN)
        .build_svc();
    let hall = Hall::new(app, io.clone());
    door::open(&io, &hall);
    // Not as a layer: those of nested routers are not asked about addresses that no route has.
    let router = Router::new()
        .route_service("/socket.io/", service)
        .layer(map_request(head::of_its_own));
    (router, Sockets(hall))
}

impl Sockets {
    /// Tells everybody to come back in a moment, and closes.
    pub(crate) async fn close(&self) {
        self.0.say_goodbye();
        if tokio::time::timeout(FAREWELL, self.0.io().close())
            .await
            .is_err()
        {
            tracing::warn!("some sockets take nothing any more, and were not waited for");
        }
    }
}
