//! What holds for every route: one error body, CORS, careful headers, and any prefix.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use clap::Parser;
use neuropod::auth::{Credential, Identity};
use neuropod::{Auth, Platform, Result};
use neuropod_server::{Config, router};
use serde_json::json;

use crate::support::{ANA, Request, Server, listen};

#[tokio::test]
async fn what_is_not_there_has_the_same_error_body() {
    let server = Server::start().await;
    for path in [
        "/nothing",
        "/client/nothing.js",
        "/api",
        "/api/",
        "/api/nothing",
        "/api/pods/",
        "/healthz/x",
        "/%ff",
    ] {
        server.get(path).send().await.problem(404, "not_found");
    }
    for (method, path) in [
        ("PUT", "/api/pods"),
        ("POST", "/healthz"),
        ("GET", "/api/auth/logout"),
        ("PATCH", "/api/pods/0000000000000000"),
        ("TRACE", "/api/health"),
    ] {
        let message = server
            .request(method, path)
            .send()
            .await
            .problem(405, "not_found");
        assert!(message.contains(method), "{message}");
    }
    let head = server.request("HEAD", "/api/health").send().await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn browsers_of_known_origins_may_call() {
    let server = Server::with(&["--dev", "--frontend-url", "https://app.example.com/"]).await;
    let token = server.token(ANA).await;
    for origin in [
        "https://app.example.com",
        "http://localhost:3000",
        "http://localhost:5173",
    ] {
        let preflight = server
            .request("OPTIONS", "/api/pods")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            );
        let preflight = preflight.send().await;
        assert_eq!(preflight.status, 204);
        assert_eq!(
            preflight.header("access-control-allow-origin"),
            Some(origin)
        );
        assert_eq!(
            preflight.header("access-control-allow-credentials"),
            Some("true")
        );
        assert_eq!(
            preflight.header("access-control-allow-methods"),
            Some("get,head,put,patch,post,delete")
        );
        assert_eq!(
            preflight.header("access-control-allow-headers"),
            Some("authorization,content-type")
        );
        let answer = server
            .get("/api/pods")
            .header("origin", origin)
            .bearer(&token)
            .send()
            .await;
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (200, Some(origin))
        );
        let refused = server
            .get("/api/pods")
            .header("origin", origin)
            .send()
            .await;
        assert_eq!(
            refused.header("access-control-allow-origin"),
            Some(origin),
            "errors can be read too"
        );
    }
    let without = server.get("/api/pods").bearer(&token).send().await;
    assert_eq!(
        (
            without.status,
            without.header("access-control-allow-origin")
        ),
        (200, None)
    );
}

#[tokio::test]
async fn browsers_of_other_origins_may_not() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    for origin in [
        "http://evil.example",
        "null",
        "http://localhost:3000.evil.example",
        "https://localhost:3000",
    ] {
        let preflight = server
            .request("OPTIONS", "/api/pods")
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        let preflight = preflight.send().await;
        assert_eq!(
            (
                preflight.status,
                preflight.header("access-control-allow-origin")
            ),
            (204, None)
        );
        let read = server
            .get("/api/pods")
            .header("origin", origin)
            .bearer(&token)
            .send()
            .await;
        assert_eq!(read.header("access-control-allow-origin"), None);
        let login = server
            .post("/api/auth/mock-login")
            .header("origin", origin)
            .json(&json!({ "email": ANA }));
        login.send().await.problem(403, "forbidden");
    }
}

/// A page whose own name was pointed at this machine is of the same origin to its browser.
#[tokio::test]
async fn in_development_mode_other_host_names_get_nothing() {
    let server = Server::start().await;
    let login = |host: &str| {
        server
            .post("/api/auth/mock-login")
            .header("host", host)
            .json(&json!({ "email": ANA }))
    };
    for host in [
        "evil.example",
        "evil.example:3000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::1].evil",
    ] {
        login(host).send().await.problem(403, "forbidden");
    }
    for host in [
        "localhost",
        "localhost:3000",
        "127.0.0.1:3000",
        "[::1]:3000",
        "[::1]",
    ] {
        assert_eq!(login(host).send().await.status, 200, "{host}");
    }
    let exposed = Server::with(&["--dev", "--dev-exposed"]).await;
    let answer = exposed
        .get("/api/health")
        .header("host", "box.example")
        .send()
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn answers_are_careful_and_can_be_traced() {
    let server = Server::start().await;
    for path in ["/api/health", "/nothing"] {
        let answer = server.get(path).send().await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("vary"), Some("origin"));
        assert!(answer.header("content-security-policy").is_some());
        assert_eq!(answer.header("x-request-id").unwrap().len(), 16);
    }
    let named = server
        .get("/api/health")
        .header("x-request-id", "my-request_1")
        .send()
        .await;
    assert_eq!(named.header("x-request-id"), Some("my-request_1"));
    let forged = server
        .get("/api/health")
        .header("x-request-id", "a b\tlevel=error")
        .send()
        .await;
    assert_eq!(forged.header("x-request-id").unwrap().len(), 16);
}

#[tokio::test]
async fn a_backend_that_does_not_answer_is_said_to_be_unavailable() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    let pod = server.launch(&token).await;
    server.settle().await;
    server.engine.unreachable(true);
    let path = |rest: &str| format!("/api/pods/{pod}{rest}");
    server
        .get(&path("/logs"))
        .bearer(&token)
        .send()
        .await
        .problem(503, "unavailable");
    for known in [path(""), path("/connections"), "/api/pods".to_owned()] {
        let answer = server.get(&known).bearer(&token).send().await;
        assert_eq!(answer.status, 200, "{known}: {answer:?}");
    }
    // Wishes are rows: they need no backend.
    let stop = server.post(&path("/stop")).bearer(&token).send().await;
    assert_eq!(stop.status, 200, "{stop:?}");
    assert_eq!(server.get("/healthz").send().await.status, 200);
}

#[tokio::test]
async fn a_backend_that_does_not_answer_makes_the_server_not_ready() {
    let server = Server::start().await;
    server.engine.unreachable(true);
    let answer = server.get("/readyz").send().await;
    assert!(
        answer.problem(503, "unavailable").contains("backend"),
        "{answer:?}"
    );
    assert_eq!(answer.header("retry-after"), Some("2"));
}

#[tokio::test]
async fn the_routes_nest_under_any_prefix_of_anybodys_program() {
    let server = Server::start().await;
    let config = Config::try_parse_from(["neuropod-server", "--dev"]).unwrap();
    let nested = Router::new()
        .route("/own", axum::routing::get(async || "mine"))
        .nest("/pods/of/mine", router(server.platform.clone(), &config));
    let address = listen(nested).await;
    let get = async |path: &str| Request::new(address, "GET", path).send().await;
    assert_eq!(get("/own").await.body, "mine");
    assert_eq!(get("/pods/of/mine/api/health").await.status, 200);
    get("/pods/of/mine/api/pods")
        .await
        .problem(401, "unauthenticated");
    get("/pods/of/mine/api/nothing")
        .await
        .problem(404, "not_found");
    let login = Request::new(address, "POST", "/pods/of/mine/api/auth/mock-login");
    let token = login.json(&json!({ "email": ANA })).send().await.json()["token"].clone();
    let list =
        Request::new(address, "GET", "/pods/of/mine/api/pods").bearer(token.as_str().unwrap());
    assert_eq!(list.send().await.status, 200);
}

#[derive(Debug)]
struct Panics;

#[async_trait]
impl Auth for Panics {
    async fn authenticate(&self, _: &Credential) -> Result<Identity> {
        panic!("the password is hunter2")
    }
}

#[tokio::test]
async fn a_panic_is_an_error_body_without_detail() {
    let platform = Platform::builder()
        .auth(Arc::new(Panics))
        .build()
        .await
        .unwrap();
    let config = Config::try_parse_from(["neuropod-server", "--dev"]).unwrap();
    let address = listen(router(platform, &config)).await;
    for _ in 0..2 {
        let answer = Request::new(address, "GET", "/api/pods").send().await;
        answer.problem(500, "internal");
        assert!(!answer.body.contains("hunter2"));
    }
}

/// A program that is its own only user needs no sign-in.
#[tokio::test]
async fn without_users_everything_is_the_one_users() {
    let platform = Platform::builder().build().await.unwrap();
    let config = Config::try_parse_from(["neuropod-server"]).unwrap();
    let address = listen(router(platform, &config)).await;
    let launched = Request::new(address, "POST", "/api/pods")
        .json(&crate::support::a_pod())
        .send()
        .await;
    assert_eq!(launched.status, 201, "{launched:?}");
    let list = Request::new(address, "GET", "/api/pods").send().await;
    assert_eq!(list.json()["count"], 1);
}
