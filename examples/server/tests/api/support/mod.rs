//! A server on a port of its own, and a client that can also misbehave.

#[path = "../../support/fuzz.rs"]
pub(crate) mod fuzz;
#[path = "../../support/given.rs"]
mod given;
#[path = "../../support/http.rs"]
mod http;
mod operations;
#[path = "../../support/program.rs"]
mod program;
#[path = "../../support/proxy.rs"]
pub(crate) mod proxy;
mod scene;
#[path = "../../support/wire.rs"]
pub(crate) mod wire;
pub(crate) mod wrong;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use futures::{FutureExt, StreamExt};
use neuropod::auth::Sessions;
use neuropod::billing::{Prepaid, Unmetered};
use neuropod::memory::{Behaviour, MemoryOrchestrator, MemoryStore};
use neuropod::orchestrator::{Device, GpuUsage, Usage};
use neuropod::store::{Changes, Wake, WorkKey};
use neuropod::time::SystemClock;
use neuropod::{Auth, Billing, Clock, Platform, Store};
use neuropod_server::{Bills, Config, router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) use given::{Schema, given};
pub(crate) use http::{Answer, Request, Sent, Stream};
pub(crate) use operations::{Operation, document};
pub(crate) use program::Program;
pub(crate) use scene::{Scene, Who};

pub(crate) const ROOT: &str = "root@example.com";
pub(crate) const ANA: &str = "ana@example.com";
pub(crate) const BEN: &str = "ben@example.com";

/// What is waited for comes within this.
const WITHIN: Duration = Duration::from_secs(60);

/// A server whose loops run only when [`Server::settle`] says so.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) platform: Platform,
    pub(crate) engine: MemoryOrchestrator,
    pub(crate) sessions: Arc<Sessions>,
    config: Config,
}

impl Server {
    /// In development mode, with [`ROOT`] as its administrator.
    pub(crate) async fn start() -> Self {
        Self::with(&["--dev"]).await
    }

    /// With every operation there is. The provider of sign-ins does not answer.
    pub(crate) async fn with_everything() -> Self {
        let provider = [
            "--google-client-id",
            "us",
            "--oidc-issuer",
            "http://127.0.0.1:9",
        ];
        let frontend = ["--frontend-url", "http://localhost:5173"];
        Self::with(&[&["--dev"][..], &provider, &frontend].concat()).await
    }

    pub(crate) async fn with(arguments: &[&str]) -> Self {
        let arguments = [&["--admin-emails", ROOT], arguments].concat();
        Self::over(Arc::new(MemoryStore::new()), None, &arguments).await
    }

    /// In development mode, with a GPU.
    pub(crate) async fn with_gpu(arguments: &[&str]) -> Self {
        let arguments = [&["--admin-emails", ROOT, "--dev"], arguments].concat();
        let gpu = Device {
            id: "GPU-0".into(),
            product: "NVIDIA GeForce RTX 4050".to_owned(),
            memory_mib: 6_141,
            healthy: true,
        };
        Self::over(Arc::new(MemoryStore::new()), Some(gpu), &arguments).await
    }

    /// Another server over the same store.
    pub(crate) async fn beside(&self, arguments: &[&str]) -> Self {
        Self::over(Arc::clone(self.platform.store()), None, arguments).await
    }

    async fn over(store: Arc<dyn Store>, gpu: Option<Device>, arguments: &[&str]) -> Self {
        let common = ["neuropod-server", "--jwt-secret", SECRET];
        let config = Config::try_parse_from([&common[..], arguments].concat()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let sessions = Arc::new(sessions(&config, &store, &clock));
        let engine = MemoryOrchestrator::builder()
            .devices(gpu)
            .image(
                "demo",
                Behaviour {
                    prints: vec![(Default::default(), "hello".to_owned())],
                    usage: Usage {
                        cpu_milli: Some(500),
                        memory_bytes: Some(32 << 20),
                        ..Usage::default()
                    },
                    ..Behaviour::default()
                },
            )
            .image(
                "busy",
                Behaviour {
                    usage: busy(),
                    ..Behaviour::default()
                },
            )
            .build();
        let billing: Arc<dyn Billing> = match config.billing {
            Bills::Prepaid => Arc::new(Prepaid::new(Arc::clone(&store))),
            Bills::Unmetered => Arc::new(Unmetered),
        };
        let platform = Platform::builder()
            .orchestrator(engine.clone())
            .billing(billing)
            .store(store)
            .auth(Arc::clone(&sessions))
            .clock(clock)
            .build()
            .await
            .unwrap();
        let address = listen(router(platform.clone(), &config)).await;
        Self {
            address,
            platform,
            engine,
            sessions,
            config,
        }
    }

    /// Its sessions by another clock.
    fn sessions_at(&self, clock: impl Clock) -> Sessions {
        let clock: Arc<dyn Clock> = Arc::new(clock);
        sessions(&self.config, self.platform.store(), &clock)
    }

    /// Works until nothing is due.
    pub(crate) async fn settle(&self) {
        self.platform.run_until_idle().await.unwrap();
    }

    /// Lists the backend as a whole, now.
    pub(crate) async fn sweep(&self) {
        let now = self.platform.clock().now();
        let sweep = Wake {
            key: WorkKey::Sweep("default".to_owned()),
            at: now,
        };
        let changes = Changes {
            now,
            wakes: vec![sweep],
            ..Changes::default()
        };
        self.platform.store().commit(&changes).await.unwrap();
        self.settle().await;
    }

    /// Asks who a token's owner is until that is refused, which takes a second at most.
    pub(crate) async fn until_refused(&self, token: &str) -> Answer {
        let began = Instant::now();
        loop {
            let asked = began.elapsed();
            let answer = self.get("/api/auth/verify").bearer(token).send().await;
            if answer.status != 200 {
                return answer;
            }
            assert!(asked < Duration::from_secs(1), "{answer:?}");
        }
    }

    /// Signs somebody in.
    pub(crate) async fn token(&self, email: &str) -> String {
        let credential = neuropod::auth::Credential::Development {
            email: email.to_owned(),
        };
        self.sessions
            .sign_in(&credential)
            .await
            .unwrap()
            .token
            .reveal()
            .to_owned()
    }

    pub(crate) fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Request {
        self.request("POST", path)
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.address, method, path)
    }

    /// Works until a pod is in `phase`, and answers its row.
    pub(crate) async fn until(&self, token: &str, pod: &str, phase: &str) -> Value {
        let path = format!("/api/pods/{pod}");
        self.work_until(async || {
            let answer = self.get(&path).bearer(token).send().await;
            let row = answer.json()["data"].clone();
            (row["phase"] == phase).then_some(row)
        })
        .await
    }

    /// Works until there is something to find, which is looked for after each change that the store tells.
    pub(crate) async fn work_until<T>(&self, look: impl AsyncFn() -> Option<T>) -> T {
        let mut changes = self.platform.store().changed().await.unwrap();
        let (found_it, shutdown) = tokio::sync::oneshot::channel();
        let looks = async {
            loop {
                if let Some(found) = look().await {
                    found_it.send(()).unwrap();
                    return found;
                }
                changes.next().await.expect("a store in memory tells all");
            }
        };
        let works = self.platform.run(shutdown.map(drop));
        let both = futures::future::join(looks, works);
        let (found, ()) = tokio::time::timeout(WITHIN, both).await.expect("in time");
        found
    }

    /// Launches a pod as somebody, and answers its id.
    pub(crate) async fn launch(&self, token: &str) -> String {
        let answer = self
            .post("/api/pods")
            .bearer(token)
            .json(&a_pod())
            .send()
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["data"]["podId"].as_str().unwrap().to_owned()
    }
}

/// What a pod uses of which all is known.
fn busy() -> Usage {
    Usage {
        cpu_milli: Some(500),
        memory_bytes: Some(32 << 20),
        disk_bytes: Some(1 << 20),
        gpus: vec![GpuUsage {
            percent: Some(40),
            memory_bytes: Some(1 << 30),
            milliwatts: Some(90_500),
            ..GpuUsage::unknown("GPU-0".into())
        }],
        ..Usage::default()
    }
}

fn sessions(config: &Config, store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Sessions {
    let keys = config.signing_keys().unwrap();
    let rules = config.session_rules();
    let sessions = Sessions::new(Arc::clone(store), Arc::clone(clock), keys, rules);
    match config.provider(Arc::clone(clock)) {
        Some(provider) => sessions.issuer(Arc::new(provider)),
        None => sessions,
    }
}

/// Fit to be launched.
pub(crate) fn a_pod() -> Value {
    json!({
        "name": "My pod",
        "deploymentType": "docker",
        "dockerImage": "demo",
        "gpu": "cpu",
        "containerDiskSize": 10,
        "volumeDiskSize": 20,
        "ports": "8080",
        "enableJupyter": false,
    })
}

/// Serves on a free port of loopback until the test ends.
pub(crate) async fn listen(app: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

pub(crate) const SECRET: &str = "f2ca1bb6c7e907d06dafe4687e579fce76b37e4e93b7605022da52e6ccc26fd2";
