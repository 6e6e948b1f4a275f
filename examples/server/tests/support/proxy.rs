//! A way to a server that a test cuts, or leads to another one.

#![allow(dead_code)] // each test takes what it needs

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Listens on a port of its own, and passes everything on.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    to: Arc<Mutex<Option<SocketAddr>>>,
    /// How often all connections were cut.
    cuts: watch::Sender<u32>,
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            to: Arc::new(Mutex::new(Some(server))),
            cuts: watch::Sender::new(0),
        };
        let serves = proxy.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let Some(to) = *serves.to.lock().unwrap() else {
                    continue;
                };
                let mut cuts = serves.cuts.subscribe();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(to).await else {
                        return;
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        proxy
    }

    /// Cuts all connections, and lets none through until it leads somewhere again.
    pub(crate) fn cut(&self) {
        *self.to.lock().unwrap() = None;
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Leads there from now on.
    pub(crate) fn lead_to(&self, server: SocketAddr) {
        *self.to.lock().unwrap() = Some(server);
    }
}
