//! Versions of what is changed as a whole: `ETag` in answers, `If-Match` in requests.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use utoipa::IntoParams;

use crate::problem::{Problem, Result};

/// An answer that says at which version something is.
pub(crate) type Tagged<T> = ([(HeaderName, String); 1], T);

/// The header that a request may have.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "what `unchanged` reads, for the document")]
pub(crate) struct IfMatch {
    /// The `ETag` of what is to be changed, or `*`: another version that is there by now is left as it is.
    #[param(rename = "If-Match", value_type = String, required = false)]
    tag: Option<String>,
}

/// Marks an answer with a version.
pub(crate) fn tagged<T>(version: u64, answer: T) -> Tagged<T> {
    ([(header::ETAG, tag(version))], answer)
}

fn tag(version: u64) -> String {
    format!("\"{version}\"")
}

/// Refuses a request that is meant for another version.
pub(crate) fn unchanged(headers: &HeaderMap, version: u64) -> Result<()> {
    let Some(wanted) = headers.get(header::IF_MATCH) else {
        return Ok(());
    };
    let tag = tag(version);
    let matches = wanted
        .to_str()
        .is_ok_and(|wanted| wanted == "*" || wanted == tag);
    match matches {
        true => Ok(()),
        false => Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "invalid_transition",
            format!("It was changed meanwhile, and is at {tag} by now."),
        )),
    }
}
