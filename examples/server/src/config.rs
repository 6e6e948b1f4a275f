//! What can be configured, by flags, by environment variables, and by a file `.env` in the working directory.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use clap::builder::{BoolishValueParser, Resettable};
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};
use neuropod::auth::{SessionRules, SigningKeys};
use neuropod::docker::{Gpus, Logins, NetworkPool};
use neuropod::id::Entropy;
use neuropod::money::Money;
use neuropod::pod::{Resources, Secret};
use neuropod::{Error, Result};

use crate::units;

mod cluster;
mod google;
pub use cluster::{Cluster, Exposed};
pub use google::Google;

/// Where the original frontend is developed.
const DEVELOPED_AT: &str = "http://localhost:5173";

/// A server for renting GPU containers.
#[derive(Debug, Clone, Parser)]
#[command(name = "neuropod-server", version)]
pub struct Config {
    /// Address to listen on
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    pub host: String,

    /// Port to listen on; 0 takes a free one
    #[arg(long, env = "PORT", default_value_t = 3000)]
    pub port: u16,

    /// Where everything is kept: `sqlite://file.db`, `postgres://…`, or `memory:`
    #[arg(long, env = "DATABASE_URL", default_value = "sqlite://neuropod.db", hide_env_values = true, value_parser = secret)]
    pub database_url: Secret,

    /// What runs the containers
    #[arg(long, env = "NEUROPOD_ORCHESTRATOR", value_enum, default_value_t = Backend::Auto)]
    pub orchestrator: Backend,

    /// The Docker engine; `unix:///var/run/docker.sock` if not given
    #[arg(long, env = "DOCKER_HOST")]
    pub docker_host: Option<String>,

    /// The engine's GPUs as `uuid:product:MiB`, with commas between them; if not given, those of this machine
    #[arg(long, env = "NEUROPOD_GPUS", default_value = "")]
    pub gpus: String,

    /// Per hour, of a GPU that the catalogue lacks when the server starts
    #[arg(long, env = "NEUROPOD_DEFAULT_GPU_PRICE", default_value = "2.50", value_parser = price)]
    pub default_gpu_price: Money,

    /// Folder with the `config.json` of `docker login`, whose logins pull the images of all pods; `~/.docker` if not given
    #[arg(long, env = "DOCKER_CONFIG")]
    pub docker_config: Option<String>,

    /// Development mode: anybody signs in as anybody. Binds to loopback only
    #[arg(long, env = "NEUROPOD_DEV", value_parser = BoolishValueParser::new(), num_args = 0..=1, default_value = "false", default_missing_value = "true")]
    pub dev: bool,

    /// Development mode on other addresses than loopback too: whoever reaches this server controls its containers
    #[arg(long, env = "NEUROPOD_DEV_EXPOSED", value_parser = BoolishValueParser::new(), num_args = 0..=1, default_value = "false", default_missing_value = "true")]
    pub dev_exposed: bool,

    /// Signs sessions: at least 32 random bytes. Needed unless in development mode
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, value_parser = secret)]
    pub jwt_secret: Option<Secret>,

    /// The secret before the current one, whose sessions go on
    #[arg(long, env = "JWT_SECRET_PREVIOUS", hide_env_values = true, value_parser = secret)]
    pub jwt_secret_previous: Option<Secret>,

    /// How long a session lasts
    #[arg(long, env = "JWT_EXPIRE", default_value = "24h", value_parser = duration)]
    pub jwt_expire: Duration,

    /// E-mail addresses of administrators, with commas between them
    #[arg(long, env = "ADMIN_EMAILS", default_value = "")]
    pub admin_emails: String,

    /// Who else may sign in, by e-mail address, with commas between them; in development mode everybody if not given
    #[arg(long, env = "ALLOWED_EMAILS", default_value = "")]
    pub allowed_emails: String,

    /// Sign-in by Google, or by another provider of OpenID Connect
    #[command(flatten)]
    pub google: Google,

    /// Origin of the frontend, which may call from a browser
    #[arg(long, env = "FRONTEND_URL")]
    pub frontend_url: Option<String>,

    /// Another origin of the frontend
    #[arg(long, env = "FRONTEND_URL_HTTPS")]
    pub frontend_url_https: Option<String>,

    /// Host name or address in the URLs of pods
    #[arg(long, env = "NEUROPOD_PUBLIC_HOST", default_value = "localhost")]
    pub public_host: String,

    /// Address of this host that the ports of pods are published on: loopback, unless others are to reach them
    #[arg(long, env = "NEUROPOD_PUBLISH_ADDRESS", default_value = "127.0.0.1")]
    pub publish_address: IpAddr,

    /// Host ports that pods may use, first and last
    #[arg(long, env = "NEUROPOD_PORT_RANGE", default_value = "20000-29999", value_parser = port_range)]
    pub port_range: (u16, u16),

    /// Addresses of the networks that owners' pods are in, on Docker: 128 for each
    #[arg(long, env = "NEUROPOD_NETWORK_POOL", default_value_t)]
    pub network_pool: NetworkPool,

    /// Memory of one pod
    #[arg(long, env = "POD_MEMORY_LIMIT", default_value = "11Gi", value_parser = bytes)]
    pub pod_memory_limit: u64,

    /// CPUs of one pod
    #[arg(long, env = "POD_CPU_LIMIT", default_value = "2", value_parser = cpu_milli)]
    pub pod_cpu_limit: u32,

    /// The Kubernetes cluster, if one runs the containers
    #[command(flatten)]
    pub cluster: Cluster,

    /// Who pays for pods
    #[arg(long, env = "NEUROPOD_BILLING", value_enum, default_value_t = Bills::Prepaid)]
    pub billing: Bills,

    /// A launch or start needs the price of so much time available
    #[arg(long, env = "NEUROPOD_HOLD", default_value = "1h", value_parser = duration)]
    pub hold: Duration,

    /// Owners are told when less than this is left
    #[arg(long, env = "NEUROPOD_LOW_BALANCE", default_value = "5", value_parser = price)]
    pub low_balance: Money,

    /// How long volumes are kept after the balance of who pays for them has run out
    #[arg(long, env = "NEUROPOD_VOLUME_GRACE", default_value = "7d", value_parser = duration)]
    pub volume_grace: Duration,

    /// How often a socket is asked whether it is still there; less than what lies between cuts a quiet connection after
    #[arg(long, env = "NEUROPOD_PING_INTERVAL", default_value = "25s", value_parser = duration)]
    pub ping_interval: Duration,

    /// How long its answer is waited for
    #[arg(long, env = "NEUROPOD_PING_TIMEOUT", default_value = "60s", value_parser = duration)]
    pub ping_timeout: Duration,

    /// Who has this token may read `/metrics`, beside administrators: what Prometheus sends as its bearer token
    #[arg(long, env = "NEUROPOD_METRICS_TOKEN", hide_env_values = true, value_parser = secret)]
    pub metrics_token: Option<Secret>,

    /// `/metrics` tells of each pod that is measured, with its id and its owner's; if not, of all together
    #[arg(long, env = "NEUROPOD_METRICS_PODS", value_parser = BoolishValueParser::new(), num_args = 0..=1, default_value = "false", default_missing_value = "true")]
    pub metrics_pods: bool,

    /// How the log is written
    #[arg(long, env = "NEUROPOD_LOG", value_enum, default_value_t = LogFormat::Text)]
    pub log: LogFormat,
}

/// What runs the containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// Docker if it answers.
    Auto,
    /// A Docker engine.
    Docker,
    /// A Kubernetes cluster.
    Kubernetes,
    /// Nothing: containers are simulated.
    Memory,
}

/// Who pays for pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Bills {
    /// Users do, from what they have paid before.
    Prepaid,
    /// Nobody does.
    Unmetered,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    /// What holds where nothing is configured: for programs that nest the routes and have settings of their own, neither
    /// the command line nor the environment is read.
    fn default() -> Self {
        let command = Self::command().mut_args(|argument| argument.env(Resettable::Reset));
        let matches = command.get_matches_from(["neuropod-server"]);
        Self::from_arg_matches(&matches).expect("every argument has a default")
    }
}

impl Config {
    /// Where to listen.
    ///
    /// # Errors
    /// If the host is unknown, or is not loopback in development mode.
    pub fn address(&self) -> Result<SocketAddr> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let unknown = |e| {
            Error::invalid("", format!("The address {host} can't be listened on.")).caused_by(e)
        };
        let address = match host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, self.port),
            Err(_) => (host, self.port)
                .to_socket_addrs()
                .map_err(unknown)?
                .next()
                .ok_or_else(|| Error::invalid("", format!("The host {host} has no address.")))?,
        };
        if self.dev && !self.dev_exposed && !address.ip().is_loopback() {
            return Err(Error::invalid(
                "",
                format!(
                    "Development mode lets anybody sign in as anybody, so it does not listen on {host}. \
                     Use HOST=127.0.0.1, or add NEUROPOD_DEV_EXPOSED=1 if everybody who reaches it may do anything."
                ),
            ));
        }
        Ok(address)
    }

    /// What kind of database keeps everything.
    pub(crate) fn database(&self) -> &str {
        let url = self.database_url.reveal();
        url.split(':').next().unwrap_or_default()
    }

    /// Who has it may read the figures. An empty one is none.
    pub(crate) fn metrics_token(&self) -> Option<&Secret> {
        let given = self.metrics_token.as_ref();
        given.filter(|token| !token.reveal().is_empty())
    }

    /// Where the Docker engine is.
    pub fn docker_host(&self) -> &str {
        let given = self.docker_host.as_deref().filter(|host| !host.is_empty());
        given.unwrap_or("unix:///var/run/docker.sock")
    }

    /// The engine's GPUs: those that are written down, or this machine's if the engine is here.
    ///
    /// # Errors
    /// If one of them is not written as it should be; it is named.
    pub fn gpus(&self) -> Result<Gpus> {
        let listed = self.gpus.trim();
        if !listed.is_empty() {
            return listed
                .parse::<Gpus>()
                .map_err(|e| e.during("NEUROPOD_GPUS"));
        }
        Ok(if self.docker_host().starts_with("unix://") {
            Gpus::of_this_machine()
        } else {
            Gpus::listed([])
        })
    }

    /// The logins that pulls use.
    pub fn logins(&self) -> Logins {
        match self.docker_config.as_deref() {
            None | Some("") => Logins::of_docker(),
            Some(folder) => Logins::in_file(Path::new(folder).join("config.json")),
        }
    }

    /// The keys that sign sessions. In development mode they may be made up, for as long as this process lives.
    ///
    /// # Errors
    /// If there is no secret, or a weak one.
    pub fn signing_keys(&self) -> Result<SigningKeys> {
        let given = self
            .jwt_secret
            .as_ref()
            .filter(|secret| !secret.reveal().is_empty());
        let keys = match given {
            Some(secret) => SigningKeys::new(secret)?,
            None if self.dev => {
                tracing::warn!("JWT_SECRET is not set: sessions end with this process");
                let random = Entropy::system().bytes::<32>();
                let hex: String = random.iter().map(|b| format!("{b:02x}")).collect();
                SigningKeys::new(&Secret::new(hex))?
            }
            None => {
                return Err(Error::invalid(
                    "",
                    "JWT_SECRET is not set. It signs sessions; `openssl rand -hex 32` makes a good one.",
                ));
            }
        };
        match self
            .jwt_secret_previous
            .as_ref()
            .filter(|secret| !secret.reveal().is_empty())
        {
            Some(previous) => keys.accepting(previous),
            None => Ok(keys),
        }
    }

    /// Who may sign in.
    pub fn session_rules(&self) -> SessionRules {
        let allowed = emails(&self.allowed_emails);
        SessionRules {
            lifetime: self.jwt_expire,
            admins: emails(&self.admin_emails),
            allowed: (!self.dev || !allowed.is_empty()).then_some(allowed),
            development: self.dev,
        }
    }

    /// Origins whose pages may call: the frontend's, and this server's own on its usual port.
    pub fn origins(&self) -> Vec<String> {
        let given = [&self.frontend_url, &self.frontend_url_https]
            .into_iter()
            .flatten();
        let mut origins: Vec<String> = given
            .map(|url| url.trim().trim_end_matches('/').to_owned())
            .filter(|url| !url.is_empty())
            .collect();
        origins.push("http://localhost:3000".to_owned());
        if self.dev {
            origins.push(DEVELOPED_AT.to_owned());
        }
        origins
    }

    /// Limits of one pod.
    pub fn resources(&self) -> Resources {
        Resources {
            cpu_milli: self.pod_cpu_limit,
            memory_bytes: self.pod_memory_limit,
            ..Resources::default()
        }
    }
}

fn emails(list: &str) -> BTreeSet<String> {
    list.split(',')
        .map(str::trim)
        .filter(|email| !email.is_empty())
        .map(str::to_owned)
        .collect()
}

fn secret(text: &str) -> std::result::Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

fn duration(text: &str) -> std::result::Result<Duration, &'static str> {
    let read = units::duration(text).filter(|d| !d.is_zero());
    read.ok_or("a duration such as 30m, 24h or 7d")
}

fn bytes(text: &str) -> std::result::Result<u64, &'static str> {
    // Engines refuse less than 6 MiB.
    units::bytes(text)
        .filter(|&n| n >= 6 << 20)
        .ok_or("an amount of memory such as 512Mi or 11Gi, 6Mi at least")
}

fn cpu_milli(text: &str) -> std::result::Result<u32, &'static str> {
    units::cpu_milli(text)
        .filter(|&n| n > 0)
        .ok_or("a number of CPUs such as 2 or 500m")
}

fn price(text: &str) -> std::result::Result<Money, &'static str> {
    let read = text.parse().ok().filter(|&price| price >= Money::ZERO);
    read.ok_or("an amount such as 2.50")
}

fn port_range(text: &str) -> std::result::Result<(u16, u16), &'static str> {
    let ends = text.split_once('-').and_then(|(first, last)| {
        Some((
            first.trim().parse::<u16>().ok()?,
            last.trim().parse::<u16>().ok()?,
        ))
    });
    ends.filter(|&(first, last)| first > 0 && first <= last)
        .ok_or("two ports such as 20000-29999")
}

#[cfg(test)]
mod tests;
