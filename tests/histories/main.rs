//! Histories: the product's loops on two replicas over memory backends, with kills, late and lost calls, meddling
//! and skewed clocks; the invariants are checked after each. `NEUROPOD_SEED=n` plays one alone and prints its trace.

mod driver;
mod oracle;
mod rng;
mod watched;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use neuropod::rule::{Rule, break_rule};

/// How many histories: `tests/effort.toml` says how many in CI and in a soak.
fn effort() -> u64 {
    std::env::var("NEUROPOD_HISTORIES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(2_000)
}

#[test]
fn histories_end_well() {
    if let Some(seed) = std::env::var("NEUROPOD_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
    {
        let record = driver::play(seed);
        println!("{}", record.trace.join("\n"));
        assert!(
            record.violations.is_empty(),
            "seed {seed}: {:#?}",
            record.violations
        );
        return;
    }
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= effort() {
                        return;
                    }
                    let record = driver::play(seed);
                    assert!(
                        record.violations.is_empty(),
                        "seed {seed}: {:#?}",
                        record.violations
                    );
                }
            });
        }
    });
    println!("{} histories, no violation", effort());
}

#[test]
fn a_seed_replays_to_the_same_trace() {
    for seed in 0..60 {
        let (once, again) = (driver::play(seed).trace, driver::play(seed).trace);
        assert!(!once.is_empty());
        assert_eq!(once, again, "seed {seed}");
    }
}

/// Taken out alone, the rule must be missed by some history.
fn is_missed(rule: Rule) {
    const MOST: u64 = 20_000;
    let _broken = break_rule(rule);
    for seed in 0..MOST {
        let record = driver::play(seed);
        if let Some(violation) = record.violations.first() {
            println!("{rule:?} is missed by history {seed}: {violation}");
            return;
        }
    }
    panic!("{MOST} histories without {rule:?}, and nobody noticed");
}

macro_rules! each_rule_is_missed {
    ($($name:ident: $rule:ident,)*) => { $(
        #[test]
        fn $name() {
            is_missed(Rule::$rule);
        }
    )* };
}

each_rule_is_missed! {
    charges_are_set: ChargesAreSet,
    the_run_is_written_before_the_container: RunBeforeContainer,
    recorded_before_removed: RecordedBeforeRemoved,
    the_row_outlives_the_container: RowOutlivesContainer,
    versions_are_checked: VersionCheck,
    generations_are_fenced: GenerationFence,
    a_claim_keeps_the_wish: ClaimKeepsWish,
    a_finish_compares_the_wake_number: FinishComparesWake,
    another_start_is_another_container: StartIsIdentity,
    devices_outlive_close: DevicesOutliveClose,
    freeing_wakes_the_queue: FreeingWakesQueue,
    queueing_wakes_the_queue: QueueingWakesQueue,
    only_the_pass_creates: OnlyThePassCreates,
    starts_are_behind_the_fence: StartBehindFence,
    an_own_hold_does_not_count: OwnHoldIsExcluded,
    a_cutoff_never_moves_later: CutoffOnlyEarlier,
    an_unobserved_end_is_last_seen: UnobservedEndIsLastSeen,
    unknown_is_not_nothing: UnknownIsNotNothing,
    a_stray_is_judged_on_a_fresh_row: StrayOnFreshRow,
    containers_are_removed_by_run: RemoveByRun,
}
