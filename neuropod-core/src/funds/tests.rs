//! Sums worked out by hand: one unit a second for the run, a thousandth for the volume, a hold of 30.

use super::*;
use crate::fixture::{at, launched, running};
use crate::id::AccountId;

fn units(n: i64) -> Money {
    Money::from_micros(n * 1_000_000)
}
fn thousandths(n: i64) -> Money {
    Money::from_micros(n * 1_000)
}

fn account(posted: Money) -> Account {
    Account {
        posted,
        version: 1,
        ..Account::new(AccountId::from("user:x"))
    }
}

/// Charged from second 1, its volume from second 2.
fn charging() -> Pod {
    let mut pod = running();
    pod.hold.as_mut().unwrap().amount = units(30);
    pod
}

fn nothing(_: Meter) -> Option<Posted> {
    None
}

#[test]
fn a_run_is_charged_from_its_start_to_its_cutoff() {
    let mut run = charging().run.unwrap();
    assert_eq!(run_total(&run, at(1)), Money::ZERO);
    assert_eq!(run_total(&run, at(11)), units(10));
    run.last_seen = Some(at(9));
    assert_eq!(
        run_total(&run, at(11)),
        units(10),
        "what is left of it may tell more"
    );
    run.cutoff = Some(at(6));
    assert_eq!(run_total(&run, at(11)), units(5));
    assert_eq!(run_total(&run, at(4)), units(3));
    run.charged_from = None;
    assert_eq!(run_total(&run, at(11)), Money::ZERO);
}

#[test]
fn a_balance_is_what_is_posted_less_what_is_not_yet() {
    let (pod, rich) = (charging(), account(units(100)));
    let at_12 = |posted: &dyn Fn(Meter) -> Option<Posted>| balance(&rich, [&pod], posted, at(12));
    let left = units(100) - units(11) - thousandths(10);
    assert_eq!(at_12(&nothing), left);
    let run = Meter::Run(pod.id, 1);
    let posted = |total, closed| {
        move |meter: Meter| {
            (meter == run).then_some(Posted {
                total,
                closed,
                until: None,
            })
        }
    };
    assert_eq!(at_12(&posted(units(4), false)), left + units(4));
    assert_eq!(at_12(&posted(units(50), false)), left + units(11));
    assert_eq!(at_12(&posted(units(4), true)), left + units(11));
}

#[test]
fn what_others_pay_does_not_count() {
    let (mut pod, rich) = (charging(), account(units(100)));
    pod.run.as_mut().unwrap().terms.payer = AccountId::from("grants");
    assert_eq!(
        balance(&rich, [&pod], nothing, at(12)),
        units(100) - thousandths(10)
    );
    pod.volume.as_mut().unwrap().payer = AccountId::from("grants");
    pod.hold.as_mut().unwrap().payer = AccountId::from("grants");
    assert_eq!(available(&rich, [&pod], nothing, None, at(12)), units(100));
}

#[test]
fn a_hold_is_used_up_by_the_run_it_was_taken_for() {
    let (mut pod, rich) = (charging(), account(units(100)));
    let free = |pod: &Pod, secs| available(&rich, [pod], nothing, None, at(secs));
    // Until it is used up, a hold and its run together cost what the hold does.
    assert_eq!(free(&pod, 1), units(70));
    assert_eq!(free(&pod, 12), units(70) - thousandths(10));
    assert_eq!(free(&pod, 51), units(50) - thousandths(49));
    // The hold of a later start is not used up by the run before.
    pod.hold.as_mut().unwrap().generation = 2;
    assert_eq!(free(&pod, 12), units(59) - thousandths(10));
}

#[test]
fn an_own_hold_does_not_count_against_a_restart() {
    let (pod, poor) = (launched(), account(Money::from_micros(5)));
    assert_eq!(available(&poor, [&pod], nothing, None, at(0)), Money::ZERO);
    assert_eq!(
        available(&poor, [&pod], nothing, Some(pod.id), at(0)),
        Money::from_micros(5)
    );
}

#[test]
fn dry_is_the_last_instant_at_which_something_is_left() {
    let (pod, poor) = (charging(), account(units(10)));
    let dry = runs_dry_at(&poor, [&pod], nothing).unwrap();
    let left = |t| balance(&poor, [&pod], nothing, t);
    assert_eq!(left(dry), Money::ZERO);
    assert!(left(dry + Duration::from_micros(1)) < Money::ZERO);
    // The run counts from second 1, the volume a thousandth of that from second 2: 10.001998 s - 0.00999 s.
    assert!(dry > at(10) && dry < at(11), "{dry}");

    let rich = account(Money::from_micros(i64::MAX));
    assert_eq!(runs_dry_at(&rich, [&launched()], nothing), None);
    assert_eq!(runs_dry_at(&account(Money::ZERO), [], nothing), None);
}

#[test]
fn with_rounding_a_balance_may_run_dry_without_ever_being_nothing() {
    // Two runs count up at the same instants: what is left goes from one straight to less than nothing.
    let (one, two) = (charging(), charging());
    let poor = account(Money::from_micros(1));
    let other = Pod {
        id: crate::id::PodId::from_bytes([2; 8]),
        volume: None,
        ..two
    };
    let one = Pod {
        volume: None,
        ..one
    };
    let pods = [&one, &other];
    let dry = runs_dry_at(&poor, pods, nothing).unwrap();
    assert_eq!(balance(&poor, pods, nothing, dry), Money::from_micros(1));
    let after = dry + Duration::from_micros(1);
    assert_eq!(balance(&poor, pods, nothing, after), Money::from_micros(-1));
}

#[test]
fn what_is_cut_off_or_kept_without_charge_runs_nothing_dry() {
    let (mut pod, poor) = (charging(), account(units(10)));
    let payer = poor.id.clone();
    assert_eq!(
        burn(&payer, [&pod], at(3)),
        units(3_600) + thousandths(3_600)
    );
    pod.run.as_mut().unwrap().cutoff = Some(at(5));
    assert_eq!(
        burn(&payer, [&pod], at(3)),
        units(3_600) + thousandths(3_600)
    );
    assert_eq!(burn(&payer, [&pod], at(5)), thousandths(3_600));
    pod.volume.as_mut().unwrap().pause(at(7), at(100));
    assert_eq!(burn(&payer, [&pod], at(7)), Money::ZERO);
    assert_eq!(runs_dry_at(&poor, [&pod], nothing), None);
    let left = units(10) - units(4) - thousandths(5);
    assert_eq!(balance(&poor, [&pod], nothing, at(1_000_000)), left);
    pod.volume.as_mut().unwrap().resume(at(200));
    assert_eq!(burn(&payer, [&pod], at(201)), thousandths(3_600));
    assert_eq!(
        balance(&poor, [&pod], nothing, at(201)),
        left - thousandths(1)
    );
}
