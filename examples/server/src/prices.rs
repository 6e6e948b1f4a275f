//! `/api/pricing`: looking at single prices, working out costs, and changing the list.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header;
use axum::response::Response;
use neuropod::auth::Identity;
use neuropod::id::GpuId;
use neuropod::money::{Money, price};
use neuropod::pricing::{GpuEntry, GpuMatch, GpuSpecs, PriceList, StoragePrice};
use neuropod::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::App;
use crate::answer;
use crate::body::Fields;
use crate::caller::{Admin, Caller, Id};
use crate::catalogue::pricing_view;
use crate::problem::Result;

/// `GET /api/pricing/gpus/available`
pub(crate) async fn available(State(app): State<App>, _: Caller) -> Result<Response> {
    let (_, prices) = app.platform.prices().await?;
    let offered = prices.gpus.iter().filter(|(_, entry)| entry.available);
    let gpus: Vec<Value> = offered.map(|(id, entry)| gpu(id, entry)).collect();
    Ok(answer::data(gpus))
}

/// `GET /api/pricing/gpus/:gpuId`
pub(crate) async fn one(
    State(app): State<App>,
    _: Caller,
    Id(id): Id<GpuName>,
) -> Result<Response> {
    let (_, prices) = app.platform.prices().await?;
    let entry = prices.gpus.get(&id.0).ok_or_else(|| unknown(&id.0))?;
    Ok(answer::data(gpu(&id.0, entry)))
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

fn gpu(id: &GpuId, entry: &GpuEntry) -> Value {
    json!({
        "id": id,
        "name": entry.name,
        "price": entry.price.to_f64(),
        "available": entry.available,
        "specs": entry.specs,
        "devices": entry.devices,
    })
}

/// `POST /api/pricing/calculate-cost`
pub(crate) async fn calculate(
    State(app): State<App>,
    _: Caller,
    mut fields: Fields,
) -> Result<Response> {
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
    let time = std::time::Duration::from_secs(hours.unsigned_abs() * 3600);
    let part = |rate: Money| {
        json!({
            "hourlyRate": rate.to_f64(),
            "cost": price(rate, time).to_f64(),
            "hours": hours,
        })
    };
    let cost = prices.cost_of(&id, container, volume);
    let cost = cost.ok_or_else(|| unknown(&id))?;
    let mut data = json!({
        "gpu": part(cost.gpu),
        "containerDisk": part(cost.container_disk),
        "volumeDisk": part(cost.volume_disk),
        "total": price(cost.total(), time).to_f64(),
        "totalHourly": cost.total().to_f64(),
        "currency": prices.currency,
    });
    data["gpu"]["name"] = json!(entry.map(|entry| &entry.name));
    data["containerDisk"]["size"] = container.into();
    data["volumeDisk"]["size"] = volume.into();
    Ok(answer::data(data))
}

/// `PUT /api/pricing`: what is given is changed, what is not is left. With `If-Match` only if that version is in force.
pub(crate) async fn update(
    State(app): State<App>,
    Admin(who): Admin,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response> {
    let (version, before) = app.platform.prices().await?;
    unchanged(&headers, version)?;
    let mut prices = before;
    read(&mut fields, &mut prices);
    fields.done()?;
    let version = app.platform.set_prices(&who, version, &prices).await?;
    Ok(changed("The prices were changed.", version, &prices, &who))
}

/// `POST /api/pricing/reset`: the list as it is at first start.
pub(crate) async fn reset(
    State(app): State<App>,
    Admin(who): Admin,
    fields: Fields,
) -> Result<Response> {
    fields.done()?;
    let (version, prices) = app.platform.reset_prices(&who).await?;
    let message = "The prices are those of the first start again.";
    Ok(changed(message, version, &prices, &who))
}

fn unchanged(headers: &HeaderMap, version: u64) -> Result<()> {
    let Some(wanted) = headers.get(header::IF_MATCH) else {
        return Ok(());
    };
    let tag = format!("\"{version}\"");
    let matches = wanted
        .to_str()
        .is_ok_and(|wanted| wanted == "*" || wanted == tag);
    match matches {
        true => Ok(()),
        false => Err(crate::problem::Problem::new(
            axum::http::StatusCode::PRECONDITION_FAILED,
            "invalid_transition",
            format!("Another price list is in force by now: {tag}."),
        )),
    }
}

/// The original's `PricingDoc`.
fn changed(message: &str, version: u64, prices: &PriceList, who: &Identity) -> Response {
    let mut data = pricing_view(prices);
    let offered = prices.gpus.iter().filter(|(_, entry)| entry.available);
    data["availableGpus"] = offered.map(|(id, _)| json!(id)).collect();
    data["updatedBy"] = json!(who.user.id);
    data["version"] = json!(version);
    answer::success(json!({ "message": message, "data": data }))
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
        if let Some(product) = fields.text("product") {
            entry.matches.products = vec![product];
        }
        set(&mut entry.matches.products, fields.texts("products"));
        let mib = fields
            .whole("memoryMiB")
            .map(|n| u64::try_from(n).unwrap_or(0));
        set(&mut entry.matches.memory_mib, mib);
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
