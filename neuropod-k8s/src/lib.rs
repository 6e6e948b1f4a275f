//! NeuroPod backend: a Kubernetes cluster.

mod cluster;
mod config;
mod error;
mod exec;
mod expose;
mod gpu;
mod image;
mod labels;
mod launch;
mod log;
mod manifest;
mod observe;
mod orchestrator;
mod ready;
mod remove;
mod time;
mod usage;
mod watch;

pub use config::{Config, Exposure};
pub use gpu::Gpus;
pub use orchestrator::KubernetesOrchestrator;
