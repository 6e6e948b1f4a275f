//! Who gets in, and in which order others are refused.

use serde_json::json;

use crate::support::{ANA, BEN, ROOT, Server, a_pod};

/// A stranger can't tell somebody else's pod from one that is not there.
#[tokio::test]
async fn somebody_elses_pod_looks_like_none() {
    let server = Server::start().await;
    let (ana, ben) = (server.token(ANA).await, server.token(BEN).await);
    let pod = server.launch(&ana).await;
    let none = "0".repeat(16);
    for (method, rest) in [
        ("GET", ""),
        ("GET", "/logs"),
        ("GET", "/connections"),
        ("POST", "/start"),
        ("POST", "/stop"),
        ("DELETE", ""),
    ] {
        let ask = async |id: &str| {
            let answer = server
                .request(method, &format!("/api/pods/{id}{rest}"))
                .bearer(&ben)
                .send()
                .await;
            answer.problem(404, "not_found").replace(id, "…")
        };
        assert_eq!(ask(&pod).await, ask(&none).await, "{method} {rest}");
    }
    let list = server.get("/api/pods").bearer(&ben).send().await;
    assert!(!list.body.contains(&pod));
}

#[tokio::test]
async fn the_order_of_refusals() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    let bad = server.post("/api/pods").raw_json("{").send().await;
    bad.problem(401, "unauthenticated");
    server.suspend(&token).await;
    for request in [
        server.post("/api/pods").raw_json("{"),
        server.post("/api/pods").json(&a_pod()),
        server.get("/api/pods/x"),
        server.get("/api/auth/verify"),
    ] {
        request
            .bearer(&token)
            .send()
            .await
            .problem(403, "account_suspended");
    }
    let login = server
        .post("/api/auth/mock-login")
        .json(&json!({ "email": ANA }))
        .send()
        .await;
    login.problem(403, "account_suspended");
}

#[tokio::test]
async fn without_development_mode_there_is_no_mock_login() {
    let server = Server::with(&[]).await;
    for body in [json!({ "email": ROOT }).to_string(), "{".to_owned()] {
        let answer = server
            .post("/api/auth/mock-login")
            .raw_json(body)
            .send()
            .await;
        let none = server.get("/api/nothing").send().await;
        assert_eq!(
            answer.problem(404, "not_found"),
            none.problem(404, "not_found")
        );
    }
}

#[tokio::test]
async fn tokens_in_other_places_or_shapes_are_none() {
    let server = Server::start().await;
    let token = server.token(ANA).await;
    for header in [
        token.clone(),
        format!("Basic {token}"),
        format!("Bearer  {token} {token}"),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer \"{token}\""),
    ] {
        let answer = server
            .get("/api/auth/verify")
            .header("authorization", &header)
            .send()
            .await;
        answer.problem(401, "unauthenticated");
    }
    let query = server
        .get(&format!("/api/auth/verify?token={token}"))
        .send()
        .await;
    query.problem(401, "unauthenticated");
    let cookie = server
        .get("/api/auth/verify")
        .header("cookie", &format!("token={token}"));
    cookie.send().await.problem(401, "unauthenticated");
    let any_case = server
        .get("/api/auth/verify")
        .header("authorization", &format!("bearer {token}"));
    assert_eq!(any_case.send().await.status, 200);
}

#[tokio::test]
async fn who_writes_or_signs_in_too_often_has_to_wait() {
    let server = Server::with(&["--dev"]).await;
    let login = |email: &str| {
        server
            .post("/api/auth/mock-login")
            .json(&json!({ "email": email }))
    };
    // The burst, and what comes back while it is used up on a slow machine.
    let mut allowed = 0;
    let answer = loop {
        let answer = login("ANA@example.com ").send().await;
        if answer.status != 200 {
            break answer;
        }
        allowed += 1;
        assert!(allowed < 3_000, "nobody ever has to wait");
    };
    assert!(allowed >= 300, "{allowed}");
    answer.problem(429, "rate_limited");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(login(BEN).send().await.status, 200, "nobody else has to");
}
