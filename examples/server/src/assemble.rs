//! The platform that a configuration asks for.

use std::sync::Arc;

use neuropod::auth::Sessions;
use neuropod::billing::{Prepaid, Unmetered};
use neuropod::docker::{self, DockerOrchestrator};
use neuropod::k8s::KubernetesOrchestrator;
use neuropod::memory::{MemoryOrchestrator, MemoryStore};
use neuropod::sql::SqlStore;
use neuropod::time::SystemClock;
use neuropod::{Billing, Clock, Error, Orchestrator, Platform, Result, Settings, Store};

use crate::config::{Backend, Bills, Config};

/// Puts the platform together.
///
/// # Errors
/// If the store or the backend can't be had, with what to do about it.
pub(crate) async fn platform(config: &Config) -> Result<Platform> {
    let keys = config.signing_keys()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = store(config).await?;
    let mut sessions = Sessions::new(
        Arc::clone(&store),
        Arc::clone(&clock),
        keys,
        config.session_rules(),
    );
    if let Some(provider) = config.provider(Arc::clone(&clock)) {
        sessions = sessions.issuer(Arc::new(provider));
    }
    let billing: Arc<dyn Billing> = match config.billing {
        Bills::Prepaid => Arc::new(Prepaid::new(Arc::clone(&store)).hold_for(config.hold)),
        Bills::Unmetered => Arc::new(Unmetered),
    };
    let platform = Platform::builder()
        .orchestrator(orchestrator(config, &*store).await?)
        .billing(billing)
        .store(store)
        .auth(sessions)
        .clock(clock)
        .settings(Settings {
            port_range: config.port_range,
            low_balance: config.low_balance,
            volume_grace: config.volume_grace,
            ..Settings::default()
        })
        .build()
        .await?;
    let price = config.default_gpu_price;
    for gpu in platform.add_products(price).await? {
        tracing::info!(%gpu, %price, "a GPU that the catalogue lacked has an entry now");
    }
    Ok(platform)
}

pub(crate) async fn store(config: &Config) -> Result<Arc<dyn Store>> {
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

/// A store that is there already: who wants to look at one is not to make it.
///
/// # Errors
/// If nothing is kept, there is no such file, or the database does not answer.
pub(crate) async fn existing_store(config: &Config) -> Result<Arc<dyn Store>> {
    let url = config.database_url.reveal();
    let nothing = |message: String| Err(Error::invalid("", message).during("DATABASE_URL"));
    if url == "memory:" {
        return nothing("A database in memory is gone with its process.".to_owned());
    }
    if let Some(rest) = url.strip_prefix("sqlite:") {
        let file = rest.trim_start_matches("//").split('?').next();
        let file = file.unwrap_or_default();
        if !std::path::Path::new(file).is_file() {
            return nothing(format!("There is no database at {file}."));
        }
    }
    store(config).await
}

async fn orchestrator(config: &Config, store: &dyn Store) -> Result<Arc<dyn Orchestrator>> {
    match config.orchestrator {
        Backend::Memory => {
            tracing::warn!(
                "containers are SIMULATED: nothing runs, no image is pulled, no page answers"
            );
            let simulated = MemoryOrchestrator::builder().public_host(&config.public_host);
            Ok(Arc::new(simulated.build()))
        }
        Backend::Kubernetes => Ok(Arc::new(kubernetes(config, store).await?)),
        // Docker is all there is to find so far.
        Backend::Docker | Backend::Auto => Ok(Arc::new(docker(config, store).await?)),
    }
}

async fn kubernetes(config: &Config, store: &dyn Store) -> Result<KubernetesOrchestrator> {
    let settings = config.cluster(store.installation().await?)?;
    let namespace = settings.namespace.clone();
    let connected = KubernetesOrchestrator::connect(settings).await;
    let cluster = connected.map_err(|e| {
        Error::unreachable(format!(
            "No Kubernetes cluster answers: {}. KUBECONFIG names another one, NEUROPOD_ORCHESTRATOR=docker does without.",
            e.message().trim_end_matches('.')
        ))
        .caused_by(e)
    })?;
    tracing::info!(namespace, "containers run on Kubernetes");
    Ok(cluster)
}

async fn docker(config: &Config, store: &dyn Store) -> Result<DockerOrchestrator> {
    let host = config.docker_host();
    if !config.publish_address.is_loopback() {
        tracing::warn!(
            address = %config.publish_address,
            "pods' ports are published beyond this machine: whoever reaches the address reaches the pods"
        );
    }
    let connected = DockerOrchestrator::connect(docker::Config {
        host: Some(host.to_owned()),
        public_host: config.public_host.clone(),
        bind: config.publish_address.to_string(),
        gpus: config.gpus()?,
        logins: config.logins(),
        network_pool: config.network_pool,
        ..docker::Config::new(store.installation().await?)
    });
    let engine = connected.await.map_err(|e| {
        Error::unreachable(format!(
            "No Docker engine answers at {host}. Start one (`cargo xtask up` does), name another by DOCKER_HOST, or \
             look around without one: NEUROPOD_ORCHESTRATOR=memory."
        ))
        .caused_by(e)
    })?;
    tracing::info!(engine = host, "containers run on Docker");
    Ok(engine)
}
