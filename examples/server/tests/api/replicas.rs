//! Several servers over one database.

use std::path::Path;

use serde_json::json;

use crate::support::{ANA, BEN, Program, ROOT, Request, SECRET, Schema, Server, given};

const ROUNDS: usize = 5;
const SERVERS: usize = 6;

/// Starts several at once, and uses each with the sign-in of another.
async fn start_at_once(folder: &Path, database: &str) {
    let settings = [
        ("NEUROPOD_ORCHESTRATOR", "memory"),
        ("DATABASE_URL", database),
        ("JWT_SECRET", SECRET),
    ];
    let starts = (0..SERVERS).map(|_| Program::start(folder, &settings));
    let servers = futures::future::join_all(starts).await;
    for (n, server) in servers.iter().enumerate() {
        let login = Request::new(server.address, "POST", "/api/auth/mock-login");
        let login = login.json(&json!({ "email": ANA })).send().await;
        let token = login.json()["token"].as_str().unwrap().to_owned();
        let other = &servers[(n + 1) % SERVERS];
        let me = Request::new(other.address, "GET", "/api/auth/me").bearer(&token);
        assert_eq!(me.send().await.status, 200);
    }
    for server in servers {
        server.kill().await;
    }
}

#[tokio::test]
async fn all_come_up_on_an_empty_sqlite_database() {
    let folder = std::env::temp_dir().join(format!("neuropod-replicas-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for round in 0..ROUNDS {
        start_at_once(&folder, &format!("sqlite://{round}.db")).await;
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn all_come_up_on_an_empty_postgres_database() {
    let Some(server) = given("NEUROPOD_TEST_POSTGRES") else {
        return;
    };
    for round in 0..ROUNDS {
        let schema = Schema::make(&server, &format!("replicas_{round}")).await;
        start_at_once(&std::env::temp_dir(), &schema.url).await;
        schema.remove().await;
    }
}

#[tokio::test]
async fn what_ends_a_session_at_one_ends_it_at_the_other_within_a_second() {
    let here = Server::start().await;
    let there = here
        .beside(&["--dev", "--admin-emails", "chief@example.com"])
        .await;
    let chief = there.token("chief@example.com").await;
    let id = async |token: &str| here.user(token).await.id;
    let tell = async |path: &str, user| {
        let body = json!({ "userId": user });
        let told = there.post(path).bearer(&chief).json(&body).send().await;
        assert_eq!(told.status, 200, "{told:?}");
    };

    let ana = here.token(ANA).await;
    tell("/api/auth/users/suspend", id(&ana).await).await;
    here.until_refused(&ana)
        .await
        .problem(403, "account_suspended");

    let ben = here.token(BEN).await;
    assert_eq!(
        here.get("/api/auth/verify")
            .bearer(&ben)
            .send()
            .await
            .status,
        200
    );
    there.post("/api/auth/logout").bearer(&ben).send().await;
    here.until_refused(&ben)
        .await
        .problem(401, "unauthenticated");

    let ben = here.token(BEN).await;
    let path = format!("/api/auth/users/{}", id(&ben).await);
    there.request("DELETE", &path).bearer(&chief).send().await;
    here.until_refused(&ben)
        .await
        .problem(401, "unauthenticated");

    // Who is no administrator there any more is none here.
    let root = here.token(ROOT).await;
    let list = async || here.get("/api/auth/users").bearer(&root).send().await;
    assert_eq!(list().await.status, 200);
    there.token(ROOT).await;
    let began = std::time::Instant::now();
    loop {
        let asked = began.elapsed();
        let answer = list().await;
        if answer.status != 200 {
            answer.problem(403, "forbidden");
            break;
        }
        assert!(asked < std::time::Duration::from_secs(1), "{answer:?}");
    }
}
