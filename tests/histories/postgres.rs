//! Histories over PostgreSQL, where `NEUROPOD_TEST_POSTGRES` names a server.

use std::process::Command;

use crate::watched::Record;
use crate::{all_end_well, effort, sql};

#[test]
fn histories_over_postgres_end_well() {
    let Ok(server) = std::env::var("NEUROPOD_TEST_POSTGRES") else {
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "NEUROPOD_TEST_POSTGRES does not name a server");
        return println!("not run: NEUROPOD_TEST_POSTGRES does not name a server");
    };
    all_end_well(effort("POSTGRES_HISTORIES", 3), |seed| play(&server, seed));
}

fn play(server: &str, seed: u64) -> Record {
    let schema = Schema::new(server, seed);
    sql::play_over(&schema.url(), seed)
}

/// A schema that goes when it is dropped.
struct Schema<'a> {
    server: &'a str,
    name: String,
}

impl<'a> Schema<'a> {
    fn new(server: &'a str, seed: u64) -> Self {
        let name = format!("history_{}_{seed}", std::process::id());
        let schema = Self { server, name };
        assert!(
            schema.tell(&format!("CREATE SCHEMA {}", schema.name)),
            "psql makes a schema"
        );
        schema
    }

    fn url(&self) -> String {
        let join = if self.server.contains('?') { '&' } else { '?' };
        let (server, name) = (self.server, &self.name);
        format!("{server}{join}options=-c%20search_path%3D{name}")
    }

    /// By PostgreSQL's own client, since the examples are built with whatever crate the tests need.
    fn tell(&self, statement: &str) -> bool {
        let mut psql = Command::new("psql");
        psql.args([
            "--quiet",
            "--no-psqlrc",
            "--command",
            statement,
            self.server,
        ]);
        psql.env("PGOPTIONS", "-c client_min_messages=warning");
        psql.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Schema<'_> {
    fn drop(&mut self) {
        self.tell(&format!("DROP SCHEMA {} CASCADE", self.name));
    }
}
