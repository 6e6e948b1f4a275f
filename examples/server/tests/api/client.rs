//! The example page.

use serde_json::json;

use crate::support::{ANA, Server};

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let server = Server::start().await;
    let page = server.get("/").send().await;
    assert_eq!(page.status, 200);
    let kind = page.header("content-type").unwrap();
    assert_eq!(kind, "text/html; charset=utf-8");
    let parts: Vec<_> = page
        .body
        .split('"')
        .filter(|word| word.starts_with("client/"))
        .collect();
    assert_eq!(parts.len(), 3, "{parts:?}");
    for part in parts.into_iter().chain([
        "client/api.js",
        "client/inside.js",
        "client/live.js",
        "client/pods.js",
        "client/stream.js",
    ]) {
        let file = server.get(&format!("/{part}")).send().await;
        assert_eq!(file.status, 200, "{part}");
        let policy = file.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        // Addresses are relative, so they hold under any prefix.
        let outside = file
            .body
            .replace("http://www.w3.org/2000/svg", "")
            .contains("://");
        assert!(!outside && !file.body.contains("\"/api"), "{part}");
    }
    assert!(
        !page.body.contains("data-google"),
        "nobody else signs people in"
    );
    let back = server.get("/auth/callback").send().await;
    assert_eq!((back.status, back.header("location")), (303, Some("../")));
}

#[tokio::test]
async fn only_a_server_in_development_mode_has_the_page() {
    let server = Server::with(&[]).await;
    for path in ["/", "/client/app.js", "/auth/callback"] {
        server.get(path).send().await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn the_page_may_change_things_by_whatever_name_it_was_reached() {
    let server = Server::start().await;
    let login = async |origin: String| {
        let request = server
            .post("/api/auth/mock-login")
            .header("origin", &origin);
        request.json(&json!({ "email": ANA })).send().await.status
    };
    let port = server.address.port();
    assert_eq!(login(format!("http://127.0.0.1:{port}")).await, 200);
    assert_eq!(login(format!("http://127.0.0.1:{}", port ^ 1)).await, 403);
    assert_eq!(login(format!("http://elsewhere:{port}")).await, 403);
}

#[tokio::test]
async fn a_provider_that_leads_back_is_offered() {
    let google = [
        "--dev",
        "--google-client-id",
        "id",
        "--google-client-secret",
        "a secret of ours",
    ];
    let server = Server::with(&google).await;
    let page = server.get("/").send().await;
    assert!(!page.body.contains("data-google"), "it would lead nowhere");
    let all = [&google[..], &["--frontend-url", "http://localhost:3000"]].concat();
    let page = Server::with(&all).await.get("/").send().await;
    assert!(
        page.body.contains("<html data-google=\"yes\" lang"),
        "{}",
        page.body
    );
}
