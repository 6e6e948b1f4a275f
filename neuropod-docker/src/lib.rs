//! NeuroPod backend: one Docker engine.

mod convert;
mod error;
mod orchestrator;
mod pull;

pub use orchestrator::{Config, DockerOrchestrator};
