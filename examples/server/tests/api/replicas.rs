//! Several servers over one database.

use std::path::Path;

use serde_json::json;

use crate::support::{ANA, Program, Request, SECRET, Schema, given};

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
