//! Opens a database: connections, migrations, the life it is in.

use std::time::Duration;

use neuropod_core::id::{Entropy, Token};
use neuropod_core::{Error, Result};
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection, Row, SqlSafeStr};
use tokio::task::JoinSet;

use crate::SqlStore;
use crate::dialect::Dialect;
use crate::error::ours;
use crate::notify::Hints;
use crate::writer::Writer;

/// In their order; one that was released is never changed.
const MIGRATIONS: [(&str, &str); 2] = [
    ("tables", include_str!("../migrations/0001_tables.sql")),
    ("ledger", include_str!("../migrations/0002_ledger.sql")),
];

/// How long a call waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections that read, or on PostgreSQL read and write.
const CONNECTIONS: u32 = 10;

impl SqlStore {
    /// Opens the database at `url`, and brings it up to date. A file of SQLite is made if it is not there, for its
    /// owner's eyes only.
    ///
    /// # Errors
    /// `Invalid` if the URL is none, `Unsupported` if this program is built without its engine, `Unreachable` if it
    /// does not answer.
    pub async fn open(url: &str) -> Result<Self> {
        let dialect = Dialect::of(url)?;
        let url = match dialect {
            Dialect::Sqlite => prepare_file(url)?,
            Dialect::Postgres => url.to_owned(),
        };
        sqlx::any::install_default_drivers();
        let pool = connect(&url, dialect, CONNECTIONS).await?;
        let writers = match dialect {
            Dialect::Sqlite => connect(&url, dialect, 1).await?,
            Dialect::Postgres => pool.clone(),
        };
        migrate(&writers, dialect).await?;
        let begun = begin_life(&writers, dialect).await;
        let installation = begun.map_err(|e| ours(e, "open the database"))?;
        let (local, hints) = (Hints::new(), Hints::new());
        Ok(Self {
            _sharing: share(&url, &pool, dialect, &local, &hints),
            writer: Writer::new(writers, dialect),
            pool,
            dialect,
            installation,
            local,
            hints,
        })
    }
}

async fn connect(url: &str, dialect: Dialect, connections: u32) -> Result<AnyPool> {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        // A broken connection shows by its first statement, which costs no more than a test before each.
        .test_before_acquire(dialect == Dialect::Postgres)
        // After an error that SQLite itself rolls back for, such as a full disk, the driver takes the transaction for open,
        // and can't begin another one on that connection.
        .before_acquire(|connection, _| {
            let is_idle = !connection.is_in_transaction();
            Box::pin(async move { Ok(is_idle) })
        })
        .after_connect(move |connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(dialect.settings())
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .connect(url)
        .await
        .map_err(|e| ours(e, "open the database"))
}

/// Makes the file, readable by its owner alone: environments and tokens of pods stand in it.
fn prepare_file(url: &str) -> Result<String> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let path = path.trim_start_matches("sqlite:").trim_start_matches("//");
    if path.is_empty() || path == ":memory:" {
        return Err(Error::invalid(
            "",
            "The URL of a SQLite store names a file, sqlite://neuropod.db. To keep nothing, take MemoryStore.",
        ));
    }
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|e| {
        Error::unreachable("The file of the database can't be opened.")
            .with("file", path)
            .caused_by(e)
    })?;
    let query = if query.is_empty() { "" } else { "?" }.to_owned() + query;
    Ok(format!("sqlite://{path}{query}"))
}

/// Brings the tables up to date, one process at a time.
async fn migrate(pool: &AnyPool, dialect: Dialect) -> Result<()> {
    let migrations = (1..).zip(MIGRATIONS).map(|(n, (name, sql))| {
        let sql = AssertSqlSafe(dialect.schema(sql)).into_sql_str();
        Migration::new(n, name.into(), MigrationType::Simple, sql, false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    let failed = |e: sqlx::migrate::MigrateError| {
        Error::internal("The tables of the database can't be brought up to date.").caused_by(e)
    };
    let during = |e| ours(e, "migrate the database");
    match dialect {
        // SQLite has no lock for migrations but its own.
        Dialect::Sqlite => {
            let mut transaction = pool.begin_with(dialect.begin()).await.map_err(during)?;
            let connection: &mut AnyConnection = &mut transaction;
            migrator
                .run_direct(None, connection, false)
                .await
                .map_err(failed)?;
            transaction.commit().await.map_err(during)
        }
        Dialect::Postgres => {
            let mut connection = pool.acquire().await.map_err(during)?;
            let connection: &mut AnyConnection = &mut connection;
            migrator
                .run_direct(None, connection, false)
                .await
                .map_err(failed)
        }
    }
}

/// Notes in which life the database is, and answers its installation.
async fn begin_life(pool: &AnyPool, dialect: Dialect) -> sqlx::Result<String> {
    let mut transaction = pool.begin_with(dialect.begin()).await?;
    let row = sqlx::query(dialect.cluster())
        .fetch_one(&mut *transaction)
        .await?;
    let cluster: String = row.try_get(0)?;
    let made = "INSERT INTO life \
                (one, installation, cluster, epoch, xid, gone_epoch, gone_xid, gone_n) \
                VALUES (1, $1, '', 0, 0, 0, 0, 0) ON CONFLICT (one) DO NOTHING";
    sqlx::query(made)
        .bind(Token::random(&Entropy::system()).to_string())
        .execute(&mut *transaction)
        .await?;
    let moved = "UPDATE life SET cluster = $1, epoch = epoch + 1 WHERE cluster <> $1";
    sqlx::query(moved)
        .bind(cluster)
        .execute(&mut *transaction)
        .await?;
    let row = sqlx::query("SELECT installation FROM life")
        .fetch_one(&mut *transaction)
        .await?;
    let installation = row.try_get(0)?;
    transaction.commit().await?;
    Ok(installation)
}

#[cfg(feature = "postgres")]
fn share(url: &str, pool: &AnyPool, dialect: Dialect, local: &Hints, hints: &Hints) -> JoinSet<()> {
    match dialect {
        Dialect::Sqlite => JoinSet::new(),
        Dialect::Postgres => crate::notify::share(url, pool.clone(), local, hints),
    }
}

#[cfg(not(feature = "postgres"))]
fn share(_: &str, _: &AnyPool, _: Dialect, _: &Hints, _: &Hints) -> JoinSet<()> {
    JoinSet::new()
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use std::time::Duration;

    use neuropod_core::conformance::store::samples::{account, funding, money};
    use neuropod_core::store::{Changes, Store};

    use super::CONNECTIONS;
    use crate::SqlStore;

    /// From outside nobody can hold a connection that reads.
    #[tokio::test]
    async fn sqlite_writes_while_no_connection_is_free_to_read() {
        let name = format!("neuropod-open-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let url = format!("sqlite://{}/neuropod.db", folder.display());
        let store = SqlStore::open(&url).await.unwrap();
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.push(store.pool.acquire().await.unwrap());
        }

        let credit = Changes {
            transfers: vec![funding("credit", 1, money(1))],
            ..Changes::default()
        };
        store.commit(&credit).await.unwrap();
        let id = account(1);
        let refused = store.account(&id).await.unwrap_err();
        assert!(refused.is_retryable(), "{refused:?}");
        assert!(refused.message().contains("No connection"), "{refused:?}");

        let waits = store.account(&id);
        let frees = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            held.pop();
        };
        let (read, ()) = futures::join!(waits, frees);
        assert_eq!(read.unwrap().unwrap().posted, money(1));
        drop(held);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
