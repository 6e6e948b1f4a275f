//! The platform that a configuration asks for.

use std::sync::Arc;

use neuropod::auth::Sessions;
use neuropod::memory::{MemoryOrchestrator, MemoryStore};
use neuropod::sql::SqlStore;
use neuropod::time::SystemClock;
use neuropod::{Clock, Error, ErrorKind, Orchestrator, Platform, Result, Settings, Store};

use crate::config::{Backend, Config};

/// Puts the platform together.
///
/// # Errors
/// If the store or the backend can't be had, with what to do about it.
pub(crate) async fn platform(config: &Config) -> Result<Platform> {
    let keys = config.signing_keys()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = store(config).await?;
    let sessions = Sessions::new(
        Arc::clone(&store),
        Arc::clone(&clock),
        keys,
        config.session_rules(),
    );
    Platform::builder()
        .orchestrator(orchestrator(config).await?)
        .store(store)
        .auth(sessions)
        .clock(clock)
        .settings(Settings {
            port_range: config.port_range,
            ..Settings::default()
        })
        .build()
        .await
}

async fn store(config: &Config) -> Result<Arc<dyn Store>> {
    match config.database_url.reveal() {
        "memory:" => {
            tracing::warn!("everything is kept in memory, and gone when this process ends");
            Ok(Arc::new(MemoryStore::new()))
        }
        url => {
            let opened = SqlStore::open(url).await;
            Ok(Arc::new(opened.map_err(|e| e.during("DATABASE_URL"))?))
        }
    }
}

async fn orchestrator(config: &Config) -> Result<Arc<dyn Orchestrator>> {
    match config.orchestrator {
        Backend::Memory => {
            tracing::warn!(
                "containers are SIMULATED: nothing runs, no image is pulled, no page answers"
            );
            let simulated = MemoryOrchestrator::builder().public_host(&config.public_host);
            Ok(Arc::new(simulated.build()))
        }
        Backend::Kubernetes => Err(unsupported(
            "The Kubernetes backend is not there yet. Use NEUROPOD_ORCHESTRATOR=docker, or memory to look around.",
        )),
        Backend::Docker | Backend::Auto => Err(unsupported("The Docker backend is not there yet.")),
    }
}

fn unsupported(message: &str) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}
