//! Stands between the backend and the engine: counts the calls, can be cut, can fall silent, and can
//! stop in the middle of an answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::unique;

/// A socket that leads to another one as long as it is not cut.
#[derive(Debug)]
pub struct Proxy {
    path: PathBuf,
    cut: Arc<watch::Sender<bool>>,
    calls: Arc<AtomicUsize>,
    silence: Arc<Silence>,
    task: AbortHandle,
}

/// What is not passed on, without a word to anybody.
#[derive(Debug, Default)]
struct Silence {
    /// Answers to what was asked before the last of so many times.
    times: AtomicUsize,
    /// All of them.
    total: AtomicBool,
    /// All but the first half of each, and then the connection ends.
    half: AtomicBool,
}

impl Proxy {
    /// To the engine at `host`, which must be a socket.
    pub fn to(host: &str) -> Self {
        let engine = host.strip_prefix("unix://").expect("a socket").to_owned();
        let path = std::env::temp_dir().join(unique("neuropod-proxy"));
        let listener = UnixListener::bind(&path).expect("a socket of our own");
        let cut = Arc::new(watch::Sender::new(false));
        let calls = Arc::new(AtomicUsize::new(0));
        let silence = Arc::new(Silence::default());
        let (sender, count, silent) = (cut.clone(), Arc::clone(&calls), Arc::clone(&silence));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let carry = carry(client, engine.clone(), count.clone(), silent.clone());
                let mut cut = sender.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        biased;
                        _ = cut.wait_for(|cut| *cut) => {}
                        _ = carry => {}
                    }
                });
            }
        });
        let task = task.abort_handle();
        Self {
            path,
            cut,
            calls,
            silence,
            task,
        }
    }

    /// What stands for the engine.
    pub fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// How many calls were made so far.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Breaks every connection and takes no new one, or takes them again.
    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }

    /// Passes nothing more on of the answers that are under way; what is asked from now on is answered.
    pub fn lose_answers(&self) {
        self.silence.times.fetch_add(1, Ordering::Relaxed);
    }

    /// Passes the first half of each answer on and breaks the connection, or passes all on again.
    pub fn halve_answers(&self, halve: bool) {
        self.silence.half.store(halve, Ordering::Relaxed);
    }

    /// Passes no answer on any more.
    pub fn fall_silent(&self) {
        self.silence.total.store(true, Ordering::Relaxed);
    }
}

async fn carry(
    mut client: UnixStream,
    engine: String,
    calls: Arc<AtomicUsize>,
    silence: Arc<Silence>,
) -> std::io::Result<()> {
    let mut engine = UnixStream::connect(engine).await?;
    let (mut from_engine, mut to_engine) = engine.split();
    let (mut from_client, mut to_client) = client.split();
    let asked_at = AtomicUsize::new(0);
    let ask = async {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let n = from_client.read(&mut bytes).await?;
            if n == 0 {
                return to_engine.shutdown().await;
            }
            // A client writes the head of a request at once.
            let heads = bytes[..n]
                .windows(" HTTP/1.1\r\n".len())
                .filter(|w| w == b" HTTP/1.1\r\n");
            let heads = heads.count();
            if heads > 0 {
                asked_at.store(silence.times.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            calls.fetch_add(heads, Ordering::Relaxed);
            to_engine.write_all(&bytes[..n]).await?;
        }
    };
    let answer = async {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let n = from_engine.read(&mut bytes).await?;
            let times = silence.times.load(Ordering::Relaxed);
            let lost = asked_at.load(Ordering::Relaxed) < times;
            if lost || silence.total.load(Ordering::Relaxed) {
                // Nor is the client told that the engine has ended the connection.
                if n == 0 {
                    std::future::pending::<()>().await;
                }
                continue;
            }
            if n == 0 {
                return to_client.shutdown().await;
            }
            if silence.half.load(Ordering::Relaxed) {
                to_client.write_all(&bytes[..n / 2]).await?;
                return Err(std::io::ErrorKind::ConnectionAborted.into());
            }
            to_client.write_all(&bytes[..n]).await?;
        }
    };
    tokio::try_join!(ask, answer).map(drop)
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}
