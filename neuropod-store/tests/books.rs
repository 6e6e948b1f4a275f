//! Random transfers and totals of meters (repeated, reordered, lower, after the last one) against books that are kept by
//! hand: a million in memory in the soak, fewer on the databases. `NEUROPOD_SEED=n` plays one sequence again.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use neuropod_core::ErrorKind;
use neuropod_core::conformance::store::samples::*;
use neuropod_core::id::AccountId;
use neuropod_core::ledger::verify;
use neuropod_core::memory::MemoryStore;
use neuropod_core::money::Money;
use neuropod_core::store::*;

/// How many customers there are.
const CUSTOMERS: u64 = 5;
/// How many meters count at once. Another one takes the place of the oldest now and then.
const METERS: u64 = 20;
const OPERATIONS_A_METER: u64 = 5;

#[tokio::test]
async fn in_memory() {
    let operations = support::effort("LEDGER", 20_000);
    compare(Arc::new(MemoryStore::new()), operations).await;
}

#[tokio::test]
async fn on_sqlite() {
    let folder = support::Folder::new();
    let operations = support::effort("SQL_LEDGER", 500);
    compare(support::open(&folder.url()).await, operations).await;
}

#[tokio::test]
async fn on_postgres() {
    let Some(server) = support::postgres_or_say_why() else {
        return;
    };
    let schema = support::new_schema(&server).await;
    let operations = support::effort("SQL_LEDGER", 500);
    compare(support::open(&schema.url).await, operations).await;
    schema.remove().await;
}

/// The books, in nothing but sums.
#[derive(Default)]
struct Books {
    accounts: BTreeMap<AccountId, i64>,
    /// Debit, credit and amount by id.
    transfers: BTreeMap<String, (AccountId, AccountId, i64)>,
    /// Total by meter, and whether it was the last.
    meters: BTreeMap<u64, (i64, bool)>,
    /// How many transfers meters have led to.
    booked: u64,
}

impl Books {
    fn moves(&mut self, debit: &AccountId, credit: &AccountId, amount: i64) {
        *self.accounts.entry(debit.clone()).or_default() -= amount;
        *self.accounts.entry(credit.clone()).or_default() += amount;
    }

    /// Writes it down unless it is there; `false` if it is there and another one.
    fn transfer(&mut self, t: &Transfer) -> bool {
        let content = (t.debit.clone(), t.credit.clone(), t.amount.as_micros());
        if let Some(there) = self.transfers.get(&t.id) {
            return *there == content;
        }
        self.moves(&t.debit, &t.credit, content.2);
        self.transfers.insert(t.id.clone(), content);
        true
    }

    fn total(&mut self, meter: u64, payer: &AccountId, total: i64, last: bool) {
        let (before, closed) = self.meters.get(&meter).copied().unwrap_or_default();
        if closed || (!last && total <= before) {
            return;
        }
        self.meters.insert(meter, (total, last));
        self.booked += u64::from(total != before);
        self.moves(payer, &AccountId::from("revenue"), total - before);
    }
}

/// Every meter has a pod and a payer of its own; every third one's is unlimited.
fn meter(n: u64) -> (Meter, AccountId) {
    let meter = match n % 2 {
        0 => Meter::Volume(pod_id(n)),
        _ => Meter::Run(pod_id(n), 1),
    };
    let payer = match n % 3 {
        0 => AccountId::from("grants"),
        _ => account(n % CUSTOMERS),
    };
    (meter, payer)
}

/// The transfer of this number, always the same.
fn numbered(n: u64) -> Transfer {
    let amount = Money::from_micros(n as i64 % 997 + 1);
    let transfer = funding(&format!("t{n}"), n % CUSTOMERS, amount);
    let debit = match n % 4 {
        0 => account((n + 1) % CUSTOMERS),
        1 => AccountId::from("grants"),
        _ => transfer.debit.clone(),
    };
    Transfer { debit, ..transfer }
}

async fn compare(store: Arc<dyn Store>, operations: u64) {
    let mut dice = fastrand::Rng::with_seed(support::seed());
    let mut books = Books::default();
    let (mut step, mut refused) = (0, 0);
    while step < operations {
        let mut changes = Changes::default();
        let mut fits = true;
        let newest = step;
        // A refused commit has one transfer, so that the books need no undoing.
        if dice.u64(0..5) == 0 {
            let there = numbered(dice.u64(0..newest + 1));
            let memo = "Something else".to_owned();
            fits = !books.transfers.contains_key(&there.id);
            if !fits {
                changes.transfers.push(Transfer { memo, ..there });
            }
            step += 1;
        }
        for _ in 0..dice.u64(1..8) {
            if fits && dice.bool() {
                let n = newest - dice.u64(0..30).min(newest);
                let transfer = numbered(n);
                assert!(books.transfer(&transfer), "it is always the same");
                changes.transfers.push(transfer);
            } else if fits {
                let n = newest / OPERATIONS_A_METER + dice.u64(0..METERS);
                let (meter, payer) = meter(n);
                let (total, last) = (dice.i64(0..1000), dice.u64(0..10) == 0);
                books.total(n, &payer, total, last);
                changes.meters.push(MeterTotal {
                    meter,
                    payer,
                    total: Money::from_micros(total),
                    last,
                    at: at(step),
                    used: used(0, total as u64),
                });
            }
            step += 1;
        }
        match store.commit(&changes).await {
            Ok(()) => assert!(fits, "{changes:?}"),
            Err(e) if !fits && *e.kind() == ErrorKind::Conflict => refused += 1,
            Err(e) => panic!("{changes:?}: {e:?}"),
        }
    }
    same(&*store, &books).await;
    println!("{step} operations, {refused} commits of them refused");
    assert!(refused > 0);
}

/// What the store has is what the books say, and it proves itself.
async fn same(store: &dyn Store, books: &Books) {
    for (id, posted) in &books.accounts {
        let account = store.account(id).await.unwrap().unwrap();
        assert_eq!(account.posted, Money::from_micros(*posted), "{id}");
    }
    assert_eq!(books.accounts.values().sum::<i64>(), 0);
    let meters: Vec<_> = books.meters.keys().map(|n| meter(*n).0).collect();
    for (chunk, n) in meters.chunks(1000).zip(0..) {
        let expected = books.meters.values().skip(n * 1000);
        let posted = store.meters(chunk).await.unwrap();
        let posted = posted.iter().map(|p| p.expect("it was posted"));
        let posted = posted.map(|p| (p.total.as_micros(), p.closed));
        assert!(posted.eq(expected.take(chunk.len()).copied()));
    }
    let report = verify(store, None).await.unwrap();
    let transfers = books.transfers.len() as u64 + books.booked;
    assert_eq!((report.transfers, report.unchained), (transfers, 0));
    assert_eq!(report.meters, books.meters.len() as u64);
    // There are no pods here that the meters could belong to.
    let wrong = report.findings.iter().find(|f| !f.message.contains("pod"));
    assert!(wrong.is_none(), "{wrong:?}");
}
