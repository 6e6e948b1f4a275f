//! The ledger: how fast meters are settled beside plain batches of the same rows, what one account takes that everybody
//! pays from at once, and what a page of a long statement costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use neuropod_benches::databases::{Folder, new_schema, postgres};
use neuropod_benches::fleet::run;
use neuropod_benches::report::{Limit, figure, heading, median};
use neuropod_benches::{Scale, raw};
use neuropod_core::id::AccountId;
use neuropod_core::money::Money;
use neuropod_core::store::{Changes, Meter, MeterTotal, Store, Transfer, TransferQuery, Used};
use neuropod_core::{Result, Time};
use neuropod_store::SqlStore;

/// So many callers settle at the same time.
const CALLERS: usize = 256;

/// So many accounts pay.
const ACCOUNTS: u64 = 1000;

/// So many transfers go into one commit where only the rows matter.
const AT_ONCE: u64 = 1000;

#[tokio::main]
async fn main() -> Result<()> {
    let scale = Scale::asked();
    heading("The ledger on SQLite");
    let (folder, plain) = (Folder::new(), Folder::new());
    over(&folder.url(), &plain.url(), scale).await?;
    let Some(server) = postgres() else {
        println!(
            "\nThe ledger on PostgreSQL: not measured, NEUROPOD_TEST_POSTGRES names no server"
        );
        return Ok(());
    };
    heading("The ledger on PostgreSQL");
    let (schema, plain) = (new_schema(&server).await, new_schema(&server).await);
    over(&schema.url, &plain.url, scale).await?;
    schema.remove().await;
    plain.remove().await;
    Ok(())
}

async fn over(url: &str, plain: &str, scale: Scale) -> Result<()> {
    let store: Arc<dyn Store> = Arc::new(SqlStore::open(url).await?);
    let settlements = scale.of(20_000, 20);
    let raw = raw::settlements(plain, settlements, ACCOUNTS).await?;
    let settled = rate(&store, settlements, CALLERS, settlement).await?;
    figure("settled per second", settled, "/s", Limit::None);
    figure(
        "raw: the same rows in plain batches",
        raw,
        "/s",
        Limit::None,
    );
    let least = Limit::AtLeast;
    figure("settled, of raw", settled / raw, "", least(0.6));

    let hot = |caller: &'static str| {
        move |n: u64| Changes {
            transfers: vec![credit(&format!("{caller} {n}"), "user:hot")],
            ..Changes::default()
        }
    };
    let operations = scale.of(5000, 20);
    let together = rate(&store, operations, CALLERS, hot("together")).await?;
    let alone = rate(&store, operations / 10, 1, hot("alone")).await?;
    figure("one account, one after another", alone, "/s", Limit::None);
    figure("one account, all at once", together, "/s", Limit::None);
    figure("  times as many", together / alone, "", least(8.0));

    let lengths = [100, scale.of(100_000, 1000)];
    let mut pages = Vec::new();
    for length in lengths {
        let account = format!("user:{length} transfers");
        fill(&*store, &account, length).await?;
        pages.push(page(&*store, &account, scale).await?);
    }
    let micros = |page: Duration| page.as_secs_f64() * 1e6;
    for (length, page) in lengths.iter().zip(&pages) {
        let what = format!("a page of 50 amid {length} transfers");
        figure(&what, micros(*page), "µs", Limit::None);
    }
    let longer = micros(pages[1]) / micros(pages[0]);
    figure("  times as long", longer, "", Limit::AtMost(1.5));
    Ok(())
}

/// The last total of meter number `n`, of one of many accounts.
fn settlement(n: u64) -> Changes {
    let payer = AccountId::new(format!("user:{}", n % ACCOUNTS));
    let hour = 3_600_000_000;
    let total = MeterTotal {
        meter: Meter::Run(run(n).pod, 1),
        payer: payer.clone(),
        total: Money::from_micros(hour),
        last: true,
        at: Time::from_micros(hour),
        used: Used {
            product: "rtx-4090".to_owned(),
            quantity: 1,
            rate: Money::from_micros(hour),
            from: Time::EPOCH,
            to: Time::from_micros(hour),
        },
    };
    Changes {
        touch: vec![payer],
        meters: vec![total],
        ..Changes::default()
    }
}

fn credit(id: &str, account: &str) -> Transfer {
    Transfer {
        id: id.to_owned(),
        debit: AccountId::from("funding"),
        credit: AccountId::from(account),
        amount: Money::from_micros(1),
        memo: "A credit".to_owned(),
        actor: None,
        at: Time::EPOCH,
        charge: None,
    }
}

/// How many commits a second, with so many callers.
async fn rate(
    store: &Arc<dyn Store>,
    count: u64,
    callers: usize,
    changes: impl Fn(u64) -> Changes,
) -> Result<f64> {
    let began = Instant::now();
    let commits = futures::stream::iter(0..count).map(|n| {
        let (store, changes) = (store.clone(), changes(n));
        tokio::spawn(async move { store.commit(&changes).await })
    });
    let mut commits = commits.buffer_unordered(callers);
    while let Some(committed) = commits.next().await {
        committed.expect("a commit does not panic")?;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

async fn fill(store: &dyn Store, account: &str, length: u64) -> Result<()> {
    for first in (0..length).step_by(AT_ONCE as usize) {
        let numbers = first..(first + AT_ONCE).min(length);
        let transfers = numbers.map(|n| credit(&format!("{account} {n}"), account));
        let changes = Changes {
            transfers: transfers.collect(),
            ..Changes::default()
        };
        store.commit(&changes).await?;
    }
    Ok(())
}

/// How long the second page of the statement takes.
async fn page(store: &dyn Store, account: &str, scale: Scale) -> Result<Duration> {
    let mut query = TransferQuery {
        account: AccountId::from(account),
        after: None,
        limit: 50,
    };
    query.after = store.transfers(&query).await?.next;
    let mut took = Vec::new();
    for _ in 0..scale.of(500, 3) {
        let began = Instant::now();
        store.transfers(&query).await?;
        took.push(began.elapsed());
    }
    Ok(median(&took))
}
