//! Each rule of the design, taken out alone, is missed by some history or life.

use std::ops::Range;

use neuropod::rule::{Rule, break_rule};

use crate::{driver, once};

/// Taken out alone, the rule must be missed: by some history, or by a life in which one call goes wrong. Most are soon.
fn is_missed(rule: Rule) {
    const SOON: u64 = 500;
    const MOST: u64 = 20_000;
    let _broken = break_rule(rule);
    let histories = |seeds: Range<u64>| seeds.map(|n| (format!("history {n}"), driver::play(n)));
    let records = histories(0..SOON)
        .chain(once::lives())
        .chain(histories(SOON..MOST));
    for (which, record) in records {
        if let Some(violation) = record.violations.first() {
            println!("{rule:?} is missed by {which}: {violation}");
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
    dry_is_an_instant: DryIsAnInstant,
}
