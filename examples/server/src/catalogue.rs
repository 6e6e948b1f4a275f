//! `/api/pricing` and `/api/templates`: what can be launched, and for how much.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use neuropod::activity::Did;
use neuropod::id::{TemplateId, UserId};
use neuropod::pod::Proto;
use neuropod::template::Template;
use neuropod::{Result as CoreResult, Time};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::App;
use crate::answer::{self, Data};
use crate::caller::{Caller, Id};
use crate::etag::{self, Tagged};
use crate::openapi::Refused;
use crate::pods::BACKEND_PATIENCE;
use crate::price_view::PricingView;
use crate::problem::Result;

/// The original's `TemplateDoc`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TemplateDoc {
    /// Always 0.
    #[serde(rename = "__v")]
    v: u32,
    /// The same as `id`.
    #[serde(rename = "_id")]
    same_id: TemplateId,
    container_disk_size: u32,
    created_at: Time,
    /// `null` if he is gone.
    created_by: Option<Maker>,
    /// Markdown.
    description: String,
    docker_image: String,
    http_ports: Vec<TemplatePort>,
    id: TemplateId,
    name: String,
    tcp_ports: Vec<TemplatePort>,
    updated_at: Time,
    volume_disk_size: u32,
    /// Where the volume is in the container.
    volume_path: String,
}

/// A port of a template.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TemplatePort {
    port: u16,
    /// For people.
    service_name: String,
}

/// Who made a template.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Maker {
    #[serde(rename = "_id")]
    pub(crate) id: UserId,
    email: String,
    pub(crate) name: String,
}

/// Prices, limits and what a new user is given
#[utoipa::path(
    get, path = "/api/pricing", operation_id = "getPricing",
    responses((status = 200, body = Data<PricingView>, headers(("etag", description = "The version, for `If-Match`.")))),
)]
pub(crate) async fn pricing(
    State(app): State<App>,
    Caller(who): Caller,
) -> Result<Tagged<Json<Data<PricingView>>>> {
    let (version, prices) = app.platform.prices().await?;
    let free = tokio::time::timeout(BACKEND_PATIENCE, app.platform.free_devices());
    let free = free.await.ok().and_then(CoreResult::ok).unwrap_or_default();
    app.platform.note_look(&who, Did::GetPricing, json!({}));
    let view = PricingView::of(&prices, Some(&free));
    Ok(etag::tagged(version, answer::data(view)))
}

/// The same for everybody
#[utoipa::path(
    get, path = "/api/pricing/public", operation_id = "getPublicPricing", security(()),
    responses((status = 200, body = Data<PricingView>)),
)]
pub(crate) async fn public_pricing(State(app): State<App>) -> Result<Json<Data<PricingView>>> {
    let (_, prices) = app.platform.prices().await?;
    Ok(answer::data(PricingView::public(&prices)))
}

/// All templates, the newest first
#[utoipa::path(
    get, path = "/api/templates", operation_id = "listTemplates", responses((status = 200, body = Vec<TemplateDoc>)),
)]
pub(crate) async fn templates(
    State(app): State<App>,
    _caller: Caller,
) -> Result<Json<Vec<TemplateDoc>>> {
    let mut makers = Makers::default();
    let mut all = Vec::new();
    for template in app.platform.templates().await? {
        let maker = makers.get(&app, template.created_by).await?;
        all.push(TemplateDoc::of(template, maker));
    }
    Ok(Json(all))
}

/// One template
#[utoipa::path(
    get, path = "/api/templates/{templateId}", operation_id = "getTemplate", params(("templateId" = TemplateId, Path)),
    responses(
        (status = 200, body = TemplateDoc, headers(("etag", description = "The version, for `If-Match`."))), Refused<404>,
    ),
)]
pub(crate) async fn template(
    State(app): State<App>,
    _caller: Caller,
    Id(id): Id<TemplateId>,
) -> Result<Tagged<Json<TemplateDoc>>> {
    let (version, template) = app.platform.versioned_template(id).await?;
    let maker = Makers::default().get(&app, template.created_by).await?;
    Ok(etag::tagged(
        version,
        Json(TemplateDoc::of(template, maker)),
    ))
}

/// Who made templates, each looked up once.
#[derive(Default)]
pub(crate) struct Makers(BTreeMap<UserId, Option<Maker>>);

impl Makers {
    pub(crate) async fn get(&mut self, app: &App, id: Option<UserId>) -> Result<Option<Maker>> {
        let Some(id) = id else {
            return Ok(None);
        };
        if let Some(known) = self.0.get(&id) {
            return Ok(known.clone());
        }
        let user = app.platform.store().user(id).await?;
        let maker = user.map(|user| Maker {
            id: user.id,
            email: user.email,
            name: user.name,
        });
        self.0.insert(id, maker.clone());
        Ok(maker)
    }
}

impl TemplateDoc {
    pub(crate) fn of(template: Template, created_by: Option<Maker>) -> Self {
        let ports = |proto| {
            let ports = template.ports.iter().filter(|port| port.proto == proto);
            ports
                .map(|port| TemplatePort {
                    port: port.container,
                    service_name: port.name.clone(),
                })
                .collect()
        };
        Self {
            http_ports: ports(Proto::Http),
            tcp_ports: ports(Proto::Tcp),
            v: 0,
            same_id: template.id,
            container_disk_size: template.container_disk_gb,
            created_at: template.created_at,
            created_by,
            description: template.description,
            docker_image: template.image,
            id: template.id,
            name: template.name,
            updated_at: template.updated_at,
            volume_disk_size: template.volume_disk_gb,
            volume_path: template.volume_path,
        }
    }
}
