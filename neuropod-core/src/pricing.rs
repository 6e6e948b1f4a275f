//! The price list and GPU catalogue, as data: a document of the store, seeded at first start.

mod check;
mod product;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::GpuId;
use crate::money::Money;
use crate::pod::PodSpec;

/// Prices, GPU catalogue and limits at one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriceList {
    /// ISO 4217 code, `EUR`.
    pub currency: String,
    /// What can be asked for.
    pub gpus: BTreeMap<GpuId, GpuEntry>,
    /// Container disk.
    pub container_disk: StoragePrice,
    /// Volume.
    pub volume_disk: StoragePrice,
    /// Limits of one launch and one user.
    pub limits: Limits,
    /// What a new user gets.
    pub free_tier: FreeTier,
}

/// An entry of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GpuEntry {
    /// A name for people, `RTX 4050`.
    pub name: String,
    /// Per hour.
    pub price: Money,
    /// Whether it is offered: the administrator's flag, not whether one is free now.
    pub available: bool,
    /// Facts for people.
    pub specs: GpuSpecs,
    /// Which hardware it stands for.
    #[serde(rename = "match")]
    pub matches: GpuMatch,
    /// How many devices it takes; 0 for `cpu`.
    pub devices: u32,
}

/// Facts about a GPU, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GpuSpecs {
    /// `6GB GDDR6`.
    pub memory: String,
    /// Cores.
    pub cores: u32,
    /// `Entry Level`.
    pub performance: String,
}

/// Which devices an entry stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GpuMatch {
    /// Product names, any of them; the vendor's words (`NVIDIA GeForce`), case and signs between words make no
    /// difference. Empty matches nothing.
    pub products: Vec<String>,
    /// At least so much memory, in MiB.
    pub memory_mib: u64,
}

impl GpuMatch {
    /// Whether a device of this product and memory is one of those.
    pub fn fits(&self, product: &str, memory_mib: u64) -> bool {
        let name = product::slug(product);
        memory_mib >= self.memory_mib && self.products.iter().any(|p| product::slug(p) == name)
    }
}

/// The price of a GB-hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoragePrice {
    /// Per GB and hour.
    pub price: Money,
    /// The unit's text, `€/GB/hora`.
    pub unit: String,
    /// For people.
    pub description: String,
}

/// Limits of one launch and one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Limits {
    /// GB of container disk.
    pub container_disk_max: u32,
    /// GB of volume.
    pub volume_disk_max: u32,
    /// Published ports.
    pub ports_max: u32,
    /// Pods of one user; administrators have no such limit.
    pub pods_per_user: u32,
}

/// What a new user gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FreeTier {
    /// Whether a new user gets anything.
    pub enabled: bool,
    /// How much.
    pub initial_balance: Money,
}

/// What a specification costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// GPU, per hour.
    pub gpu: Money,
    /// Container disk, per hour.
    pub container_disk: Money,
    /// Volume, per hour, also while stopped.
    pub volume_disk: Money,
}

impl Cost {
    /// Per hour while running, without the volume.
    pub fn run(&self) -> Money {
        self.gpu + self.container_disk
    }
    /// Per hour while running.
    pub fn total(&self) -> Money {
        self.run() + self.volume_disk
    }
}

impl PriceList {
    /// What `spec` costs per hour; `None` if its GPU is not in the catalogue.
    pub fn cost(&self, spec: &PodSpec) -> Option<Cost> {
        self.cost_of(&spec.gpu, spec.container_disk_gb, spec.volume_disk_gb)
    }

    /// What a GPU and disks of so many GB cost per hour; `None` if the GPU is not in the catalogue.
    pub fn cost_of(&self, gpu: &GpuId, container_gb: u32, volume_gb: u32) -> Option<Cost> {
        let times = |price: Money, gb: u32| {
            Money::from_micros(price.as_micros().saturating_mul(i64::from(gb)))
        };
        Some(Cost {
            gpu: self.gpus.get(gpu)?.price,
            container_disk: times(self.container_disk.price, container_gb),
            volume_disk: times(self.volume_disk.price, volume_gb),
        })
    }

    /// The list that is seeded: the original's three GPUs and storage prices, and the entry `cpu`, which takes no
    /// device.
    pub fn seed() -> Self {
        let entry =
            |name: &str, price, available, memory: &str, cores, performance: &str| GpuEntry {
                name: name.to_owned(),
                price: Money::from_micros(price),
                available,
                specs: GpuSpecs {
                    memory: memory.to_owned(),
                    cores,
                    performance: performance.to_owned(),
                },
                matches: GpuMatch {
                    products: vec![
                        format!("NVIDIA GeForce {name}"),
                        format!("NVIDIA GeForce {name} Laptop GPU"),
                    ],
                    memory_mib: 0,
                },
                devices: 1,
            };
        let cpu = GpuEntry {
            matches: GpuMatch::default(),
            devices: 0,
            ..entry("CPU", 100_000, true, "-", 2, "No GPU")
        };
        Self {
            currency: "EUR".to_owned(),
            gpus: BTreeMap::from([
                (GpuId::from("cpu"), cpu),
                (
                    GpuId::from("rtx-4050"),
                    entry(
                        "RTX 4050",
                        2_500_000,
                        true,
                        "6GB GDDR6",
                        2560,
                        "Entry Level",
                    ),
                ),
                (
                    GpuId::from("rtx-4080"),
                    entry(
                        "RTX 4080",
                        4_990_000,
                        false,
                        "16GB GDDR6X",
                        9728,
                        "Ultra Performance",
                    ),
                ),
                (
                    GpuId::from("rtx-4090"),
                    entry(
                        "RTX 4090",
                        8_990_000,
                        false,
                        "24GB GDDR6X",
                        16384,
                        "Flagship",
                    ),
                ),
            ]),
            container_disk: StoragePrice {
                price: Money::from_micros(50_000),
                unit: "€/GB/hora".to_owned(),
                description: "Almacenamiento temporal del contenedor".to_owned(),
            },
            volume_disk: StoragePrice {
                price: Money::from_micros(100_000),
                unit: "€/GB/hora".to_owned(),
                description: "Almacenamiento persistente en /workspace".to_owned(),
            },
            limits: Limits {
                container_disk_max: 100,
                volume_disk_max: 150,
                ports_max: 10,
                pods_per_user: 100,
            },
            free_tier: FreeTier {
                enabled: true,
                initial_balance: Money::from_micros(10_000_000),
            },
        }
    }
}
