//! Traces: a span for each request, pass and write, sent by OTLP over HTTP where the standard `OTEL_*` variables say, and
//! nowhere if they name no place.

use std::env;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use neuropod::{Error, Result};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Metadata, Span, Subscriber, field, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// Where traces go.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// As `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` and the other standard variables say; `None`
    /// if neither is set, or `OTEL_SDK_DISABLED` is `true`, or `OTEL_TRACES_EXPORTER` is `none`.
    ///
    /// # Errors
    /// `Invalid` if they say what can't be.
    pub fn begin() -> Result<Option<Self>> {
        let is = |name: &str, value: &str| env::var(name).is_ok_and(|v| v.trim() == value);
        let is_set = |name: &str| env::var(name).is_ok_and(|v| !v.trim().is_empty());
        let names_a_place =
            is_set("OTEL_EXPORTER_OTLP_ENDPOINT") || is_set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        if !names_a_place || is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        // The exporter's client has none of its own. If the process has one already, that is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let exporter = SpanExporter::builder().with_http().build().map_err(|e| {
            Error::invalid("", "The OTEL_* variables do not say where traces can go.").caused_by(e)
        })?;
        let mut resource = Resource::builder();
        let named = is_set("OTEL_SERVICE_NAME")
            || env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|v| v.contains("service.name="));
        if !named {
            resource = resource.with_service_name("neuropod-server");
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build());
        Ok(Some(Self(provider.build())))
    }

    /// What takes the spans of this program's own crates, and no others: a client that sends them has spans, too.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let tracer = self.0.tracer("neuropod");
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_filter(filter_fn(|it: &Metadata<'_>| {
                it.is_span() && it.target().starts_with("neuropod")
            }))
    }

    /// Sends what is left, which may take some seconds.
    pub async fn end(self) {
        let sent = tokio::task::spawn_blocking(move || self.0.shutdown()).await;
        if let Ok(Err(error)) = sent {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// The span of a request, a part of the caller's trace if `traceparent` names one. `route` is a pattern: ids and queries stay
/// out of traces.
pub(crate) fn of_request(
    method: &Method,
    route: Option<&str>,
    id: &HeaderValue,
    headers: &HeaderMap,
) -> Span {
    let route = route.unwrap_or("-");
    let span = info_span!(
        "request",
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method.as_str(),
        http.route = route,
        http.response.status_code = field::Empty,
        otel.status_code = field::Empty,
        request = id.to_str().unwrap_or("-"),
    );
    if !span.is_disabled() {
        let callers = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // Fails where nobody sends spans.
        let _ = span.set_parent(callers);
    }
    span
}

/// What became of the request.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}
