//! Writers that go on through whatever happens to their database, and what must be true of it afterwards.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use neuropod_core::conformance::store::samples::{account, at, funding, money, pod_id};
use neuropod_core::store::*;
use neuropod_core::{Error, ErrorKind};
use tokio::task::JoinSet;

use crate::check;
use crate::writer::{ACCOUNTS, WRITERS, changes};

/// How soon no commit is refused any more, once the database can take it.
const RECOVERED_WITHIN: Duration = Duration::from_secs(5);
/// On the slowest disk.
const STANDS_STILL: Duration = Duration::from_secs(60);
/// An account that gets nothing but credits, one each.
const CREDITED: u64 = ACCOUNTS + 1;
/// How often the same credit is sent, at most.
const SENDINGS: usize = 5;

pub(crate) struct Load {
    store: Arc<dyn Store>,
    ends: Arc<AtomicBool>,
    /// How many acknowledgements each writer has.
    done: Arc<Vec<AtomicU64>>,
    /// When somebody was refused last.
    refused: Arc<Mutex<Option<Instant>>>,
    writers: JoinSet<Told>,
}

/// What a writer was told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    acknowledged: BTreeSet<String>,
    credits: BTreeSet<String>,
    pub(crate) errors: Vec<Error>,
}

impl Load {
    pub(crate) fn begin(store: &Arc<dyn Store>, seed: u64) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let done: Vec<_> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
        let done = Arc::new(done);
        let refused = Arc::default();
        let mut writers = JoinSet::new();
        for n in 0..WRITERS {
            let writer = Writer {
                n,
                store: Arc::clone(store),
                ends: Arc::clone(&ends),
                done: Arc::clone(&done),
                refused: Arc::clone(&refused),
                dice: fastrand::Rng::with_seed(seed.wrapping_add(n)),
                told: Told::default(),
            };
            writers.spawn(writer.write());
        }
        Self {
            store: Arc::clone(store),
            ends,
            done,
            refused,
            writers,
        }
    }

    /// Waits until each writer has something acknowledged that it sends from now on. Soon nobody is refused any more;
    /// how long the rest of that takes is a matter of how fast the disk is.
    pub(crate) async fn goes_on(&self) {
        let since = Instant::now();
        // The one under way may have been acknowledged before.
        let now = self.done.iter().map(|n| n.load(Ordering::SeqCst));
        let goals: Vec<u64> = now.map(|n| n + 2).collect();
        let behind = || {
            let mut both = self.done.iter().zip(&goals);
            both.any(|(n, goal)| n.load(Ordering::SeqCst) < *goal)
        };
        while behind() {
            let took = since.elapsed();
            assert!(took < STANDS_STILL, "writers stand still for {took:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let refused = *self.refused.lock().unwrap();
        let refused = refused.map_or(Duration::ZERO, |at| at.saturating_duration_since(since));
        assert!(
            refused < RECOVERED_WITHIN,
            "still refused after {refused:?}"
        );
        let took = since.elapsed();
        println!("nobody is refused after {refused:.2?}, all writers go on after {took:.2?}");
    }

    /// Ends the writers, and checks that what was acknowledged is there once, and nothing in part. Answers the errors.
    pub(crate) async fn end(mut self) -> Vec<Error> {
        self.ends.store(true, Ordering::SeqCst);
        let mut all = Told::default();
        while let Some(told) = self.writers.join_next().await {
            let told = told.expect("a writer goes on until it is ended");
            all.acknowledged.extend(told.acknowledged);
            all.credits.extend(told.credits);
            all.errors.extend(told.errors);
        }
        let there: BTreeSet<_> = check::whole(&*self.store).await.into_iter().collect();
        let lost: Vec<_> = all.acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "acknowledged, but lost: {lost:?}");
        // A writer sends the same until it is told, so nothing else is there.
        assert_eq!(there.len(), all.acknowledged.len());
        let booked = check::transfers_of(&*self.store, &account(CREDITED)).await;
        let booked: Vec<_> = booked.into_iter().map(|transfer| transfer.id).collect();
        let distinct: BTreeSet<_> = booked.iter().cloned().collect();
        assert_eq!(distinct.len(), booked.len(), "a credit was booked twice");
        assert_eq!(distinct, all.credits);
        check::proven(&*self.store).await;
        let (commits, credits) = (there.len(), booked.len());
        println!(
            "{commits} commits and {credits} credits, {} errors",
            all.errors.len()
        );
        all.errors
    }
}

struct Writer {
    n: u64,
    store: Arc<dyn Store>,
    ends: Arc<AtomicBool>,
    done: Arc<Vec<AtomicU64>>,
    refused: Arc<Mutex<Option<Instant>>>,
    dice: fastrand::Rng,
    told: Told,
}

impl Writer {
    async fn write(mut self) -> Told {
        let n = self.n;
        for step in 0_u64.. {
            let name = format!("load-{n}-{step}");
            let commit = changes(&name, n, step, false, &mut self.dice);
            self.send(&commit).await;
            self.told.acknowledged.insert(name);
            let credit = format!("credit-{n}-{step}");
            let changes = Changes {
                now: at(0),
                transfers: vec![funding(&credit, CREDITED, money(1))],
                ..Changes::default()
            };
            for _ in 0..self.dice.usize(1..=SENDINGS) {
                self.send(&changes).await;
            }
            self.told.credits.insert(credit);
            if self.ends.load(Ordering::SeqCst) {
                break;
            }
        }
        self.told
    }

    /// Sends this until it is there.
    async fn send(&mut self, changes: &Changes) {
        let mut unknown = false;
        loop {
            match self.store.commit(changes).await {
                Ok(()) => {
                    self.done[self.n as usize].fetch_add(1, Ordering::SeqCst);
                    return;
                }
                Err(error) if *error.kind() == ErrorKind::Unreachable => {
                    *self.refused.lock().unwrap() = Some(Instant::now());
                    self.told.errors.push(error);
                    unknown = true;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                // The one before it got there, and its answer was lost.
                Err(error) if *error.kind() == ErrorKind::Conflict && unknown => {
                    let written = changes
                        .pods
                        .first()
                        .expect("a credit is no conflict")
                        .version
                        + 1;
                    match self.store.pod(pod_id(self.n)).await {
                        Ok(row) => return assert_eq!(row.map(|row| row.version), Some(written)),
                        Err(error) => self.told.errors.push(error),
                    }
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}
