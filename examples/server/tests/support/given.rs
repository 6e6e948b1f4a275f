//! What the tests are given to run against: `cargo xtask test` sets it up.

use sqlx::{AnyConnection, AssertSqlSafe, Connection};

/// What a variable names; without it the test can't run, and says so.
pub(crate) fn given(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok();
    if value.is_none() {
        assert!(
            std::env::var("CI").is_err(),
            "{variable} is not set, and in CI nothing may be left out"
        );
        println!("not run: {variable} is not set; `cargo xtask test` sets it");
    }
    value
}

/// A schema of its own in a PostgreSQL that all tests share.
pub(crate) struct Schema {
    connection: AnyConnection,
    name: String,
    /// The database in this schema.
    pub(crate) url: String,
}

impl Schema {
    pub(crate) async fn make(server: &str, name: &str) -> Self {
        sqlx::any::install_default_drivers();
        let name = format!("{name}_{}", std::process::id());
        let url = format!("{server}?options=-c%20search_path%3D{name}");
        let connection = AnyConnection::connect(server).await.unwrap();
        let mut schema = Self {
            connection,
            name,
            url,
        };
        schema.run(&format!("CREATE SCHEMA {}", schema.name)).await;
        schema
    }

    pub(crate) async fn remove(mut self) {
        self.run(&format!("DROP SCHEMA {} CASCADE", self.name))
            .await;
    }

    async fn run(&mut self, statement: &str) {
        let statement = AssertSqlSafe(statement.to_owned());
        sqlx::raw_sql(statement)
            .execute(&mut self.connection)
            .await
            .unwrap();
    }
}
