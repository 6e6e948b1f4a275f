//! How the engine is reached and used.

use std::net::IpAddr;
use std::time::Duration;

use crate::gpu::Gpus;
use crate::login::Logins;
use crate::pool::NetworkPool;

/// How the engine is reached and used.
#[derive(Debug, Clone)]
pub struct Config {
    /// `unix://…` or `tcp://…`; `None` for `DOCKER_HOST` or the default socket.
    pub host: Option<String>,
    /// This installation's id: what carries another one is never touched.
    pub installation: String,
    /// The host of every endpoint.
    pub public_host: String,
    /// The address that ports are published on; loopback unless chosen otherwise.
    pub bind: String,
    /// The addresses of the tenants' networks. Nothing else that this engine's host reaches may have them.
    pub network_pool: NetworkPool,
    /// The engine's GPUs.
    pub gpus: Gpus,
    /// The logins at image registries that pulls use.
    pub logins: Logins,
    /// How long one call may take.
    pub deadline: Duration,
    /// After so long a silence of a stream the engine is asked whether it is there, and for the stream anew: it is
    /// known to forget its listeners, and a connection can be lost without a word.
    pub idle: Duration,
}

impl Config {
    /// The default engine, on loopback, with the GPUs of this machine.
    pub fn new(installation: impl Into<String>) -> Self {
        Self {
            host: None,
            installation: installation.into(),
            public_host: "localhost".to_owned(),
            bind: "127.0.0.1".to_owned(),
            network_pool: NetworkPool::default(),
            gpus: Gpus::of_this_machine(),
            logins: Logins::default(),
            deadline: Duration::from_secs(30),
            idle: Duration::from_secs(30),
        }
    }

    /// Whether ports are published beyond the engine's host.
    pub(crate) fn publishes_widely(&self) -> bool {
        let bind: Result<IpAddr, _> = self.bind.parse();
        !bind.is_ok_and(|bind| bind.is_loopback())
    }
}
