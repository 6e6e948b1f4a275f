//! `/api/pricing`: looking at single prices, working out costs, and changing the list.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use neuropod::activity::Did;
use neuropod::id::GpuId;
use neuropod::money::{Money, price};
use neuropod::pricing::{GpuEntry, GpuMatch, GpuSpecs, PriceList, StoragePrice};
use neuropod::{Error, ErrorKind};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::App;
use crate::amount::Amount;
use crate::answer::{self, Changed, Data};
use crate::body::{Fields, Nothing};
use crate::caller::{Admin, Caller, Id};
use crate::etag;
use crate::openapi::Refused;
use crate::price_view::{GpuView, PricingDoc};
use crate::problem::Result;

/// What is to be worked out.
#[derive(ToSchema)]
#[schema(as = CalculateCost)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "what `calculate` reads, for the document")]
pub(crate) struct Calculate {
    gpu: GpuId,
    /// GB, at most `limits.containerDiskMax`.
    #[schema(minimum = 1, maximum = 100_000)]
    container_disk_size: u32,
    /// GB, at most `limits.volumeDiskMax`.
    #[schema(minimum = 1, maximum = 100_000)]
    volume_disk_size: u32,
    /// 1, if it is not said.
    #[schema(minimum = 1, maximum = 8784)]
    hours: Option<u32>,
}

/// What something costs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Costs {
    container_disk: PartCost,
    currency: String,
    gpu: PartCost,
    total: f64,
    total_hourly: f64,
    volume_disk: PartCost,
}

/// What a part of it costs.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PartCost {
    cost: f64,
    hourly_rate: f64,
    hours: i64,
    /// Of a GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Of a disk, in GB.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
}

/// What is given is changed.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "what `read` reads, for the document")]
pub(crate) struct UpdatePricing {
    /// By their ids; one that is not there yet is added.
    gpus: Option<BTreeMap<String, GpuChange>>,
    storage: Option<StorageChange>,
    limits: Option<LimitsChange>,
    free_tier: Option<FreeTierChange>,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what `read_gpu` reads, for the document")]
struct GpuChange {
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// Per hour.
    price: Option<Amount>,
    available: Option<bool>,
    /// How many devices it takes; with any, `match` names a product.
    #[schema(maximum = 64)]
    devices: Option<u32>,
    specs: Option<SpecsChange>,
    r#match: Option<MatchChange>,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what `read_gpu` reads, for the document")]
struct SpecsChange {
    #[schema(max_length = 100)]
    memory: Option<String>,
    #[schema(maximum = 1_000_000)]
    cores: Option<u32>,
    #[schema(max_length = 100)]
    performance: Option<String>,
}

/// Which devices an entry stands for.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what `read_gpu` reads, for the document")]
struct MatchChange {
    /// One more in `products`.
    product: Option<String>,
    #[schema(max_items = 20)]
    products: Option<Vec<String>>,
    /// At least so much memory.
    #[serde(rename = "memoryMiB")]
    #[schema(maximum = 100_000_000)]
    memory_mib: Option<u32>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "what `read` reads, for the document")]
struct StorageChange {
    container_disk: Option<StoragePriceChange>,
    volume_disk: Option<StoragePriceChange>,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what `read_storage` reads, for the document")]
struct StoragePriceChange {
    /// Per GB and hour.
    price: Option<Amount>,
    #[schema(max_length = 100)]
    unit: Option<String>,
    #[schema(max_length = 500)]
    description: Option<String>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "what `read` reads, for the document")]
struct LimitsChange {
    #[schema(minimum = 1, maximum = 100_000)]
    container_disk_max: Option<u32>,
    #[schema(minimum = 1, maximum = 100_000)]
    volume_disk_max: Option<u32>,
    #[schema(minimum = 1, maximum = 100)]
    ports_max: Option<u32>,
    #[schema(minimum = 1, maximum = 100_000)]
    pods_per_user: Option<u32>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "what `read` reads, for the document")]
struct FreeTierChange {
    enabled: Option<bool>,
    initial_balance: Option<Amount>,
}

/// The GPUs that are offered
#[utoipa::path(
    get, path = "/api/pricing/gpus/available", operation_id = "listAvailableGpus",
    responses((status = 200, body = Data<Vec<GpuView>>)),
)]
pub(crate) async fn available(
    State(app): State<App>,
    _caller: Caller,
) -> Result<Json<Data<Vec<GpuView>>>> {
    let (_, prices) = app.platform.prices().await?;
    let offered = prices.gpus.iter().filter(|(_, entry)| entry.available);
    let gpus = offered.map(|(id, entry)| GpuView::of(Some(id), entry));
    Ok(answer::data(gpus.collect()))
}

/// One GPU of the list
#[utoipa::path(
    get, path = "/api/pricing/gpus/{gpuId}", operation_id = "getGpu", params(("gpuId" = String, Path)),
    responses((status = 200, body = Data<GpuView>), Refused<404>),
)]
pub(crate) async fn one(
    State(app): State<App>,
    _caller: Caller,
    Id(id): Id<GpuName>,
) -> Result<Json<Data<GpuView>>> {
    let (_, prices) = app.platform.prices().await?;
    let entry = prices.gpus.get(&id.0).ok_or_else(|| unknown(&id.0))?;
    Ok(answer::data(GpuView::of(Some(&id.0), entry)))
}

/// Any text: what is in no list is not there.
#[derive(Debug)]
pub(crate) struct GpuName(GpuId);

impl std::str::FromStr for GpuName {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(Self(GpuId::from(text)))
    }
}

fn unknown(id: &GpuId) -> Error {
    let shown: String = id.as_str().chars().take(40).collect();
    let message = format!("There is no GPU \"{}\".", shown.escape_debug());
    Error::new(ErrorKind::NotFound, message)
}

/// Work out what something costs
#[utoipa::path(
    post, path = "/api/pricing/calculate-cost", operation_id = "calculateCost", request_body = Calculate,
    responses((status = 200, body = Data<Costs>)),
)]
pub(crate) async fn calculate(
    State(app): State<App>,
    Caller(who): Caller,
    mut fields: Fields,
) -> Result<Json<Data<Costs>>> {
    let (_, prices) = app.platform.prices().await?;
    let id = GpuId::new(fields.text("gpu").unwrap_or_default());
    let entry = prices.gpus.get(&id);
    if entry.is_none() {
        fields.wrong("gpu", "\"gpu\" names an entry of the price list.");
    }
    let mut size = |field: &str, most: u32| {
        let size = fields.whole(field).and_then(|n| u32::try_from(n).ok());
        size.filter(|n| (1..=most).contains(n)).unwrap_or_else(|| {
            fields.wrong(
                field,
                format!("\"{field}\" is a whole number, 1 to {most}."),
            );
            0
        })
    };
    let container = size("containerDiskSize", prices.limits.container_disk_max);
    let volume = size("volumeDiskSize", prices.limits.volume_disk_max);
    let hours = fields.whole("hours").unwrap_or(1);
    if !(1..=24 * 366).contains(&hours) {
        fields.wrong("hours", "\"hours\" is a whole number, 1 to 8784.");
    }
    fields.done()?;
    app.platform
        .note_look(&who, Did::CalculateCost, json!({ "gpu": id }));
    let time = std::time::Duration::from_secs(hours.unsigned_abs() * 3600);
    let part = |rate: Money| PartCost {
        cost: price(rate, time).to_f64(),
        hourly_rate: rate.to_f64(),
        hours,
        ..PartCost::default()
    };
    let cost = prices.cost_of(&id, container, volume);
    let cost = cost.ok_or_else(|| unknown(&id))?;
    Ok(answer::data(Costs {
        container_disk: PartCost {
            size: Some(container),
            ..part(cost.container_disk)
        },
        gpu: PartCost {
            name: entry.map(|entry| entry.name.clone()),
            ..part(cost.gpu)
        },
        total: price(cost.total(), time).to_f64(),
        total_hourly: cost.total().to_f64(),
        volume_disk: PartCost {
            size: Some(volume),
            ..part(cost.volume_disk)
        },
        currency: prices.currency.clone(),
    }))
}

/// Change prices
///
/// What is given is changed, what is not is left. With `If-Match` only if that version is in force.
#[utoipa::path(
    put, path = "/api/pricing", operation_id = "updatePricing", params(etag::IfMatch), request_body = UpdatePricing,
    responses((status = 200, body = Changed<PricingDoc>), Refused<412>),
)]
pub(crate) async fn update(
    State(app): State<App>,
    Admin(who): Admin,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Json<Changed<PricingDoc>>> {
    let (version, mut prices) = app.platform.prices().await?;
    read(&mut fields, &mut prices);
    fields.done()?;
    prices.check()?;
    etag::unchanged(&headers, version)?;
    let version = app.platform.set_prices(&who, version, &prices).await?;
    let changed = PricingDoc::of(&prices, version, Some(who.user.id), app.now());
    Ok(answer::changed(changed, "The prices were changed."))
}

/// Make the price list what it is at first start
#[utoipa::path(
    post, path = "/api/pricing/reset", operation_id = "resetPricing", request_body = Nothing,
    responses((status = 200, body = Changed<PricingDoc>)),
)]
pub(crate) async fn reset(
    State(app): State<App>,
    Admin(who): Admin,
    fields: Fields,
) -> Result<Json<Changed<PricingDoc>>> {
    fields.done()?;
    let (version, prices) = app.platform.reset_prices(&who).await?;
    let changed = PricingDoc::of(&prices, version, None, app.now());
    let message = "The prices are those of the first start again.";
    Ok(answer::changed(changed, message))
}

/// Changes what is given.
fn read(fields: &mut Fields, prices: &mut PriceList) {
    fields.object("gpus", |gpus| {
        for id in gpus.names() {
            gpus.object(&id, |fields| {
                let new = || GpuEntry {
                    name: id.to_uppercase().replacen('-', " ", 1),
                    price: Money::from_micros(-1),
                    available: true,
                    specs: GpuSpecs {
                        memory: String::new(),
                        cores: 0,
                        performance: String::new(),
                    },
                    matches: GpuMatch::default(),
                    devices: 1,
                };
                let entry = prices.gpus.entry(GpuId::from(id.as_str()));
                read_gpu(fields, entry.or_insert_with(new));
            });
        }
    });
    fields.object("storage", |storage| {
        for (name, price) in [
            ("containerDisk", &mut prices.container_disk),
            ("volumeDisk", &mut prices.volume_disk),
        ] {
            storage.object(name, |fields| read_storage(fields, price));
        }
    });
    fields.object("limits", |fields| {
        let limits = &mut prices.limits;
        for (name, limit) in [
            ("containerDiskMax", &mut limits.container_disk_max),
            ("volumeDiskMax", &mut limits.volume_disk_max),
            ("portsMax", &mut limits.ports_max),
            ("podsPerUser", &mut limits.pods_per_user),
        ] {
            set(limit, small(fields, name));
        }
    });
    fields.object("freeTier", |fields| {
        set(&mut prices.free_tier.enabled, fields.flag("enabled"));
        set(
            &mut prices.free_tier.initial_balance,
            fields.money("initialBalance"),
        );
    });
}

fn read_gpu(fields: &mut Fields, entry: &mut GpuEntry) {
    set(&mut entry.name, fields.text("name"));
    set(&mut entry.price, fields.money("price"));
    set(&mut entry.available, fields.flag("available"));
    set(&mut entry.devices, small(fields, "devices"));
    fields.object("specs", |fields| {
        set(&mut entry.specs.memory, fields.text("memory"));
        set(&mut entry.specs.cores, small(fields, "cores"));
        set(&mut entry.specs.performance, fields.text("performance"));
    });
    fields.object("match", |fields| {
        let mut products = fields.texts("products");
        if let Some(product) = fields.text("product") {
            products.get_or_insert_default().push(product);
        }
        set(&mut entry.matches.products, products);
        set(
            &mut entry.matches.memory_mib,
            small(fields, "memoryMiB").map(u64::from),
        );
    });
}

fn read_storage(fields: &mut Fields, storage: &mut StoragePrice) {
    set(&mut storage.price, fields.money("price"));
    set(&mut storage.unit, fields.text("unit"));
    set(&mut storage.description, fields.text("description"));
}

/// A whole number; what does not fit is larger than any limit.
fn small(fields: &mut Fields, name: &str) -> Option<u32> {
    let number = fields.whole(name)?;
    Some(u32::try_from(number).unwrap_or(u32::MAX))
}

fn set<T>(place: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *place = given;
    }
}
