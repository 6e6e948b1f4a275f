//! `Idempotency-Key`: a request that its sender repeats, because he does not know what became of the first one, happens once.

use std::fmt::Display;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use neuropod::auth::Identity;
use neuropod::receipt::Receipt;
use utoipa::IntoParams;

use crate::body::Fields;
use crate::problem::{Problem, Result};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The header in the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "what `IdempotencyKey` reads, for the document")]
pub(crate) struct Key {
    /// Made by the caller: a request with the same key and body happens once, and is answered again.
    #[param(
        rename = "Idempotency-Key",
        value_type = String,
        required = false,
        min_length = 1,
        max_length = 255,
        pattern = "^[ -~]+$"
    )]
    key: Option<String>,
}

/// The header of a request, if it has one.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let mut given = parts.headers.get_all(KEY).iter();
        let first = given.next();
        if given.next().is_some() {
            return Err(Problem::validation("A request has one Idempotency-Key."));
        }
        // What is not text is no key; the library says what is one.
        let text = first.map(|value| value.to_str().unwrap_or_default().to_owned());
        Ok(Self(text))
    }
}

impl IdempotencyKey {
    /// What `who` is known by who asks for `what` with these fields.
    pub(crate) fn receipt(
        &self,
        who: &Identity,
        what: impl Display,
        fields: &Fields,
    ) -> Result<Option<Receipt>> {
        let Some(key) = &self.0 else {
            return Ok(None);
        };
        let request = format_args!("{what} {}", fields.whole_body());
        Ok(Some(Receipt::new(who.user.id, key, request)?))
    }
}

/// Marks an answer as that of the first request.
pub(crate) fn marked(answer: impl IntoResponse, replayed: bool) -> Response {
    let mut answer = answer.into_response();
    if replayed {
        let yes = HeaderValue::from_static("true");
        answer.headers_mut().insert(REPLAYED, yes);
    }
    answer
}
