//! The whole server: listens, drives the loops, and ends in good order.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::{ListenerExt, TapIo};
use neuropod::{Error, Result};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::Config;
use crate::{assemble, router_with_open};

/// What requests and passes under way have left once the server is told to end, out of the ten seconds that
/// supervisors give before they kill.
const GRACE: Duration = Duration::from_secs(8);

/// How long a client may leave what was sent to it in its hands before its connection is given up.
const TAKES_NOTHING: Duration = Duration::from_secs(15);

/// Makes connections of `listener` end when their client takes nothing for 15 seconds. Nothing else ends them: a write that
/// waits holds the socket, its place in memory, and a shutdown.
pub fn patient(listener: TcpListener) -> TapIo<TcpListener, fn(&mut TcpStream)> {
    listener.tap_io(give_up as fn(&mut TcpStream))
}

fn give_up(stream: &mut TcpStream) {
    let socket = SockRef::from(&*stream);
    let set = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_user_timeout(Some(TAKES_NOTHING)));
    if let Err(error) = set {
        tracing::debug!(%error, "a connection has no time limit");
    }
}

/// Serves until SIGTERM or SIGINT, then ends within ten seconds.
///
/// # Errors
/// If the configuration is not one to serve with, or store, backend or address can't be had.
pub async fn serve(config: Config) -> Result<()> {
    let address = config.address()?;
    let platform = assemble::platform(&config).await?;
    let refused = |e| Error::invalid("", format!("Can't listen on {address}.")).caused_by(e);
    // Before anybody can know that it is there, and want its end.
    let signalled = signalled()?;
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    tracing::info!(url = %format!("http://{address}"), "listening");
    if config.dev {
        tracing::warn!("development mode: anybody who reaches this server signs in as anybody");
    }

    let (end, ended) = watch::channel(false);
    let told = |mut ended: watch::Receiver<bool>| async move {
        let _ = ended.wait_for(|&end| end).await;
    };
    let (app, open) = router_with_open(platform.clone(), &config);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let http = axum::serve(patient(listener), app).with_graceful_shutdown(told(ended.clone()));
    let http = tokio::spawn(http.into_future());
    let loops = tokio::spawn(async move { platform.run(told(ended)).await });

    signalled.await;
    tracing::info!("ending");
    end.send_replace(true);
    let all = async { tokio::join!(open.end(), http, loops) };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!(
            "some requests or passes were cut off; the next start goes on from what is written down"
        );
    }
    Ok(())
}

/// Hears from now on whether somebody wants the end; to be awaited until then.
fn signalled() -> Result<impl Future<Output = ()>> {
    let listen =
        |kind| signal(kind).map_err(|e| Error::internal("Signals can't be heard.").caused_by(e));
    let (mut term, mut int) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}
