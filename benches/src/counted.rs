//! A way to an engine on which its calls are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// Ends the first line of every request, and stands in no body that is JSON.
const REQUEST: &[u8] = b" HTTP/1.1\r\n";

/// Listens, passes everything on to the engine, and counts.
#[derive(Debug)]
pub struct Counted {
    host: String,
    calls: Arc<AtomicU64>,
}

impl Counted {
    /// Stands before the engine at `host`.
    pub async fn before(host: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let (calls, engine) = (Arc::new(AtomicU64::new(0)), host.to_owned());
        let counter = calls.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, engine.clone(), counter.clone()));
            }
        });
        Self {
            host: format!("tcp://{address}"),
            calls,
        }
    }

    /// Where clients reach it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

async fn serve(client: TcpStream, engine: String, calls: Arc<AtomicU64>) -> std::io::Result<()> {
    match engine.strip_prefix("unix://") {
        Some(path) => pass_on(client, UnixStream::connect(path).await?, calls).await,
        None => {
            let address = engine.trim_start_matches("tcp://");
            pass_on(client, TcpStream::connect(address).await?, calls).await
        }
    }
}

async fn pass_on(
    client: TcpStream,
    engine: impl AsyncRead + AsyncWrite,
    calls: Arc<AtomicU64>,
) -> std::io::Result<()> {
    let (mut asks, mut hears) = client.into_split();
    let (mut answers, mut takes) = tokio::io::split(engine);
    let there = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n = asks.read(&mut buffer).await?;
            if n == 0 {
                return takes.shutdown().await;
            }
            let lines = buffer[..n].windows(REQUEST.len());
            let requests = lines.filter(|text| *text == REQUEST).count();
            calls.fetch_add(requests as u64, Ordering::Relaxed);
            takes.write_all(&buffer[..n]).await?;
        }
    };
    let back = async { tokio::io::copy(&mut answers, &mut hears).await.map(drop) };
    tokio::try_join!(there, back).map(drop)
}
