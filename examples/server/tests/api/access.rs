//! Every endpoint, asked by everybody.

use serde_json::json;

use crate::support::{ANA, BEN, ROOT, Server, a_pod};

/// What an endpoint answers to: nobody, somebody whose session has ended, Ana (whose pod it is), Ben, an administrator.
const TABLE: &[(&str, &str, [u16; 5])] = &[
    ("GET", "/healthz", [200, 200, 200, 200, 200]),
    ("GET", "/readyz", [200, 200, 200, 200, 200]),
    ("GET", "/api/health", [200, 200, 200, 200, 200]),
    ("GET", "/api/status/public", [200, 200, 200, 200, 200]),
    ("GET", "/api/status", [401, 401, 403, 403, 200]),
    ("GET", "/api/pricing/public", [200, 200, 200, 200, 200]),
    ("POST", "/api/auth/mock-login", [400, 400, 400, 400, 400]),
    ("GET", "/api/auth/verify", [401, 401, 200, 200, 200]),
    ("GET", "/api/auth/me", [401, 401, 200, 200, 200]),
    ("GET", "/api/pricing", [401, 401, 200, 200, 200]),
    ("GET", "/api/templates", [401, 401, 200, 200, 200]),
    (
        "GET",
        "/api/templates/{template}",
        [401, 401, 200, 200, 200],
    ),
    (
        "GET",
        "/api/templates/000000000000000000000000",
        [401, 401, 404, 404, 404],
    ),
    ("GET", "/api/templates/x", [401, 401, 400, 400, 400]),
    ("GET", "/api/pods", [401, 401, 200, 200, 200]),
    ("GET", "/api/pods/admin", [401, 401, 403, 403, 200]),
    ("POST", "/api/pods", [401, 401, 400, 400, 400]),
    ("GET", "/api/pods/{pod}", [401, 401, 200, 404, 200]),
    (
        "GET",
        "/api/pods/{pod}/connections",
        [401, 401, 200, 404, 200],
    ),
    ("GET", "/api/pods/{pod}/logs", [401, 401, 200, 404, 200]),
    ("POST", "/api/pods/{pod}/start", [401, 401, 409, 404, 409]),
    ("POST", "/api/pods/{pod}/stop", [401, 401, 200, 404, 200]),
    ("DELETE", "/api/pods/{pod}", [401, 401, 200, 404, 200]),
    (
        "GET",
        "/api/pods/0000000000000000",
        [401, 401, 404, 404, 404],
    ),
    (
        "DELETE",
        "/api/pods/0000000000000000",
        [401, 401, 404, 404, 404],
    ),
    ("GET", "/api/pods/x", [401, 401, 400, 400, 400]),
    ("POST", "/api/pods/quote", [401, 401, 400, 400, 400]),
    ("GET", "/api/billing/balance", [401, 401, 200, 200, 200]),
    ("GET", "/api/billing/statement", [401, 401, 200, 200, 200]),
    ("GET", "/api/billing/usage", [401, 401, 200, 200, 200]),
    ("GET", "/api/billing/export", [401, 401, 200, 200, 200]),
    ("GET", "/api/billing/budget", [401, 401, 200, 200, 200]),
    ("PUT", "/api/billing/budget", [401, 401, 400, 400, 400]),
    ("DELETE", "/api/billing/budget", [401, 401, 200, 200, 200]),
    ("POST", "/api/billing/credit", [401, 401, 403, 403, 400]),
    ("PUT", "/api/pricing", [401, 401, 403, 403, 200]),
    ("POST", "/api/pricing/reset", [401, 401, 403, 403, 200]),
    (
        "POST",
        "/api/pricing/calculate-cost",
        [401, 401, 400, 400, 400],
    ),
    (
        "GET",
        "/api/pricing/gpus/available",
        [401, 401, 200, 200, 200],
    ),
    (
        "GET",
        "/api/pricing/gpus/rtx-4050",
        [401, 401, 200, 200, 200],
    ),
    (
        "GET",
        "/api/pricing/gpus/toString",
        [401, 401, 404, 404, 404],
    ),
    ("GET", "/api/pricing/history", [401, 401, 200, 200, 200]),
    ("POST", "/api/auth/logout", [401, 401, 200, 200, 200]),
];

#[tokio::test]
async fn everybody_gets_what_is_theirs() {
    for (method, path, wanted) in TABLE {
        for (who, wanted) in wanted.iter().enumerate() {
            let server = Server::start().await;
            let ana = server.token(ANA).await;
            let ended = server.token(BEN).await;
            let out = server.post("/api/auth/logout").bearer(&ended).send().await;
            assert_eq!(out.status, 200);
            let token = [
                None,
                Some(ended),
                Some(ana.clone()),
                Some(server.token(BEN).await),
                Some(server.token(ROOT).await),
            ];
            let pod = server.launch(&ana).await;
            server.settle().await;
            let template = server.platform.templates().await.unwrap()[0].id.to_string();
            let path = path.replace("{pod}", &pod).replace("{template}", &template);
            let mut request = server.request(method, &path);
            if let Some(token) = &token[who] {
                request = request.bearer(token);
            }
            let answer = request.send().await;
            assert_eq!(
                answer.status, *wanted,
                "{method} {path} by {who}: {answer:?}"
            );
            match answer.status {
                400 => drop(answer.problem(400, "validation")),
                401 => {
                    answer.problem(401, "unauthenticated");
                    assert_eq!(answer.header("www-authenticate"), Some("bearer"));
                }
                403 => drop(answer.problem(403, "forbidden")),
                404 => drop(answer.problem(404, "not_found")),
                _ => {}
            }
            if who != 2 && who != 4 {
                let left = server
                    .get(&format!("/api/pods/{pod}"))
                    .bearer(&ana)
                    .send()
                    .await;
                assert_eq!(
                    left.json()["data"]["status"],
                    "running",
                    "{method} {path} by {who}"
                );
            }
        }
    }
}

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
    let who = neuropod::auth::Credential::Bearer(neuropod::pod::Secret::new(&token));
    let user = neuropod::Auth::authenticate(&*server.sessions, &who)
        .await
        .unwrap()
        .user;
    let suspended = neuropod::user::User {
        standing: neuropod::user::Standing::Suspended,
        ..user
    };
    let changes = neuropod::store::Changes {
        users: vec![suspended],
        ..Default::default()
    };
    server.platform.store().commit(&changes).await.unwrap();
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
