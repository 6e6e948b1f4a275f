//! Stores to test with, each new and empty.

#![allow(dead_code, unreachable_pub)] // each test takes what it needs

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use neuropod_core::store::Store;
use neuropod_store::SqlStore;

/// A folder that goes when it is dropped.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("neuropod-store-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder for a test");
        Self(path)
    }

    /// The URL of a database of SQLite in it.
    pub fn url(&self) -> String {
        format!("sqlite://{}/neuropod.db", self.0.display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Why there is no PostgreSQL to test with.
pub const NO_POSTGRES: &str = "NEUROPOD_TEST_POSTGRES does not name a server";

/// The server of the tests, `postgres://…`.
pub fn postgres() -> Option<String> {
    std::env::var("NEUROPOD_TEST_POSTGRES").ok()
}

/// The server of the tests, which CI must have; anywhere else its absence is said.
pub fn postgres_or_say_why() -> Option<String> {
    let server = postgres();
    if server.is_none() {
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "{NO_POSTGRES}");
        println!("not run: {NO_POSTGRES}");
    }
    server
}

/// What `tests/effort.toml` says under this name, or else `otherwise`.
pub fn effort(name: &str, otherwise: u64) -> u64 {
    let told = std::env::var(format!("NEUROPOD_{name}")).ok();
    told.map_or(otherwise, |n| n.parse().expect("a number"))
}

/// A new seed, or the one to play again; printed.
pub fn seed() -> u64 {
    let told = std::env::var("NEUROPOD_SEED").ok();
    let new = || fastrand::u64(0..1 << 32);
    let seed = told.map_or_else(new, |n| n.parse().expect("a number"));
    println!("NEUROPOD_SEED={seed}");
    seed
}

/// The URL of a schema that is made now and dropped with the answer.
pub async fn new_schema(server: &str) -> Schema {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("test_{}_{n}", std::process::id());
    sqlx::any::install_default_drivers();
    admin(
        server,
        format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}"),
    )
    .await;
    let join = if server.contains('?') { '&' } else { '?' };
    Schema {
        url: format!("{server}{join}options=-c%20search_path%3D{name}"),
        server: server.to_owned(),
        name,
    }
}

async fn admin(server: &str, sql: String) {
    use sqlx::{AnyConnection, AssertSqlSafe, Connection};
    let connection = AnyConnection::connect(server).await;
    let mut connection = connection.expect("the server of the tests answers");
    let done = sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await;
    done.expect("the server of the tests does what it is asked");
}

/// A schema of the tests' server.
#[derive(Debug)]
pub struct Schema {
    pub url: String,
    pub name: String,
    server: String,
}

impl Schema {
    pub async fn remove(self) {
        admin(
            &self.server,
            format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name),
        )
        .await;
    }
}

pub async fn open(url: &str) -> Arc<dyn Store> {
    Arc::new(SqlStore::open(url).await.expect("the database opens"))
}
