//! The part of the catalogue that follows from what the backend has.

use serde_json::json;

use super::seed::{CURRENT, PRICES, history};
use super::{Core, Platform};
use crate::activity::Did;
use crate::auth::Identity;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{GpuId, UserId};
use crate::money::Money;
use crate::pricing::PriceList;
use crate::store::{Changes, DocChange, StoreExt};

/// A catalogue that others change so often in a row is left as it is.
const TRIES: usize = 8;

impl Platform {
    /// Puts another price list in force, in place of that `version`; for administrators. Pods that run keep their prices
    /// until they are started again. Answers the new version.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid`, with every wrong field; `Conflict` if another list is in force by now.
    pub async fn set_prices(
        &self,
        who: &Identity,
        version: u64,
        prices: &PriceList,
    ) -> Result<u64> {
        self.administers(who).await?;
        prices.check()?;
        self.put_in_force(who, version, prices, Did::UpdatePricing)
            .await
    }

    /// Puts the price list of the first start in force again; for administrators. Answers its version.
    ///
    /// # Errors
    /// `Forbidden`, and `Conflict` if the list is being changed all the time.
    pub async fn reset_prices(&self, who: &Identity) -> Result<(u64, PriceList)> {
        self.administers(who).await?;
        let prices = PriceList::seed();
        let mut tried = 0;
        loop {
            let (version, _) = self.0.prices().await?;
            tried += 1;
            match self
                .put_in_force(who, version, &prices, Did::ResetPricing)
                .await
            {
                Err(e) if *e.kind() == ErrorKind::Conflict && tried < TRIES => {}
                written => return written.map(|version| (version, prices)),
            }
        }
    }

    async fn put_in_force(
        &self,
        who: &Identity,
        version: u64,
        prices: &PriceList,
        did: Did,
    ) -> Result<u64> {
        let body = serde_json::to_value(prices)
            .map_err(|e| Error::internal("A price list can't be written.").caused_by(e))?;
        let noted = self.0.did(who, did, json!({ "version": version + 1 }));
        write(&self.0, version, body, Some((who.user.id, noted))).await?;
        Ok(version + 1)
    }

    /// Adds an entry at `price` to the catalogue for each product of the backend's devices that no entry stands for, and
    /// answers the new ones. For programs that start: a second call changes nothing.
    ///
    /// # Errors
    /// `Unreachable`, and `Conflict` if the catalogue is being changed all the time.
    pub async fn add_products(&self, price: Money) -> Result<Vec<GpuId>> {
        let devices = self.0.orchestrator.capacity().await?.devices;
        let mut tried = 0;
        loop {
            let (version, mut prices) = self.0.prices().await?;
            let added = prices.add_products(&devices, price);
            if added.is_empty() {
                return Ok(added);
            }
            let body = serde_json::to_value(prices)
                .map_err(|e| Error::internal("A price list can't be written.").caused_by(e))?;
            tried += 1;
            match write(&self.0, version, body, None).await {
                Err(e) if *e.kind() == ErrorKind::Conflict && tried < TRIES => {}
                written => return written.map(|()| added),
            }
        }
    }
}

/// Replaces the price list of this version.
async fn write(
    core: &Core,
    version: u64,
    body: serde_json::Value,
    by: Option<(UserId, DocChange)>,
) -> Result<()> {
    let current = core
        .store
        .document(PRICES, CURRENT, core.clock.now())
        .await?;
    let current = current.filter(|document| document.version == version);
    let mut document = current.ok_or_else(|| Error::conflict("The price list has changed."))?;
    let (by, noted) = by.unzip();
    let history = history(version + 1, &body, by, core.clock.now());
    document.body = body;
    core.commit(Changes {
        documents: [DocChange::Put(document), history]
            .into_iter()
            .chain(noted)
            .collect(),
        ..Changes::default()
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{MemoryOrchestrator, MemoryStore};
    use crate::orchestrator::Device;

    #[tokio::test]
    async fn a_product_that_no_entry_stands_for_is_added_once() {
        let device = |id: &str, product: &str| Device {
            id: id.into(),
            product: product.to_owned(),
            memory_mib: 81_559,
            healthy: true,
        };
        let devices = [
            device("GPU-1", "NVIDIA GeForce RTX 4050"),
            device("GPU-2", "NVIDIA H100 80GB HBM3"),
            device("GPU-3", "NVIDIA H100 80GB HBM3"),
        ];
        let store = std::sync::Arc::new(MemoryStore::new());
        let platform = async || {
            let engine = MemoryOrchestrator::builder()
                .devices(devices.clone())
                .build();
            let built = Platform::builder()
                .orchestrator(engine)
                .store(store.clone());
            built.build().await.unwrap()
        };
        let price = Money::from_micros(2_500_000);
        let added = platform().await.add_products(price).await.unwrap();
        assert_eq!(added, [GpuId::from("h100-80gb-hbm3")]);
        let platform = platform().await;
        let (version, prices) = platform.prices().await.unwrap();
        assert_eq!(prices.gpus[&added[0]].price, price);
        assert_eq!(prices.gpus.len(), 5);
        assert_eq!(platform.add_products(price).await.unwrap(), []);
        assert_eq!(platform.prices().await.unwrap().0, version);
    }
}
