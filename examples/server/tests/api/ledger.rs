//! `neuropod-server ledger`, the program itself, over a database that a server keeps open or has left.

use std::path::Path;
use std::process::Output;

use neuropod::id::AccountId;
use neuropod::sql::SqlStore;
use neuropod::store::{Changes, Transfer};
use neuropod::{Store, Time};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};

use crate::program::program;
use crate::support::{Schema, given};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What the program says about the ledger at `url`.
async fn ask(url: &str, arguments: &[&str]) -> Output {
    let mut command = program(&["ledger"]);
    let command = command.args(arguments).env("DATABASE_URL", url);
    command.output().await.unwrap()
}

fn credits(range: std::ops::Range<i64>) -> Changes {
    let credit = |n: i64| Transfer {
        id: format!("payment {n}"),
        debit: AccountId::from("funding"),
        credit: AccountId::from("user:ana"),
        amount: neuropod::money::Money::from_micros(n + 1),
        memo: "by card".to_owned(),
        actor: None,
        at: Time::from_micros(n),
        charge: None,
    };
    Changes {
        transfers: range.map(credit).collect(),
        ..Changes::default()
    }
}

/// The ledger is proven, also amid changes, or the touched row is named.
async fn examined(url: &str, folder: &Path) {
    let store = SqlStore::open(url).await.unwrap();
    store.commit(&credits(0..3)).await.unwrap();

    let heads = ask(url, &["heads"]).await;
    assert!(heads.status.success());
    let lines = text(&heads.stdout);
    assert!(
        lines.starts_with("3 ") && lines.ends_with(" user:ana\n"),
        "{lines}"
    );
    let file = folder.join("heads");
    std::fs::write(&file, lines).unwrap();
    let since = ["verify", "--since", file.to_str().unwrap()];

    store.commit(&credits(3..4)).await.unwrap();
    for arguments in [&["verify"][..], &since] {
        let proven = ask(url, arguments).await;
        let said = text(&proven.stdout);
        assert!(proven.status.success(), "{said}");
        assert!(
            said.contains("4 transfers") && said.contains("nothing is wrong"),
            "{said}"
        );
    }
    drop(store);

    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await.unwrap();
    let mut execute = async |sql: &str| {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        sql.execute(&mut connection).await.unwrap();
    };
    execute("UPDATE transfers SET memo = 'by cart' WHERE id = 'payment 1'").await;
    let touched = ask(url, &["verify"]).await;
    assert_eq!(touched.status.code(), Some(1));
    let said = text(&touched.stdout);
    assert!(
        said.contains("transfer payment 1 is not as it was written"),
        "{said}"
    );
    execute("UPDATE transfers SET memo = 'by card' WHERE id = 'payment 1'").await;

    // All of it made anew, by the store itself.
    for table in ["transfers", "accounts"] {
        execute(&format!("DELETE FROM {table}")).await;
    }
    let store = SqlStore::open(url).await.unwrap();
    store.commit(&credits(7..12)).await.unwrap();
    assert!(ask(url, &["verify"]).await.status.success());
    let rewritten = ask(url, &since).await;
    assert_eq!(rewritten.status.code(), Some(1));
    let said = text(&rewritten.stdout);
    assert!(
        said.contains("transfer payment 9, of account user:ana"),
        "{said}"
    );
    drop(store);
}

#[tokio::test]
async fn the_ledger_in_sqlite_is_examined() {
    let folder = std::env::temp_dir().join(format!("neuropod-ledger-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let url = format!("sqlite://{}/kept.db", folder.display());
    examined(&url, &folder).await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn the_ledger_in_postgres_is_examined() {
    let Some(server) = given("NEUROPOD_TEST_POSTGRES") else {
        return;
    };
    let schema = Schema::make(&server, "ledger").await;
    let folder = std::env::temp_dir().join(format!("neuropod-heads-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    examined(&schema.url, &folder).await;
    std::fs::remove_dir_all(&folder).unwrap();
    schema.remove().await;
}

#[tokio::test]
async fn who_looks_at_a_ledger_makes_none() {
    let folder = std::env::temp_dir();
    let absent = folder.join("no such database.db");
    let url = format!("sqlite://{}", absent.display());
    for url in [&*url, "memory:"] {
        let refused = ask(url, &["verify"]).await;
        assert_eq!(refused.status.code(), Some(1), "{url}");
        assert_eq!(text(&refused.stdout), "");
    }
    assert!(!absent.exists());
}
