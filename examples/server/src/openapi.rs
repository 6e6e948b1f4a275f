//! The OpenAPI document: what the operations say of themselves, and what all operations of a kind have in common.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi,
    OpenApiBuilder, Ref, RefOr, Required, Response, ResponseBuilder, ServerBuilder,
};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use crate::problem::Body;

/// Says that an operation can be refused with this status for a reason of its own. What comes with its kind (there is no
/// token, the body is none) is added by [`complete`].
#[derive(Debug)]
pub(crate) struct Refused<const STATUS: u16>;

impl<const STATUS: u16> IntoResponses for Refused<STATUS> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        [(STATUS.to_string(), refused(STATUS))].into()
    }
}

/// What any operation answers when something is wrong on our side.
const OURS: &[u16] = &[500, 503];
/// What one that needs a token answers to those who have none that is good, and to suspended users.
const GUARDED: &[u16] = &[401, 403];
/// What one with parameters answers to malformed ones.
const ASKED: &[u16] = &[400];
/// What one with a body answers to bad ones.
const SENT: &[u16] = &[400, 408, 413, 415, 429];

const BEARER: &str = "bearer";

/// A document without operations.
pub(crate) fn blank() -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The token that signing in answers."))
        .build();
    let license = LicenseBuilder::new()
        .name("MIT OR Apache-2.0")
        .identifier(Some("MIT OR Apache-2.0"))
        .build();
    let info = InfoBuilder::new()
        .title("NeuroPod")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Rent GPU containers."))
        .license(Some(license))
        .build();
    OpenApiBuilder::new()
        .info(info)
        // Beside the document, wherever that is: the routes may be nested under a prefix.
        .servers(Some([ServerBuilder::new().url(".").build()]))
        .components(Some(
            ComponentsBuilder::new()
                .security_scheme(BEARER, SecurityScheme::Http(bearer))
                .build(),
        ))
        .security(Some([SecurityRequirement::new(BEARER, [""; 0])]))
        .build()
}

/// Adds what the operations have in common.
pub(crate) fn complete(mut api: OpenApi) -> OpenApi {
    let components = api.components.get_or_insert_default();
    let mut schemas = vec![(Body::name().into_owned(), Body::schema())];
    Body::schemas(&mut schemas);
    components.schemas.extend(schemas);
    for (path, item) in &mut api.paths.paths {
        for operation in operations(item) {
            operation.tags = Some(vec![tag(path).to_owned()]);
            let own = operation.responses.responses.keys().cloned();
            let own: Vec<u16> = own.filter_map(|status| status.parse().ok()).collect();
            for status in of_its_kind(operation).chain(own) {
                describe(operation, status);
                if status >= 400 {
                    let responses = &mut components.responses;
                    responses.insert(name(status), problem(status).into());
                }
            }
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                body.required = Some(required(body, &components.schemas));
            }
        }
    }
    api
}

/// Nothing at all is an object without fields, so a body may be left out where no field is needed.
fn required(body: &RequestBody, schemas: &BTreeMap<String, RefOr<Schema>>) -> Required {
    let contents = body.content.values();
    let mut references = contents.filter_map(|content| match content {
        RefOr::T(Content {
            schema: Some(RefOr::Ref(to)),
            ..
        }) => to.ref_location.rsplit('/').next(),
        _ => None,
    });
    let needs = references.any(|name| match schemas.get(name) {
        Some(RefOr::T(Schema::Object(object))) => !object.required.is_empty(),
        _ => true,
    });
    if needs {
        Required::True
    } else {
        Required::False
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get,
        put,
        post,
        delete,
        ..
    } = item;
    [get, put, post, delete].into_iter().flatten()
}

/// `pods` of `/api/pods/{podId}`.
fn tag(path: &str) -> &str {
    let api = path.strip_prefix("/api/");
    api.and_then(|rest| rest.split('/').next())
        .unwrap_or("health")
}

fn of_its_kind(operation: &Operation) -> impl Iterator<Item = u16> + use<> {
    // One that says nothing of it needs the token that the whole document names.
    let guarded = operation.security.is_none();
    let asked = operation.parameters.as_ref().is_some_and(|p| !p.is_empty());
    let sent = operation.request_body.is_some();
    [
        (true, OURS),
        (guarded, GUARDED),
        (asked, ASKED),
        (sent, SENT),
    ]
    .into_iter()
    .filter_map(|(is, statuses)| is.then_some(statuses))
    .flatten()
    .copied()
}

/// Each response has a description; those of errors are the same everywhere.
fn describe(operation: &mut Operation, status: u16) {
    let responses = &mut operation.responses.responses;
    let response = responses.entry(status.to_string());
    let response = response.or_insert_with(|| refused(status));
    if let RefOr::T(response) = response
        && response.description.is_empty()
    {
        response.description = reason(status).to_owned();
    }
}

fn refused(status: u16) -> RefOr<Response> {
    RefOr::Ref(Ref::from_response_name(name(status)))
}

fn name(status: u16) -> String {
    reason(status).replace(' ', "")
}

fn problem(status: u16) -> Response {
    let body = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(Body::name())))
        .build();
    ResponseBuilder::new()
        .description(reason(status))
        .content("application/problem+json", body)
        .build()
}

fn reason(status: u16) -> &'static str {
    let status = StatusCode::from_u16(status).ok();
    status
        .and_then(|s| s.canonical_reason())
        .unwrap_or("Refused")
}
