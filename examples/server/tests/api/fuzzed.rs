//! schemathesis of PyPI makes requests of the OpenAPI document, good ones and bad ones.

use crate::support::fuzz::{Fuzz, number};
use crate::support::{SECRET, given};

/// If nothing else is said.
const REQUESTS: usize = 500;
/// About so many follow from the schemas alone, whatever is asked for.
const COVERAGE: usize = 2000;
/// With more than so many, sign-ins would be told to come again later.
const WITH_SIGN_IN: usize = 3000;
/// Some operations have but one request in them, so that not all of them help to make so many.
const OPERATIONS: usize = 35;

#[tokio::test]
async fn whatever_is_asked_is_answered_as_the_document_says() {
    let Some(schemathesis) = given("NEUROPOD_TEST_SCHEMATHESIS") else {
        return;
    };
    let requests = number("NEUROPOD_REQUESTS").unwrap_or(REQUESTS);
    let first = requests.min(WITH_SIGN_IN);
    let everything = Fuzz {
        schemathesis,
        how: &["--phases=examples,coverage,fuzzing"],
        requests: first,
        of_each: first.saturating_sub(COVERAGE).div_ceil(OPERATIONS).max(1),
        image: "demo",
    };
    let settings = [
        ("NEUROPOD_ORCHESTRATOR", "memory"),
        ("DATABASE_URL", "sqlite://fuzzed.db"),
        ("JWT_SECRET", SECRET),
    ];
    let settings = settings.map(|(name, value)| (name, value.to_owned()));
    everything.over("fuzzed", &settings).await;
    let rest = requests - first;
    if rest > 0 {
        let signed_in = Fuzz {
            how: &[
                "--phases=fuzzing",
                "--exclude-operation-id-regex=(?i)login|logout",
            ],
            requests: rest,
            of_each: rest.div_ceil(OPERATIONS),
            ..everything
        };
        signed_in.over("fuzzed-on", &settings).await;
    }
}
