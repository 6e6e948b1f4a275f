//! A terminal into a running Pod, over a WebSocket.

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::AttachParams;
use neuropod_core::id::RunId;
use neuropod_core::orchestrator::{Exec, Interactive, State};
use neuropod_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::cluster::Cluster;
use crate::observe;

const OPERATION: &str = "kubernetes exec";
/// So much that is typed may wait.
const TYPED: usize = 64;

/// Runs commands in containers.
#[derive(Debug)]
pub(crate) struct Terminal(pub(crate) Cluster);

#[async_trait]
impl Interactive for Terminal {
    async fn exec(&self, run: RunId, command: Vec<String>, tty: bool) -> Result<Exec> {
        let cluster = &self.0;
        let pod = cluster.of_run(run).await?;
        let running =
            pod.filter(|pod| matches!(observe::state(pod, Vec::new), State::Running { .. }));
        let Some(pod) = running else {
            return Err(Error::new(
                ErrorKind::InvalidTransition,
                "The pod does not run.",
            ));
        };
        let name = pod.metadata.name.unwrap_or_default();
        // A terminal has one output.
        let params = AttachParams::default()
            .stdin(true)
            .stdout(true)
            .stderr(!tty)
            .tty(tty);
        let api = cluster.pods();
        let mut process = cluster
            .done(OPERATION, api.exec(&name, command, &params))
            .await?;
        let outputs = [process.stdout().map(bytes), process.stderr().map(bytes)];
        let (input, mut typed) = tokio::sync::mpsc::channel::<Vec<u8>>(TYPED);
        let stdin = process.stdin();
        tokio::spawn(async move {
            let Some(mut stdin) = stdin else { return };
            while let Some(bytes) = typed.recv().await {
                let written = async {
                    stdin.write_all(&bytes).await?;
                    stdin.flush().await
                };
                if written.await.is_err() {
                    return;
                }
            }
            let _ = stdin.shutdown().await;
        });
        let status = process.take_status();
        let code = async move {
            let status = match status {
                Some(status) => status.await,
                None => None,
            };
            // Until now it keeps the connection.
            drop(process);
            code(status)
        };
        Ok(Exec {
            output: stream::select_all(outputs.into_iter().flatten()).boxed(),
            input,
            code: code.boxed(),
        })
    }
}

fn bytes(from: impl AsyncRead + Unpin + Send + 'static) -> BoxStream<'static, Result<Vec<u8>>> {
    stream::unfold(Some(from), |from| async {
        let mut from = from?;
        let mut bytes = vec![0; 16 << 10];
        match from.read(&mut bytes).await {
            Ok(0) => None,
            Ok(n) => {
                bytes.truncate(n);
                Some((Ok(bytes), Some(from)))
            }
            Err(e) => {
                let broken = Error::unreachable("The terminal broke off.").during(OPERATION);
                Some((Err(broken.caused_by(e)), None))
            }
        }
    })
    .boxed()
}

/// The exit code, which the API server tells in words.
fn code(status: Option<Status>) -> Result<i64> {
    let Some(status) = status else {
        return Err(
            Error::unreachable("The terminal broke off before its command ended.")
                .during(OPERATION),
        );
    };
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status.details.as_ref().and_then(|d| d.causes.as_ref());
    let code = causes
        .into_iter()
        .flatten()
        .find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let message = status.message.unwrap_or_default();
    match code.and_then(|code| code.message.as_ref()?.parse().ok()) {
        Some(code) => Ok(code),
        // As a shell says it of what it can't run.
        None if message.contains("not found") || message.contains("no such file") => Ok(127),
        None => Err(Error::unreachable("The command can't be run.")
            .during(OPERATION)
            .with("answer", message)),
    }
}
