//! Stands between the backend and the API server: counts what passes, and can be cut.

use std::path::PathBuf;
use std::sync::Arc;

use kube::config::Kubeconfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::unique;

/// A port that leads to the API server as long as it is not cut.
#[derive(Debug)]
pub struct Proxy {
    kubeconfig: PathBuf,
    cut: Arc<watch::Sender<bool>>,
    task: AbortHandle,
}

impl Proxy {
    /// To the cluster of that kubeconfig.
    pub async fn to(kubeconfig: &std::path::Path) -> Self {
        let mut config = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
        let cluster = config.clusters[0].cluster.as_mut().expect("a cluster");
        let server = cluster.server.clone().expect("its address");
        let server: http::Uri = server.parse().expect("its address");
        let host = server.host().expect("its host").to_owned();
        let address = format!("{host}:{}", server.port_u16().unwrap_or(443));
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port of our own");
        let port = listener.local_addr().expect("its number").port();
        cluster.server = Some(format!("https://127.0.0.1:{port}"));
        cluster.tls_server_name = Some(host);
        let path = std::env::temp_dir().join(unique("neuropod-kubeconfig"));
        let text = serde_json::to_vec(&config).expect("a kubeconfig");
        std::fs::write(&path, text).expect("written");

        let cut = Arc::new(watch::Sender::new(false));
        let sender = cut.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut cut, address) = (sender.subscribe(), address.clone());
                tokio::spawn(async move {
                    let carry = async {
                        let mut server = TcpStream::connect(address).await?;
                        server.set_nodelay(true)?;
                        client.set_nodelay(true)?;
                        tokio::io::copy_bidirectional(&mut client, &mut server).await
                    };
                    tokio::select! {
                        biased;
                        _ = cut.wait_for(|cut| *cut) => {}
                        _ = carry => {}
                    }
                });
            }
        });
        Self {
            kubeconfig: path,
            cut,
            task: task.abort_handle(),
        }
    }

    /// A kubeconfig that leads here.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone()
    }

    /// Breaks every connection and takes no new one, or takes them again.
    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.kubeconfig);
    }
}
