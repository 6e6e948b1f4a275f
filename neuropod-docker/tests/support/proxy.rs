//! Stands between the backend and the engine, and can be cut.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::unique;

/// A socket that leads to another one as long as it is not cut.
#[derive(Debug)]
pub struct Proxy {
    path: PathBuf,
    cut: Arc<watch::Sender<bool>>,
    task: AbortHandle,
}

impl Proxy {
    /// To the engine at `host`, which must be a socket.
    pub fn to(host: &str) -> Self {
        let engine = host.strip_prefix("unix://").expect("a socket").to_owned();
        let path = std::env::temp_dir().join(unique("neuropod-proxy"));
        let listener = UnixListener::bind(&path).expect("a socket of our own");
        let cut = Arc::new(watch::Sender::new(false));
        let sender = cut.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, engine.clone(), sender.subscribe()));
            }
        });
        let task = task.abort_handle();
        Self { path, cut, task }
    }

    /// What stands for the engine.
    pub fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// Breaks every connection and takes no new one, or takes them again.
    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

async fn carry(mut client: UnixStream, engine: String, mut cut: watch::Receiver<bool>) {
    let whole = async {
        let mut engine = UnixStream::connect(engine).await?;
        copy_bidirectional(&mut client, &mut engine).await
    };
    tokio::select! {
        biased;
        _ = cut.wait_for(|cut| *cut) => {}
        _ = whole => {}
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}
