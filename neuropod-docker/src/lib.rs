//! NeuroPod backend: one Docker engine.

mod config;
mod connection;
mod convert;
mod df;
mod disk;
mod engine;
mod error;
mod gpu;
mod guard;
mod jupyter;
mod known;
mod launch;
mod log;
mod login;
mod network;
mod orchestrator;
mod pool;
mod pull;
mod ready;
mod stop;
mod time;
mod usage;
mod watch;

pub use config::Config;
pub use gpu::Gpus;
pub use login::Logins;
pub use orchestrator::DockerOrchestrator;
pub use pool::NetworkPool;
