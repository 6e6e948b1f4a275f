//! Billing that charges nothing, but freezes prices all the same.

use async_trait::async_trait;

use super::{
    Adjusted, Adjustment, Admission, Ask, Balance, Billing, Credit, Part, Quote, Reading,
    Settlement,
};
use crate::error::{Error, ErrorKind, Result};
use crate::id::AccountId;
use crate::money::Money;
use crate::pod::Terms;
use crate::store::{Condition, Page, Transfer, TransferQuery};
use crate::time::Time;

/// Charges nothing and refuses nobody. Runs still freeze payer, rates and price version.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> neuropod_core::Result<()> {
/// use neuropod_core::money::Money;
/// use neuropod_core::{Launch, Platform, auth::Identity, billing::Unmetered};
///
/// let platform = Platform::builder().billing(Unmetered).build().await?; // as without it
/// let launch = Launch::image("demo").disks(10, 20);
/// let pod = platform.launch(&Identity::local(), &launch).await?;
/// assert!(pod.terms.volume_rate > Money::ZERO, "what it would cost is known");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Unmetered;

/// The price of an ask, with this account as payer.
pub(super) fn quote(ask: &Ask, payer: AccountId) -> Result<Quote> {
    let cost = ask.prices.cost(&ask.spec).ok_or_else(|| {
        Error::invalid(
            "/gpu",
            format!("There is no GPU \"{}\" in the price list.", ask.spec.gpu),
        )
    })?;
    let part = |name: &str, per_hour| Part {
        name: name.to_owned(),
        per_hour,
    };
    Ok(Quote {
        terms: Terms {
            payer,
            run_rate: cost.run(),
            volume_rate: cost.volume_disk,
            price_version: ask.price_version,
        },
        hold: cost.total(),
        parts: vec![
            part("gpu", cost.gpu),
            part("containerDisk", cost.container_disk),
            part("volumeDisk", cost.volume_disk),
        ],
    })
}

fn no_balances() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "This installation does not meter anything, so it keeps no balances.",
    )
}

#[async_trait]
impl Billing for Unmetered {
    async fn quote(&self, ask: &Ask) -> Result<Quote> {
        Ok(Quote {
            hold: Money::ZERO,
            ..quote(ask, AccountId::of(ask.payer.id))?
        })
    }
    async fn admit(&self, _: &Admission) -> Result<Vec<Condition>> {
        Ok(Vec::new())
    }
    async fn settle(&self, _: &[Reading]) -> Result<Settlement> {
        Ok(Settlement::default())
    }
    async fn credit(&self, _: &Credit) -> Result<Vec<Transfer>> {
        Err(no_balances())
    }
    async fn adjust(&self, _: &Adjustment) -> Result<Adjusted> {
        Err(no_balances())
    }
    async fn balance(&self, _: &AccountId, _: Time) -> Result<Balance> {
        Ok(Balance::unlimited())
    }
    async fn statement(&self, _: &TransferQuery) -> Result<Page<Transfer>> {
        Ok(Page::default())
    }
}
