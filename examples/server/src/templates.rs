//! `/api/templates`: making, changing and deleting them, and what there are in sum.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use neuropod::Time;
use neuropod::id::{TemplateId, UserId};
use neuropod::template::{Template, TemplateDraft};
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::answer::{self, Said};
use crate::body::Fields;
use crate::caller::{Admin, Caller, Id, Writer};
use crate::catalogue::{Makers, TemplateDoc};
use crate::etag::{self, Tagged};
use crate::idempotency::{self, IdempotencyKey};
use crate::openapi::Refused;
use crate::problem::Result;

/// So many are shown in a summary.
const RECENT: usize = 5;

/// What is to be changed of a template; of a new one, `name`, `dockerImage` and `httpPorts` are needed.
#[derive(ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "what `read` reads, for the document")]
pub(crate) struct TemplateForm {
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    #[schema(min_length = 1, max_length = 200)]
    docker_image: Option<String>,
    /// At least one. Entries without a port or a name are left out.
    http_ports: Option<Vec<PortForm>>,
    /// No number twice, in both lists together.
    tcp_ports: Option<Vec<PortForm>>,
    /// GB; 0 is as good as none.
    #[schema(minimum = 0, maximum = 100)]
    container_disk_size: Option<u32>,
    /// GB; 0 is as good as none.
    #[schema(minimum = 0, maximum = 150)]
    volume_disk_size: Option<u32>,
    /// Where the volume is mounted, `/workspace`.
    #[schema(max_length = 255)]
    volume_path: Option<String>,
    /// Markdown.
    #[schema(max_length = 5000)]
    description: Option<String>,
}

/// A port and its name.
#[derive(ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "what `read` reads, for the document")]
pub(crate) struct PortForm {
    #[schema(maximum = 65535)]
    port: i64,
    #[schema(max_length = 100)]
    service_name: String,
}

/// A template as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Written {
    success: bool,
    /// A sentence for a person.
    message: &'static str,
    template: TemplateDoc,
}

/// Make a template
#[utoipa::path(
    post, path = "/api/templates", operation_id = "createTemplate",
    params(idempotency::Key), request_body = TemplateForm,
    responses((status = 201, body = Written), Refused<409>, Refused<422>, Refused<429>),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Admin(who): Admin,
    key: IdempotencyKey,
    mut fields: Fields,
) -> Result<Response> {
    let receipt = key.receipt(&who, "POST /api/templates", &fields)?;
    let mut draft = TemplateDraft::default();
    read(&mut fields, &mut draft);
    fields.done()?;
    let (template, replayed) = match &receipt {
        Some(receipt) => {
            let done = app.platform.create_template_once(&who, &draft, receipt);
            let done = done.await?;
            (done.outcome, done.replayed)
        }
        None => (app.platform.create_template(&who, &draft).await?, false),
    };
    let written = written(&app, template, "The template was made.").await?;
    Ok(idempotency::marked(
        (StatusCode::CREATED, written),
        replayed,
    ))
}

/// Change a template; what is not given stays
#[utoipa::path(
    put, path = "/api/templates/{templateId}", operation_id = "updateTemplate",
    params(("templateId" = TemplateId, Path), etag::IfMatch), request_body = TemplateForm,
    responses((status = 200, body = Written), Refused<404>, Refused<409>, Refused<412>, Refused<429>),
)]
pub(crate) async fn update(
    State(app): State<App>,
    Writer(who): Writer,
    Id(id): Id<TemplateId>,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Tagged<Json<Written>>> {
    let (version, before) = app.platform.versioned_template(id).await?;
    let mut draft = TemplateDraft::from(&before);
    read(&mut fields, &mut draft);
    fields.done()?;
    draft.check()?;
    etag::unchanged(&headers, version)?;
    let updated = app.platform.update_template(&who, id, version, &draft);
    let (version, template) = updated.await?;
    let written = written(&app, template, "The template was changed.").await?;
    Ok(etag::tagged(version, written))
}

/// Delete a template; pods that were launched from it stay
#[utoipa::path(
    delete, path = "/api/templates/{templateId}", operation_id = "deleteTemplate",
    params(("templateId" = TemplateId, Path)),
    responses((status = 200, body = Said), Refused<404>, Refused<409>, Refused<429>),
)]
pub(crate) async fn delete(
    State(app): State<App>,
    Writer(who): Writer,
    Id(id): Id<TemplateId>,
) -> Result<Json<Said>> {
    app.platform.delete_template(&who, id).await?;
    Ok(answer::said("The template was deleted."))
}

async fn written(app: &App, template: Template, message: &'static str) -> Result<Json<Written>> {
    let maker = Makers::default().get(app, template.created_by).await?;
    Ok(Json(Written {
        success: true,
        message,
        template: TemplateDoc::of(template, maker),
    }))
}

/// Changes what is given.
fn read(fields: &mut Fields, draft: &mut TemplateDraft) {
    let set = |place: &mut String, given: Option<String>| {
        if let Some(given) = given {
            *place = given;
        }
    };
    set(&mut draft.name, fields.text("name"));
    set(&mut draft.image, fields.text("dockerImage"));
    set(&mut draft.volume_path, fields.text("volumePath"));
    set(&mut draft.description, fields.text("description"));
    for (field, place) in [
        ("containerDiskSize", &mut draft.container_disk_gb),
        ("volumeDiskSize", &mut draft.volume_disk_gb),
    ] {
        // The original takes 0 for nothing said.
        if let Some(size) = fields.whole(field).filter(|size| *size != 0) {
            *place = size;
        }
    }
    for (field, place) in [
        ("httpPorts", &mut draft.http_ports),
        ("tcpPorts", &mut draft.tcp_ports),
    ] {
        let ports = fields.objects(field, |fields| {
            let port = fields.whole("port").unwrap_or_default();
            (port, fields.text("serviceName").unwrap_or_default())
        });
        if let Some(ports) = ports {
            *place = ports;
        }
    }
}

/// What templates there are.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    total: usize,
    /// The newest, at most five.
    recent: Vec<Recent>,
    /// Who has made how many, the most first; who is no user any more is left out.
    by_user: Vec<MadeBy>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Recent {
    #[serde(rename = "_id")]
    original_id: TemplateId,
    id: TemplateId,
    name: String,
    docker_image: String,
    created_at: Time,
    created_by: Option<RecentMaker>,
}

#[derive(Debug, Serialize, ToSchema)]
struct RecentMaker {
    #[serde(rename = "_id")]
    id: UserId,
    name: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MadeBy {
    user_id: UserId,
    user_name: String,
    template_count: usize,
}

/// What templates there are, in sum
#[utoipa::path(
    get, path = "/api/templates/summary", operation_id = "templateSummary",
    responses((status = 200, body = Summary)),
)]
pub(crate) async fn summary(State(app): State<App>, _caller: Caller) -> Result<Json<Summary>> {
    let templates = app.platform.templates().await?;
    let mut makers = Makers::default();
    let mut counts: BTreeMap<UserId, MadeBy> = BTreeMap::new();
    let mut recent = Vec::new();
    for template in &templates {
        let maker = makers.get(&app, template.created_by).await?;
        if recent.len() < RECENT {
            recent.push(Recent {
                original_id: template.id,
                id: template.id,
                name: template.name.clone(),
                docker_image: template.image.clone(),
                created_at: template.created_at,
                created_by: maker.as_ref().map(|maker| RecentMaker {
                    id: maker.id,
                    name: maker.name.clone(),
                }),
            });
        }
        if let Some(maker) = maker {
            let made = counts.entry(maker.id).or_insert(MadeBy {
                user_id: maker.id,
                user_name: maker.name,
                template_count: 0,
            });
            made.template_count += 1;
        }
    }
    let mut by_user: Vec<MadeBy> = counts.into_values().collect();
    by_user.sort_by_key(|made| std::cmp::Reverse(made.template_count));
    Ok(Json(Summary {
        total: templates.len(),
        recent,
        by_user,
    }))
}
