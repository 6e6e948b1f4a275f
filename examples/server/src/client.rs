//! The example page, in development mode: it shows what can be done with this server, and needs no outside host.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Redirect;
use axum::routing::get;

use crate::problem::{Problem, Result};

/// The page has scripts, styles and a picture of its own, and asks the server it came from.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

type File<T> = ([(HeaderName, HeaderValue); 2], T);

const PAGE: &str = include_str!("../client/index.html");
/// By name: the type, and the text.
const FILES: [(&str, &str, &str); 8] = [
    ("style.css", "text/css", include_str!("../client/style.css")),
    (
        "icon.svg",
        "image/svg+xml",
        include_str!("../client/icon.svg"),
    ),
    (
        "app.js",
        "text/javascript",
        include_str!("../client/app.js"),
    ),
    (
        "api.js",
        "text/javascript",
        include_str!("../client/api.js"),
    ),
    (
        "live.js",
        "text/javascript",
        include_str!("../client/live.js"),
    ),
    (
        "stream.js",
        "text/javascript",
        include_str!("../client/stream.js"),
    ),
    (
        "inside.js",
        "text/javascript",
        include_str!("../client/inside.js"),
    ),
    (
        "pods.js",
        "text/javascript",
        include_str!("../client/pods.js"),
    ),
];

/// `/`, what it consists of, and where a sign-in by a provider leads back to, if there is one.
pub(crate) fn client<S: Clone + Send + Sync + 'static>(has_provider: bool) -> Router<S> {
    let page = match has_provider {
        true => PAGE.replacen("<html ", "<html data-google=\"yes\" ", 1),
        false => PAGE.to_owned(),
    };
    let page: Arc<str> = page.into();
    Router::new()
        .route(
            "/",
            get(async move || file("text/html; charset=utf-8", page.to_string())),
        )
        .route("/client/{file}", get(part))
        // What the address has behind its # goes along.
        .route("/auth/callback", get(async || Redirect::to("../")))
}

async fn part(Path(name): Path<String>) -> Result<File<&'static str>> {
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let (_, kind, text) = found.ok_or_else(Problem::no_such_route)?;
    Ok(file(kind, *text))
}

fn file<T>(kind: &'static str, text: T) -> File<T> {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, text)
}
