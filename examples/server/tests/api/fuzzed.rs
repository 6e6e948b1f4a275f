//! schemathesis of PyPI makes requests of the OpenAPI document, good ones and bad ones.

use crate::support::fuzz::{Fuzz, number};
use crate::support::{SECRET, given};

/// If nothing else is said.
const REQUESTS: usize = 500;
/// About so many follow from the schemas alone, whatever is asked for.
const COVERAGE: usize = 2000;

#[tokio::test]
async fn whatever_is_asked_is_answered_as_the_document_says() {
    let Some(schemathesis) = given("NEUROPOD_TEST_SCHEMATHESIS") else {
        return;
    };
    let requests = number("NEUROPOD_REQUESTS").unwrap_or(REQUESTS);
    let fuzz = Fuzz {
        schemathesis,
        how: &["--phases=examples,coverage,fuzzing"],
        requests,
        // Some operations have but one request in them.
        of_each: requests.saturating_sub(COVERAGE).div_ceil(35).max(1),
        image: "demo",
    };
    let settings = [
        ("NEUROPOD_ORCHESTRATOR", "memory"),
        ("DATABASE_URL", "sqlite://fuzzed.db"),
        ("JWT_SECRET", SECRET),
    ];
    fuzz.over(
        "fuzzed",
        &settings.map(|(name, value)| (name, value.to_owned())),
    )
    .await;
}
