//! The price list as the frontend knows it.

use std::collections::BTreeMap;

use neuropod::id::{GpuId, UserId};
use neuropod::pricing::{GpuEntry, GpuSpecs, PriceList, StoragePrice};
use serde::Serialize;
use utoipa::ToSchema;

/// The original's `PricingView`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PricingView {
    /// ISO 4217 code, `EUR`.
    currency: String,
    free_tier: FreeTierView,
    /// By their ids.
    gpus: BTreeMap<String, GpuView>,
    limits: LimitsView,
    storage: StorageView,
}

/// The original's `PricingDoc`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PricingDoc {
    #[serde(flatten)]
    view: PricingView,
    /// Which are offered.
    available_gpus: Vec<GpuId>,
    updated_by: UserId,
    version: u64,
}

/// An entry of the list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GpuView {
    /// Whether it is offered.
    available: bool,
    /// How many devices it takes.
    devices: u32,
    /// Not where it is the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<GpuId>,
    /// For people.
    name: String,
    /// Per hour.
    price: f64,
    specs: GpuSpecs,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct FreeTierView {
    enabled: bool,
    /// What a new user is given.
    initial_balance: f64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LimitsView {
    /// GB
    container_disk_max: u32,
    pods_per_user: u32,
    /// Not in the public list.
    #[serde(skip_serializing_if = "Option::is_none")]
    ports_max: Option<u32>,
    /// GB
    volume_disk_max: u32,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StorageView {
    container_disk: StoragePriceView,
    volume_disk: StoragePriceView,
}

#[derive(Debug, Serialize, ToSchema)]
struct StoragePriceView {
    /// For people.
    description: String,
    /// Per GB and hour.
    price: f64,
    /// For people.
    unit: String,
}

impl PricingView {
    pub(crate) fn of(prices: &PriceList) -> Self {
        let gpus = prices.gpus.iter();
        Self {
            currency: prices.currency.clone(),
            free_tier: FreeTierView {
                enabled: prices.free_tier.enabled,
                initial_balance: prices.free_tier.initial_balance.to_f64(),
            },
            gpus: gpus
                .map(|(id, entry)| (id.to_string(), GpuView::of(None, entry)))
                .collect(),
            limits: LimitsView {
                container_disk_max: prices.limits.container_disk_max,
                pods_per_user: prices.limits.pods_per_user,
                ports_max: Some(prices.limits.ports_max),
                volume_disk_max: prices.limits.volume_disk_max,
            },
            storage: StorageView {
                container_disk: StoragePriceView::of(&prices.container_disk),
                volume_disk: StoragePriceView::of(&prices.volume_disk),
            },
        }
    }

    /// For everybody: without `limits.portsMax`.
    pub(crate) fn public(prices: &PriceList) -> Self {
        let mut view = Self::of(prices);
        view.limits.ports_max = None;
        view
    }
}

impl PricingDoc {
    pub(crate) fn of(prices: &PriceList, version: u64, updated_by: UserId) -> Self {
        let offered = prices.gpus.iter().filter(|(_, entry)| entry.available);
        Self {
            view: PricingView::of(prices),
            available_gpus: offered.map(|(id, _)| id.clone()).collect(),
            updated_by,
            version,
        }
    }
}

impl GpuView {
    pub(crate) fn of(id: Option<&GpuId>, entry: &GpuEntry) -> Self {
        Self {
            available: entry.available,
            devices: entry.devices,
            id: id.cloned(),
            name: entry.name.clone(),
            price: entry.price.to_f64(),
            specs: entry.specs.clone(),
        }
    }
}

impl StoragePriceView {
    fn of(price: &StoragePrice) -> Self {
        Self {
            description: price.description.clone(),
            price: price.price.to_f64(),
            unit: price.unit.clone(),
        }
    }
}
