//! The OpenAPI document: kept in the repository, complete in itself, and served with a page to try it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Operation, Server, document};

#[test]
fn the_document_in_the_repository_is_the_one_of_the_code() {
    let kept = include_str!("../../openapi.json");
    assert!(
        kept == neuropod_server::document(),
        "examples/server/openapi.json is not what the code says; write it anew:\n  \
         cargo run --package neuropod-server -- openapi > examples/server/openapi.json"
    );
}

#[test]
fn what_the_document_refers_to_is_there() {
    let document = document();
    let mut seen = 0;
    each(&document, &mut |value| {
        if let Some(to) = value.get("$ref").and_then(Value::as_str) {
            let pointer = to.strip_prefix('#').expect("nothing outside");
            assert!(document.pointer(pointer).is_some(), "{to}");
            seen += 1;
        }
    });
    assert!(seen > 100, "{seen}");
}

fn each(value: &Value, look: &mut impl FnMut(&Value)) {
    look(value);
    match value {
        Value::Object(fields) => fields.values().for_each(|value| each(value, look)),
        Value::Array(items) => items.iter().for_each(|value| each(value, look)),
        _ => {}
    }
}

#[test]
fn every_operation_says_all_of_itself() {
    let mut ids = BTreeSet::new();
    for operation in Operation::all() {
        let Operation { id, path, .. } = &operation;
        assert!(ids.insert(id.clone()), "{id} is the name of two");
        let says = |field: &str| operation.says[field].as_str().unwrap_or_default();
        assert!(!says("summary").is_empty(), "{id} has no summary");
        let in_path: Vec<&str> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        assert_eq!(operation.parameters("path"), in_path, "{id}");
        for (status, response) in operation.responses() {
            let kinds = response["content"].as_object();
            let kinds: Vec<&String> = kinds.into_iter().flat_map(|kinds| kinds.keys()).collect();
            match status {
                300..400 => assert_eq!(kinds.len(), 0, "{id} {status}"),
                // What can be followed comes as events too, and a log also as a file.
                200..300
                    if ["application/json", "text/event-stream"]
                        .iter()
                        .all(|kind| kinds.iter().any(|other| other == kind)) => {}
                200..300 => assert_eq!(kinds.len(), 1, "{id} {status}"),
                _ => assert_eq!(kinds, ["application/problem+json"], "{id} {status}"),
            }
        }
        if let Some(body) = operation.body() {
            assert_eq!(body["additionalProperties"], false, "{id} takes anything");
        }
    }
}

#[tokio::test]
async fn the_document_is_served_and_a_page_to_try_it() {
    let server = Server::with_everything().await;
    let served = server.get("/openapi.json").send().await;
    assert_eq!(served.header("content-type"), Some("application/json"));
    assert_eq!(served.body, neuropod_server::document());
    let moved = server.get("/docs").send().await;
    assert_eq!(
        (moved.status, moved.header("location")),
        (308, Some("docs/"))
    );

    let strict = "default-src 'none'; frame-ancestors 'none'";
    assert_eq!(served.header("content-security-policy"), Some(strict));
    for file in [
        "",
        "swagger-ui-bundle.js",
        "swagger-ui.css",
        "swagger-initializer.js",
    ] {
        let page = server.get(&format!("/docs/{file}")).send().await;
        assert_eq!(page.status, 200, "{file}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("script-src 'self';"), "{policy}");
        assert_eq!(page.header("x-frame-options"), Some("deny"));
        // Nothing of it comes from elsewhere, and the document's address holds under any prefix.
        match file {
            "" => assert!(!page.body.contains("//") && !page.body.contains("=\"/")),
            "swagger-initializer.js" => assert!(page.body.contains("\"../openapi.json\"")),
            _ => {}
        }
    }
    let none = server.get("/docs/nothing.js").send().await;
    none.problem(404, "not_found");
}

#[tokio::test]
async fn only_a_server_in_development_mode_tells_of_mock_login() {
    let server = Server::with(&[]).await;
    let served = server.get("/openapi.json").send().await.json();
    assert!(served["paths"].get("/api/auth/mock-login").is_none());
    assert!(served["paths"].get("/api/auth/verify").is_some());
}
