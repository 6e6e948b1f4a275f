//! What every answer passes through on its way out: request id, log line, CORS, and headers that keep browsers careful.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use neuropod::id::{Entropy, Token};
use tracing::Instrument;

use crate::problem::Problem;
use crate::traces;
use crate::traffic::Traffic;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const METHODS: HeaderValue = HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE");
const EXPOSED: HeaderValue =
    HeaderValue::from_static("x-request-id, retry-after, idempotency-replayed");

/// Who may call from a browser.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    /// Origins whose pages may read answers and change things.
    pub(crate) origins: Arc<[String]>,
    /// Answer only to host names of this machine: in development mode anybody signs in as anybody, so a page that
    /// points its own name at this machine must get nothing.
    pub(crate) local_only: bool,
    pub(crate) traffic: Traffic,
}

/// The outermost layer.
pub(crate) async fn edge(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let trusted = origin
        .as_ref()
        .is_none_or(|origin| edge.trusts(origin) || is_own(origin, request.headers()));
    let asked_headers = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        .cloned();
    let id = request_id(request.headers());
    // The pattern and not the path: ids and queries stay out of the log.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let span = traces::of_request(&method, route.as_deref(), &id, request.headers());

    let mut response = if edge.local_only && !is_local(request.headers()) {
        let message = "In development mode this server answers to localhost only.";
        Problem::new(StatusCode::FORBIDDEN, "forbidden", message).into_response()
    } else if method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else if !trusted && (!method.is_safe() || request.headers().contains_key(header::UPGRADE)) {
        let message = "Pages of this origin may not change anything here.";
        Problem::new(StatusCode::FORBIDDEN, "forbidden", message).into_response()
    } else {
        next.run(request).instrument(span.clone()).await
    };

    let headers = response.headers_mut();
    if let Some(origin) = origin.filter(|_| trusted) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        if method == Method::OPTIONS {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            if let Some(asked) = asked_headers {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
            }
        }
    }
    for (name, value) in [
        (header::VARY, "Origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What is a page says what it needs.
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        ));
    let (route, took) = (route.as_deref().unwrap_or("-"), started.elapsed());
    edge.traffic.count(&method, route, response.status(), took);
    traces::answered(&span, response.status());
    tracing::info!(
        %method,
        route,
        status = response.status().as_u16(),
        micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        request = id.to_str().unwrap_or("-"),
        "answered"
    );
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

impl Edge {
    fn trusts(&self, origin: &HeaderValue) -> bool {
        origin
            .to_str()
            .is_ok_and(|origin| self.origins.iter().any(|known| known == origin))
    }
}

/// The caller's, if it is a plain short word; else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let plain = |id: &&HeaderValue| {
        let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=64).contains(&id.len()) && id.as_bytes().iter().all(word)
    };
    headers
        .get(REQUEST_ID)
        .filter(plain)
        .cloned()
        .unwrap_or_else(|| {
            let id = Token::random(&Entropy::system()).to_string();
            HeaderValue::try_from(id).expect("hexadecimal digits make a header")
        })
}

/// Whether a page of this server asks, reached by a name of this machine: any other name may be pointed here by anybody.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let authority = |origin: &HeaderValue| {
        let (_, authority) = origin.to_str().ok()?.split_once("://")?;
        Some(authority.to_owned())
    };
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    is_local(headers) && host.is_some() && authority(origin).as_deref() == host
}

/// Whether the request was sent to a name of this machine.
fn is_local(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}
