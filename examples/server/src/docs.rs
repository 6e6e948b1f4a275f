//! The OpenAPI document, and a page to try it that needs no outside host.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use crate::problem::{Problem, Result};

/// The page has scripts and styles of its own, shows pictures that are in it, and asks the server it came from.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// `/openapi.json`, and `/docs/`.
pub(crate) fn docs<S: Clone + Send + Sync + 'static>(api: &OpenApi) -> Router<S> {
    let text: Arc<str> = text(api).into();
    let document = move || async move {
        (
            [(header::CONTENT_TYPE, "application/json")],
            text.to_string(),
        )
    };
    // Addresses are relative: the routes may be nested under a prefix.
    let config = Arc::new(Config::new(["../openapi.json"]).try_it_out_enabled(true));
    let index = Arc::clone(&config);
    Router::new()
        .route("/openapi.json", get(document))
        .route("/docs", get(async || Redirect::permanent("docs/")))
        .route("/docs/", get(async move || page("", index)))
        .route(
            "/docs/{file}",
            get(async move |Path(file): Path<String>| page(&file, config)),
        )
}

/// The document as it is kept in the repository.
pub(crate) fn text(api: &OpenApi) -> String {
    let mut text = api.to_pretty_json().expect("a document is JSON");
    text.push('\n');
    text
}

/// A file of the page.
fn page(file: &str, config: Arc<Config<'static>>) -> Result<Response> {
    let file = utoipa_swagger_ui::serve(file, config).map_err(|_| Problem::internal())?;
    let file = file.ok_or_else(Problem::no_such_route)?;
    let mut response = file.bytes.into_owned().into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::try_from(file.content_type).map_err(|_| Problem::internal())?;
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    Ok(response)
}
