//! The price list as the frontend knows it.

use std::collections::BTreeMap;

use neuropod::Time;
use neuropod::id::{GpuId, UserId};
use neuropod::pricing::{GpuEntry, GpuSpecs, PriceList, StoragePrice};
use serde::Serialize;
use utoipa::ToSchema;

/// The id of the original's one document of prices.
const ID: &str = "507f1f77bcf86cd799439011";

/// How many devices are free of each entry.
pub(crate) type Free = BTreeMap<GpuId, Option<usize>>;

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
    /// Always the same.
    id: &'static str,
    updated_at: Time,
    /// Not after a reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_by: Option<UserId>,
    version: u64,
}

/// An entry of the list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GpuView {
    /// Whether it is offered.
    available: bool,
    /// How many devices it takes.
    devices: u32,
    /// How many devices are free now; `null` for one that takes none, and where the backend can't say. Not where nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<usize>)]
    free: Option<Option<usize>>,
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
    /// `free` where it is to be shown.
    pub(crate) fn of(prices: &PriceList, free: Option<&Free>) -> Self {
        let gpus = prices.gpus.iter();
        Self {
            currency: prices.currency.clone(),
            free_tier: FreeTierView {
                enabled: prices.free_tier.enabled,
                initial_balance: prices.free_tier.initial_balance.to_f64(),
            },
            gpus: gpus
                .map(|(id, entry)| {
                    let mut view = GpuView::of(None, entry);
                    view.free = free.map(|free| free.get(id).copied().flatten());
                    (id.to_string(), view)
                })
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
        let mut view = Self::of(prices, None);
        view.limits.ports_max = None;
        view
    }
}

impl PricingDoc {
    pub(crate) fn of(
        prices: &PriceList,
        version: u64,
        updated_by: Option<UserId>,
        updated_at: Time,
    ) -> Self {
        let offered = prices.gpus.iter().filter(|(_, entry)| entry.available);
        Self {
            view: PricingView::of(prices, None),
            available_gpus: offered.map(|(id, _)| id.clone()).collect(),
            id: ID,
            updated_at,
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
            free: None,
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
