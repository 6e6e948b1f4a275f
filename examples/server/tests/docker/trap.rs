//! Stands between the server and the engine, and tells when a certain call is made.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// What a trap waits for: the method and a part of the path.
pub(crate) type Call = (&'static str, &'static str);

pub(crate) struct Trap {
    path: PathBuf,
    armed: Arc<Mutex<Option<Armed>>>,
    task: AbortHandle,
}

struct Armed {
    call: Call,
    /// Whether the call never gets there.
    holds: bool,
    sprung: oneshot::Sender<()>,
}

impl Trap {
    /// A socket at `path` that leads to the one at `engine`.
    pub(crate) fn new(path: PathBuf, engine: PathBuf) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let armed = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&armed);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (engine, armed) = (engine.clone(), Arc::clone(&shared));
                tokio::spawn(async move { carry(client, &engine, &armed).await });
            }
        });
        Self {
            path,
            armed,
            task: task.abort_handle(),
        }
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// Waits for the next such call from now on; with `holds` it does not get to the engine.
    pub(crate) fn arm(&self, call: Call, holds: bool) -> oneshot::Receiver<()> {
        let (sprung, told) = oneshot::channel();
        let armed = Armed {
            call,
            holds,
            sprung,
        };
        *self.armed.lock().unwrap() = Some(armed);
        told
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    mut client: UnixStream,
    engine: &Path,
    armed: &Mutex<Option<Armed>>,
) -> std::io::Result<()> {
    let mut engine = UnixStream::connect(engine).await?;
    let (mut from_engine, mut to_engine) = engine.split();
    let (mut from_client, mut to_client) = client.split();
    let ask = async {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let n = from_client.read(&mut bytes).await?;
            // A client writes the head of a request at once.
            let caught = {
                let mut armed = armed.lock().unwrap();
                armed.take_if(|armed| begins(&bytes[..n], armed.call))
            };
            let held = caught.as_ref().is_some_and(|armed| armed.holds);
            if n > 0 && !held {
                to_engine.write_all(&bytes[..n]).await?;
            }
            if let Some(armed) = caught {
                // A test that has failed meanwhile does not listen.
                let _ = armed.sprung.send(());
            }
            if n == 0 || held {
                return Err::<(), _>(std::io::ErrorKind::ConnectionAborted.into());
            }
        }
    };
    let answer = async {
        copy(&mut from_engine, &mut to_client).await?;
        // Whoever waits for more is told that there is none.
        Err::<(), _>(std::io::ErrorKind::ConnectionAborted.into())
    };
    tokio::try_join!(ask, answer).map(drop)
}

fn begins(request: &[u8], (method, path): Call) -> bool {
    let line = request.split(|byte| *byte == b'\r').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    line.starts_with(method) && line.contains(path)
}
