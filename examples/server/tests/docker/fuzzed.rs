//! schemathesis of PyPI launches, starts, stops and deletes pods over a real engine, by the OpenAPI document.

use crate::fuzz::Fuzz;
use crate::given::given;
use crate::{alone, settings};

#[tokio::test]
async fn whatever_is_asked_is_answered_as_the_document_says() {
    let (Some(docker), Some(schemathesis)) = (
        given("NEUROPOD_TEST_DOCKER"),
        given("NEUROPOD_TEST_SCHEMATHESIS"),
    ) else {
        return;
    };
    let _alone = alone().await;
    let fuzz = Fuzz {
        schemathesis,
        how: &["--phases=examples,fuzzing", "--include-tag=pods"],
        requests: 200,
        of_each: 40,
        image: "neuropod/demo",
    };
    let settings = settings(&docker, "sqlite://fuzzed.db", "22000-22499");
    fuzz.over("fuzzed", &settings).await;
}
