//! `neuropod-server seed`: what a store has after its first start.

use neuropod::{Platform, Result};

use crate::assemble;
use crate::config::Config;

/// Writes the price list and the templates of the first start, if the store has none. Repeated, it changes nothing.
///
/// # Errors
/// If the store does not answer.
pub async fn seed(config: &Config) -> Result<()> {
    let store = assemble::store(config).await?;
    let platform = Platform::builder().store(store).build().await?;
    let (version, _) = platform.prices().await?;
    let templates = platform.templates().await?.len();
    tracing::info!(
        version,
        templates,
        "the store has a price list and templates"
    );
    Ok(())
}
