//! `/api/pricing` and `/api/templates`: what can be launched, and for how much.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use neuropod::id::{TemplateId, UserId};
use neuropod::pod::Proto;
use neuropod::pricing::{PriceList, StoragePrice};
use neuropod::template::Template;
use serde_json::{Value, json};

use crate::App;
use crate::answer;
use crate::caller::{Caller, Id};
use crate::problem::Result;

/// `GET /api/pricing`
pub(crate) async fn pricing(State(app): State<App>, _caller: Caller) -> Result<Response> {
    let (version, prices) = app.platform.prices().await?;
    let tag = [(header::ETAG, format!("\"{version}\""))];
    Ok((tag, answer::data(pricing_view(&prices))).into_response())
}

/// `GET /api/pricing/public`
pub(crate) async fn public_pricing(State(app): State<App>) -> Result<Response> {
    let (_, prices) = app.platform.prices().await?;
    let mut view = pricing_view(&prices);
    if let Some(limits) = view["limits"].as_object_mut() {
        limits.remove("portsMax");
    }
    Ok(answer::data(view))
}

/// The original's `PricingView`.
pub(crate) fn pricing_view(prices: &PriceList) -> Value {
    let gpus: BTreeMap<&str, Value> = prices
        .gpus
        .iter()
        .map(|(id, gpu)| {
            let entry = json!({
                "name": gpu.name,
                "price": gpu.price.to_f64(),
                "available": gpu.available,
                "specs": gpu.specs,
                "devices": gpu.devices,
            });
            (id.as_str(), entry)
        })
        .collect();
    let storage = |price: &StoragePrice| {
        json!({
            "price": price.price.to_f64(),
            "unit": price.unit,
            "description": price.description,
        })
    };
    json!({
        "gpus": gpus,
        "storage": {
            "containerDisk": storage(&prices.container_disk),
            "volumeDisk": storage(&prices.volume_disk),
        },
        "limits": {
            "containerDiskMax": prices.limits.container_disk_max,
            "volumeDiskMax": prices.limits.volume_disk_max,
            "portsMax": prices.limits.ports_max,
            "podsPerUser": prices.limits.pods_per_user,
        },
        "freeTier": {
            "enabled": prices.free_tier.enabled,
            "initialBalance": prices.free_tier.initial_balance.to_f64(),
        },
        "currency": prices.currency,
    })
}

/// `GET /api/templates`: a bare array.
pub(crate) async fn templates(State(app): State<App>, _caller: Caller) -> Result<Json<Value>> {
    let mut makers = Makers::default();
    let mut all = Vec::new();
    for template in app.platform.templates().await? {
        let maker = makers.get(&app, template.created_by).await?;
        all.push(template_doc(&template, maker));
    }
    Ok(Json(all.into()))
}

/// `GET /api/templates/:id`
pub(crate) async fn template(
    State(app): State<App>,
    _caller: Caller,
    Id(id): Id<TemplateId>,
) -> Result<Json<Value>> {
    let template = app.platform.template(id).await?;
    let maker = Makers::default().get(&app, template.created_by).await?;
    Ok(Json(template_doc(&template, maker)))
}

/// Who made templates, each looked up once.
#[derive(Default)]
struct Makers(BTreeMap<UserId, Value>);

impl Makers {
    async fn get(&mut self, app: &App, id: Option<UserId>) -> Result<Value> {
        let Some(id) = id else {
            return Ok(Value::Null);
        };
        if let Some(known) = self.0.get(&id) {
            return Ok(known.clone());
        }
        let user = app.platform.store().user(id).await?;
        let maker = user.map_or(
            Value::Null,
            |user| json!({ "_id": user.id, "name": user.name, "email": user.email }),
        );
        self.0.insert(id, maker.clone());
        Ok(maker)
    }
}

/// The original's `TemplateDoc`.
fn template_doc(template: &Template, created_by: Value) -> Value {
    let ports = |proto| -> Vec<Value> {
        let ports = template.ports.iter().filter(|port| port.proto == proto);
        ports
            .map(|port| json!({ "port": port.container, "serviceName": port.name }))
            .collect()
    };
    json!({
        "_id": template.id,
        "id": template.id,
        "__v": 0,
        "name": template.name,
        "dockerImage": template.image,
        "httpPorts": ports(Proto::Http),
        "tcpPorts": ports(Proto::Tcp),
        "containerDiskSize": template.container_disk_gb,
        "volumeDiskSize": template.volume_disk_gb,
        "volumePath": template.volume_path,
        "description": template.description,
        "createdBy": created_by,
        "createdAt": template.created_at,
        "updatedAt": template.updated_at,
    })
}
