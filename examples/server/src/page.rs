//! Lists: the original's whole answer without `limit`, pages with it.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

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
    /// Whose, if an administrator asks.
    pub(crate) user_email: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    limit: Option<String>,
    cursor: Option<String>,
    user_email: Option<String>,
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
        let Search(raw) = Search::<Raw>::from_request_parts(parts, state).await?;
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
            // The original's frontend sends the address unencoded, so its `+` arrives as a blank.
            user_email: raw.user_email.map(|email| email.trim().replace(' ', "+")),
        })
    }
}
