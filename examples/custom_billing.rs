//! A biller of one's own: a card is charged elsewhere, and NeuroPod only says for what. Whatever is repeated or comes late (and
//! after a crash everything is), it books once: launches are known by pod and generation, meters by their totals.
//!
//! `cargo run --example custom_billing`

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use neuropod::auth::Identity;
use neuropod::billing::{Admission, Ask, Balance, Credit, Quote, Reading, Settlement, Unmetered};
use neuropod::id::{AccountId, PodId};
use neuropod::memory::{Behaviour, MemoryOrchestrator};
use neuropod::money::Money;
use neuropod::store::{Condition, Meter, Page, Transfer, TransferQuery};
use neuropod::{Billing, Error, ErrorKind, Launch, Platform, Result, Time};

/// What the card company knows. It answers over a network in real life, and may have done what it did not confirm.
#[derive(Debug, Clone, Default)]
struct Cards(Arc<Mutex<Books>>);

#[derive(Debug, Default)]
struct Books {
    /// What may be charged at most, by whom it was asked for: a pod, and which start of it.
    authorized: BTreeMap<(PodId, u64), Money>,
    /// What each meter has come to, and whether that is the end of it.
    charged: BTreeMap<Meter, (Money, bool)>,
    /// Everything that was told, for the end of this example.
    told: Vec<Reading>,
}

/// Nothing above this is authorized at once.
const LIMIT: Money = Money::from_micros(20_000_000);

impl Cards {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().expect("no panic while held")
    }

    fn total(&self) -> Money {
        self.books().charged.values().map(|(total, _)| *total).sum()
    }
}

#[async_trait]
impl Billing for Cards {
    async fn quote(&self, ask: &Ask) -> Result<Quote> {
        let quote = Unmetered.quote(ask).await?; // the list price
        let hold = quote.per_hour();
        Ok(Quote { hold, ..quote })
    }

    /// Asked again for the same start, it is authorized already. A new start of a pod replaces what its last one had.
    async fn admit(&self, admission: &Admission) -> Result<Vec<Condition>> {
        let mut books = self.books();
        let (pod, generation) = (admission.pod, admission.generation);
        let others = books
            .authorized
            .iter()
            .filter(|((other, _), _)| *other != pod);
        let held: Money = others.map(|(_, amount)| *amount).sum();
        if held + admission.quote.hold > LIMIT {
            let message = "The card company declines.";
            return Err(Error::new(ErrorKind::InsufficientBalance, message));
        }
        books
            .authorized
            .retain(|(other, n), _| *other != pod || *n >= generation);
        books
            .authorized
            .insert((pod, generation), admission.quote.hold);
        Ok(Vec::new()) // NeuroPod's own ledger need not judge anything
    }

    /// Totals, never additions: a reading that is repeated, late or out of order changes nothing.
    async fn settle(&self, readings: &[Reading]) -> Result<Settlement> {
        let mut books = self.books();
        books.told.extend(readings.iter().cloned());
        for reading in readings {
            let (total, closed) = books.charged.entry(reading.meter).or_default();
            if !*closed && (reading.last || reading.total > *total) {
                (*total, *closed) = (reading.total, reading.last);
            }
            if let (true, Meter::Run(pod, _)) = (reading.last, reading.meter) {
                books.authorized.remove(&(pod, reading.generation));
            }
        }
        Ok(Settlement::default())
    }

    async fn credit(&self, _: &Credit) -> Result<Vec<Transfer>> {
        let message = "Cards are charged, not credited.";
        Err(Error::new(ErrorKind::Unsupported, message))
    }

    async fn balance(&self, _: &AccountId, _: Time) -> Result<Balance> {
        Ok(Balance {
            posted: Money::ZERO - self.total(),
            ..Balance::unlimited()
        })
    }

    async fn statement(&self, _: &TransferQuery) -> Result<Page<Transfer>> {
        Ok(Page::default()) // the card company sends one
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<()> {
    let cards = Cards::default();
    let hour = std::time::Duration::from_secs(3600);
    let runs_an_hour = Behaviour {
        runs_for: Some(hour),
        ..Behaviour::default()
    };
    let engine = MemoryOrchestrator::builder().image("train", runs_an_hour);
    let platform = Platform::builder()
        .orchestrator(engine.build())
        .billing(cards.clone())
        .build()
        .await?;
    let me = Identity::local();
    let pod = platform
        .launch(&me, &Launch::image("train").disks(10, 20))
        .await?;
    println!(
        "launched {}; authorized {:?}",
        pod.id,
        cards.books().authorized.values()
    );
    platform.run_until_idle().await?;

    tokio::time::sleep(hour).await;
    platform
        .run(tokio::time::sleep(std::time::Duration::from_secs(5)))
        .await;
    let run = cards.books().charged[&Meter::Run(pod.id, 1)];
    println!("its run came to {}, closed: {}", run.0, run.1);
    assert_eq!(run, (pod.terms.run_rate, true), "an hour of it");

    platform.delete(&me, pod.id).await?;
    platform.run_until_idle().await?;
    println!("in all {}", cards.total());
    assert!(
        cards.books().authorized.is_empty(),
        "nothing is held any more"
    );

    // What a crash leads to: everything is told again, late and out of order, and nothing is booked twice.
    let total = cards.total();
    let mut told = cards.books().told.clone();
    told.reverse();
    cards.settle(&told).await?;
    assert_eq!(cards.total(), total);
    Ok(())
}
