//! schemathesis of PyPI makes requests of the OpenAPI document, good ones and bad ones: none is answered by a fault of ours, or
//! otherwise than the document says, and none gets in without a token.

use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use crate::support::{Operation, Program, ROOT, Request, SECRET, given};

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,negative_data_rejection,ignored_auth";
/// If nothing else is said.
const REQUESTS: usize = 500;
/// So many of an operation follow from its schema alone, whatever is asked for.
const COVERAGE: usize = 26;

#[tokio::test]
async fn whatever_is_asked_is_answered_as_the_document_says() {
    let Some(schemathesis) = given("NEUROPOD_TEST_SCHEMATHESIS") else {
        return;
    };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let requests = number("NEUROPOD_REQUESTS").unwrap_or(REQUESTS);
    // The same each time, unless somebody looks for more.
    let seed = number("NEUROPOD_SEED").unwrap_or(1);
    println!("NEUROPOD_SEED={seed} NEUROPOD_REQUESTS={requests}");
    let folder = std::env::temp_dir().join(format!("neuropod-fuzzed-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let server = Program::start(
        &folder,
        &[
            ("NEUROPOD_ORCHESTRATOR", "memory"),
            ("DATABASE_URL", "sqlite://fuzzed.db"),
            ("JWT_SECRET", SECRET),
            ("ADMIN_EMAILS", ROOT),
        ],
    )
    .await;
    let login = Request::new(server.address, "POST", "/api/auth/mock-login");
    let login = login.json(&json!({ "email": ROOT })).send().await.json();
    let token = login["token"].as_str().unwrap();

    let each = requests.div_ceil(Operation::all().len());
    let output = Command::new(schemathesis)
        .arg("--config-file")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/schemathesis.toml"
        ))
        .args(["run", &format!("http://{}/openapi.json", server.address)])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--phases", "examples,coverage,fuzzing", "--checks", CHECKS])
        // It would end the session of all the others.
        .args(["--exclude-operation-id", "logout"])
        .args([
            "--max-examples",
            &each.saturating_sub(COVERAGE).max(1).to_string(),
        ])
        .args(["--seed", &seed.to_string(), "--generation-database", "none"])
        .args(["--no-color", "--warnings", "off"])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let made = said.lines().find_map(|line| {
        let (number, _) = line.trim().split_once(" generated")?;
        number.parse::<usize>().ok()
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}{}", server.said());
    let made = made.expect("it says how many it has made");
    println!("{made} requests");
    assert!(made * 2 > requests, "{made}");
    server.kill().await;
    std::fs::remove_dir_all(&folder).unwrap();
}
