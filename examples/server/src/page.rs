//! Lists: the original's whole answer without `limit`, pages with it.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use neuropod::Time;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::problem::{Problem, Result};

/// What a list is bounded by when nobody asks for pages.
const WHOLE: u32 = 1000;
const LARGEST: u32 = 200;

/// The query of a list.
#[derive(Debug)]
pub(crate) struct List {
    /// At most so many.
    pub(crate) limit: u32,
    /// Where the last page ended.
    pub(crate) cursor: Option<String>,
    /// Whether the answer says where to go on.
    pub(crate) paged: bool,
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Pages {
    /// How many at most; without it and `cursor`, all of them up to 1,000.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
}

/// The query of an address; what it does not know is left alone.
#[derive(Debug)]
pub(crate) struct Search<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Search<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let malformed = |_| Problem::validation("The query of the address is malformed.");
        let Query(query) = Query::from_request_parts(parts, state)
            .await
            .map_err(malformed)?;
        Ok(Self(query))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for List {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Search(raw) = Search::<Pages>::from_request_parts(parts, state).await?;
        let asked = raw
            .limit
            .map(|text| text.parse().ok().filter(|n| (1..=LARGEST).contains(n)));
        let limit = match asked {
            Some(None) => {
                let message = format!("\"limit\" is a whole number, 1 to {LARGEST}.");
                return Err(Problem::validation(message));
            }
            Some(Some(limit)) => Some(limit),
            None => None,
        };
        let paged = limit.is_some() || raw.cursor.is_some();
        Ok(Self {
            limit: limit.unwrap_or(if paged { 50 } else { WHOLE }),
            cursor: raw.cursor,
            paged,
        })
    }
}

/// An instant of a query: a day or more, in UTC.
pub(crate) fn instant(name: &str, text: Option<&str>) -> Result<Option<Time>> {
    let read = |text: &str| match text.len() {
        10 => format!("{text}T00:00:00Z").parse(),
        _ => text.parse(),
    };
    let wrong = |_| {
        let like = "such as 2026-11-24 or 2026-11-24T12:00:00Z";
        Problem::validation(format!(
            "\"{name}\" must be a day or an instant in UTC, {like}."
        ))
    };
    text.map(|text| read(text).map_err(wrong)).transpose()
}
