//! Whoever writes to the ledger's tables past the store is found: every column of every row, rows that are taken away,
//! put in, or exchanged. On SQLite and on PostgreSQL.

mod support;

use std::sync::Arc;

use neuropod_core::conformance::store::samples::*;
use neuropod_core::id::AccountId;
use neuropod_core::ledger::{Report, heads, verify};
use neuropod_core::store::*;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

/// The ledger's tables: name, key, and the columns of numbers and of texts beside it.
const TABLES: [(&str, &str, &[&str], &[&str]); 3] = [
    (
        "accounts",
        "id",
        &["posted", "unlimited", "version", "transfers", "seal"],
        &["head"],
    ),
    (
        "transfers",
        "id",
        &[
            "epoch",
            "xid",
            "n",
            "amount",
            "at",
            "quantity",
            "rate",
            "used_from",
            "used_to",
            "debit_seq",
            "credit_seq",
            "seal",
        ],
        &[
            "debit",
            "credit",
            "memo",
            "actor",
            "meter",
            "product",
            "debit_hash",
            "credit_hash",
        ],
    ),
    (
        "meters",
        "meter",
        &["total", "closed", "until", "seal"],
        &[],
    ),
];

#[tokio::test]
async fn on_sqlite() {
    let folder = support::Folder::new();
    tamper(&folder.url()).await;
}

#[tokio::test]
async fn on_postgres() {
    let Some(server) = support::postgres_or_say_why() else {
        return;
    };
    let schema = support::new_schema(&server).await;
    tamper(&schema.url).await;
    schema.remove().await;
}

/// Transfers of every kind: to and between customers, of meters with and without a refund, of the platform itself.
async fn fill(store: &dyn Store) {
    for n in 0..4_u64 {
        let between = Transfer {
            debit: account(2),
            actor: Some(user_id(3)),
            ..funding(&format!("between {n}"), 1, money(1))
        };
        let granted = Transfer {
            credit: AccountId::from("grants"),
            ..funding(&format!("granted {n}"), 1, money(1))
        };
        let total = |meter, payer, total: u64, last| MeterTotal {
            meter,
            payer,
            total: money(total as i64),
            last,
            at: at(n),
            used: used(0, total),
        };
        let run = Meter::Run(pod_id(n), 1);
        let changes = Changes {
            transfers: vec![
                funding(&format!("fund {n}"), n % 3, money(9)),
                between,
                granted,
            ],
            meters: vec![
                total(run, account(1), 5, false),
                total(run, account(1), 3, true),
                total(Meter::Volume(pod_id(n)), AccountId::from("grants"), 1, true),
            ],
            ..Changes::default()
        };
        store.commit(&changes).await.unwrap();
    }
}

/// A database, and somebody who writes to it past the store.
struct Intruder {
    store: Arc<dyn Store>,
    connection: AnyConnection,
}

impl Intruder {
    async fn execute(&mut self, sql: &str) {
        let done = sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut self.connection)
            .await;
        done.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    async fn keys(&mut self, sql: &str) -> Vec<String> {
        let rows = sqlx::query(AssertSqlSafe(sql))
            .fetch_all(&mut self.connection)
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn report(&self) -> Report {
        verify(&*self.store, None).await.unwrap()
    }

    /// Does something, sees that one of these rows is named, and undoes it.
    async fn names(&mut self, change: &str, undo: &str, rows: &[&str]) {
        self.execute(change).await;
        let report = self.report().await;
        let named = report.findings.iter().any(|finding| {
            let row = finding.row.to_string();
            rows.iter().any(|name| row == *name)
        });
        assert!(named, "{change}: {rows:?} are not named by\n{report}");
        self.execute(undo).await;
    }
}

async fn tamper(url: &str) {
    let store = support::open(url).await;
    fill(&*store).await;
    sqlx::any::install_default_drivers();
    let connection = AnyConnection::connect(url).await.unwrap();
    let mut intruder = Intruder { store, connection };
    let whole = intruder.report().await;
    assert!(whole.findings.is_empty(), "{whole}");
    assert_eq!((whole.accounts, whole.meters), (3, 8));
    for (table, ..) in TABLES {
        let copy = format!("CREATE TABLE {table}_before AS SELECT * FROM {table}");
        intruder.execute(&copy).await;
    }

    every_column(&mut intruder).await;
    rows_that_go_and_come(&mut intruder).await;
    chains_written_anew(&mut intruder).await;

    let whole = intruder.report().await;
    assert!(whole.findings.is_empty(), "{whole}");
}

/// One number more, or one character changed, in each column of each row.
async fn every_column(intruder: &mut Intruder) {
    let mut changed = 0;
    for (table, key, numbers, texts) in TABLES {
        let kind = table.trim_end_matches('s');
        let ids = intruder
            .keys(&format!("SELECT {key} FROM {table} ORDER BY {key}"))
            .await;
        for id in &ids {
            let there = format!("WHERE {key} = '{id}'");
            let number = |c: &&str| (c.to_string(), format!("{c} + 1"));
            // The first character becomes another one.
            let text = |c: &&str| {
                let first = format!("CASE substr({c}, 1, 1) WHEN 'a' THEN 'b' ELSE 'a' END");
                (c.to_string(), format!("{first} || substr({c}, 2)"))
            };
            let columns = numbers.iter().map(number).chain(texts.iter().map(text));
            for (column, new) in columns {
                let sql = format!("SELECT {key} FROM {table} {there} AND {column} IS NOT NULL");
                if intruder.keys(&sql).await.is_empty() {
                    continue;
                }
                let change = format!("UPDATE {table} SET {column} = {new} {there}");
                let before = format!("SELECT {column} FROM {table}_before {there}");
                let undo = format!("UPDATE {table} SET {column} = ({before}) {there}");
                intruder
                    .names(&change, &undo, &[&format!("{kind} {id}")])
                    .await;
                changed += 1;
            }
            let change = format!("UPDATE {table} SET {key} = 'x{id}' {there}");
            let undo = format!("UPDATE {table} SET {key} = '{id}' WHERE {key} = 'x{id}'");
            let names = [format!("{kind} x{id}"), format!("{kind} {id}")];
            intruder
                .names(&change, &undo, &[&names[0], &names[1]])
                .await;
        }
    }
    assert!(changed > 200, "{changed} values were changed");
}

/// Rows that are taken away, put in with everything in them as it should be, and exchanged.
async fn rows_that_go_and_come(intruder: &mut Intruder) {
    for (table, key, ..) in TABLES {
        let kind = table.trim_end_matches('s');
        let ids = intruder
            .keys(&format!("SELECT {key} FROM {table} ORDER BY {key}"))
            .await;
        for id in ids {
            // Of the platform's own transfers only those of meters follow from something else.
            if id.starts_with("granted") {
                continue;
            }
            let change = format!("DELETE FROM {table} WHERE {key} = '{id}'");
            let undo =
                format!("INSERT INTO {table} SELECT * FROM {table}_before WHERE {key} = '{id}'");
            intruder.execute(&change).await;
            let report = intruder.report().await;
            let findings = &report.findings;
            let named = match kind {
                // It is not there to be named: its neighbour, its account or its meter is.
                "transfer" => !findings.is_empty(),
                _ => findings.iter().any(|f| f.to_string().contains(&id)),
            };
            assert!(named, "{change}: {report}");
            intruder.execute(&undo).await;
        }
    }
    let twin = "CREATE TABLE twin AS SELECT * FROM transfers WHERE id = 'fund 1'";
    intruder.execute(twin).await;
    intruder.execute("UPDATE twin SET id = 'twin'").await;
    let put = "INSERT INTO transfers SELECT * FROM twin";
    let undo = "DELETE FROM transfers WHERE id = 'twin'";
    intruder.names(put, undo, &["transfer twin"]).await;
    // As if it were from before the seals, and the chains.
    let old = "UPDATE twin SET seal = NULL, credit_seq = NULL, credit_hash = NULL, n = 99";
    intruder.execute(old).await;
    intruder.names(put, undo, &["transfer twin"]).await;
    intruder.execute("DROP TABLE twin").await;

    let swap = "UPDATE transfers SET credit_seq = (SELECT b.credit_seq FROM transfers_before AS b \
         WHERE b.id = CASE transfers.id WHEN 'fund 0' THEN 'fund 3' ELSE 'fund 0' END) \
         WHERE id IN ('fund 0', 'fund 3')";
    let undo = "UPDATE transfers SET credit_seq = (SELECT b.credit_seq FROM transfers_before AS b \
         WHERE b.id = transfers.id) WHERE id IN ('fund 0', 'fund 3')";
    intruder
        .names(swap, undo, &["transfer fund 0", "transfer fund 3"])
        .await;
}

/// Who computes seals and chains anew is found by heads that were taken before.
async fn chains_written_anew(intruder: &mut Intruder) {
    let then = heads(&*intruder.store).await.unwrap();
    assert_eq!(then.0.len(), 3);
    let report = verify(&*intruder.store, Some(&then)).await.unwrap();
    assert!(report.findings.is_empty(), "{report}");
    let more = Changes {
        transfers: vec![funding("more", 1, money(1))],
        ..Changes::default()
    };
    intruder.store.commit(&more).await.unwrap();
    let report = verify(&*intruder.store, Some(&then)).await.unwrap();
    assert!(report.findings.is_empty(), "{report}");

    // The store itself, over an emptied ledger, writes a whole chain that is another one.
    for (table, ..) in TABLES {
        intruder.execute(&format!("DELETE FROM {table}")).await;
    }
    let mut other = more.clone();
    other.transfers[0].id = "other".to_owned();
    for changes in [more, other] {
        intruder.store.commit(&changes).await.unwrap();
    }
    let alone = intruder.report().await;
    assert!(alone.findings.is_empty(), "{alone}");
    let report = verify(&*intruder.store, Some(&then)).await.unwrap();
    let rows: Vec<_> = report.findings.iter().map(|f| f.row.to_string()).collect();
    let gone = [account(0), account(1), account(2)].map(|id| format!("account {id}"));
    let rewritten = gone.iter().all(|row| rows.contains(row));
    assert!(rewritten, "{report}");
}
