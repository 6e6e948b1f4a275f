//! Histories: the product's loops on two replicas over memory backends, with kills, late and lost calls, meddling
//! and skewed clocks; the invariants are checked after each. `NEUROPOD_SEED=n` plays one alone and prints its trace.

mod crowd;
mod driver;
mod faults;
mod leasing;
mod once;
mod oracle;
#[cfg(feature = "postgres")]
mod postgres;
mod rng;
mod rules;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod watched;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use watched::Record;

/// How many histories: `tests/effort.toml` says how many in CI and in a soak.
fn effort(name: &str, otherwise: u64) -> u64 {
    let told = std::env::var(format!("NEUROPOD_{name}")).ok();
    told.and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn histories_end_well() {
    all_end_well(effort("HISTORIES", 2_000), driver::play);
}

/// Plays so many histories, or the one that is asked for.
fn all_end_well(count: u64, play: impl Fn(u64) -> Record + Sync) {
    let ends_well = |seed, record: &Record| {
        let violations = &record.violations;
        assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
    };
    let asked = std::env::var("NEUROPOD_SEED").ok();
    if let Some(seed) = asked.and_then(|s| s.parse().ok()) {
        let record = play(seed);
        println!("{}", record.trace.join("\n"));
        return ends_well(seed, &record);
    }
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= count {
                        return;
                    }
                    ends_well(seed, &play(seed));
                }
            });
        }
    });
    println!("{count} histories, no violation");
}

#[test]
fn leasing_ends_well() {
    let steps = effort("LEASING", 5_000);
    all_end_well(steps.div_ceil(leasing::STEPS), leasing::play);
}

#[test]
fn a_seed_replays_to_the_same_trace() {
    for seed in 0..60 {
        let (once, again) = (driver::play(seed).trace, driver::play(seed).trace);
        assert!(!once.is_empty());
        assert_eq!(once, again, "seed {seed}");
    }
}

#[test]
fn every_call_may_be_the_last_or_late() {
    let mut lives = 0;
    for (which, record) in once::lives() {
        let (violations, trace) = (&record.violations, record.trace.join("\n"));
        assert!(violations.is_empty(), "{which}: {violations:#?}\n{trace}");
        lives += 1;
    }
    println!("{lives} lives, no violation");
}
