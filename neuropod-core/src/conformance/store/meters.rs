//! Meters: totals are set, never added.

use std::sync::Arc;
use std::time::Duration;

use super::ledger::statement;
use super::samples::{account, at, money, pod_id, used};
use super::{accepted, at_once, invalid};
use crate::conformance::{Case, cases};
use crate::id::{AccountId, Entropy};
use crate::money::{Money, price};
use crate::store::{Changes, Charge, Meter, MeterTotal, Posted, Store, Used};

pub(super) fn cases() -> impl IntoIterator<Item = Case<dyn Store>> {
    cases![
        a_total_is_set_not_added,
        a_total_only_goes_up,
        the_last_total_is_exact,
        the_last_total_may_go_back_to_an_earlier_one,
        a_closed_meter_ignores_everything,
        a_meter_may_close_without_having_counted,
        a_total_below_nothing_is_invalid,
        a_total_keeps_all_its_digits,
        meters_of_an_unlimited_payer_are_granted,
        meters_are_answered_in_the_order_asked,
        a_total_is_booked_with_what_was_used_since_the_last_one,
        a_refund_names_the_span_that_it_gives_back,
        a_volume_and_a_run_are_told_apart_in_what_was_used,
        several_totals_of_one_commit_are_booked,
        the_same_total_at_once_is_booked_once,
        any_split_of_a_run_into_readings_comes_to_the_same,
    ]
}

fn run() -> Meter {
    Meter::Run(pod_id(1), 1)
}

fn total(meter: Meter, total: Money, last: bool) -> MeterTotal {
    MeterTotal {
        meter,
        payer: account(1),
        total,
        last,
        at: at(1),
        used: used(0, seconds(total)),
    }
}

/// What is counted costs one unit a second here.
fn seconds(total: Money) -> u64 {
    total.as_micros().unsigned_abs() / 1_000_000
}

fn changes(meters: impl IntoIterator<Item = MeterTotal>) -> Changes {
    Changes {
        meters: meters.into_iter().collect(),
        ..Changes::default()
    }
}

async fn set(store: &Arc<dyn Store>, units: i64, last: bool) {
    let total = total(run(), money(units), last);
    accepted(store.commit(&changes([total])).await);
}

/// Checks what is posted of the run, and that payer and revenue have it.
async fn check(store: &Arc<dyn Store>, units: i64, closed: bool) {
    let posted = store.meters(&[run()]).await.unwrap();
    let expected = Posted {
        total: money(units),
        closed,
        until: Some(at(units.unsigned_abs())),
    };
    assert_eq!(posted, [Some(expected)]);
    let payer = store.account(&account(1)).await.unwrap();
    assert_eq!(payer.map_or(Money::ZERO, |a| a.posted), money(-units));
    let revenue = store.account(&AccountId::from("revenue")).await.unwrap();
    assert_eq!(revenue.map_or(Money::ZERO, |a| a.posted), money(units));
}

async fn a_total_is_set_not_added(store: Arc<dyn Store>) {
    for units in [2, 2, 5, 5] {
        set(&store, units, false).await;
        check(&store, units, false).await;
    }
    let transfers = statement(&store, &account(1), 10).await;
    let amounts: Vec<_> = transfers.iter().map(|t| t.amount).collect();
    assert_eq!(amounts, [money(3), money(2)]);
}

async fn a_total_only_goes_up(store: Arc<dyn Store>) {
    set(&store, 5, false).await;
    set(&store, 3, false).await;
    check(&store, 5, false).await;
    set(&store, 6, false).await;
    check(&store, 6, false).await;
}

async fn the_last_total_is_exact(store: Arc<dyn Store>) {
    set(&store, 5, false).await;
    set(&store, 3, true).await;
    check(&store, 3, true).await;
    let refund = &statement(&store, &account(1), 10).await[0];
    assert_eq!((&refund.credit, refund.amount), (&account(1), money(2)));
}

async fn the_last_total_may_go_back_to_an_earlier_one(store: Arc<dyn Store>) {
    for (units, last) in [(3, false), (5, false), (3, true)] {
        set(&store, units, last).await;
    }
    check(&store, 3, true).await;
    assert_eq!(statement(&store, &account(1), 10).await.len(), 3);
}

async fn a_closed_meter_ignores_everything(store: Arc<dyn Store>) {
    set(&store, 5, true).await;
    for (units, last) in [(7, false), (9, true), (1, true)] {
        set(&store, units, last).await;
        check(&store, 5, true).await;
    }
    assert_eq!(statement(&store, &account(1), 10).await.len(), 1);
}

async fn a_meter_may_close_without_having_counted(store: Arc<dyn Store>) {
    set(&store, 0, true).await;
    check(&store, 0, true).await;
    set(&store, 5, false).await;
    check(&store, 0, true).await;
    assert_eq!(statement(&store, &account(1), 10).await, []);
}

async fn a_total_below_nothing_is_invalid(store: Arc<dyn Store>) {
    let below = total(run(), Money::from_micros(-1), true);
    invalid(store.commit(&changes([below])).await);
    assert_eq!(store.meters(&[run()]).await.unwrap(), [None]);
}

async fn a_total_keeps_all_its_digits(store: Arc<dyn Store>) {
    let most = Money::from_micros(i64::MAX);
    accepted(store.commit(&changes([total(run(), most, false)])).await);
    let posted = store.meters(&[run()]).await.unwrap()[0];
    assert_eq!(posted.map(|p| p.total), Some(most));
    accepted(
        store
            .commit(&changes([total(run(), Money::ZERO, true)]))
            .await,
    );
    check(&store, 0, true).await;
}

async fn meters_of_an_unlimited_payer_are_granted(store: Arc<dyn Store>) {
    let grants = AccountId::from("grants");
    let granted = MeterTotal {
        payer: grants.clone(),
        ..total(run(), money(4), true)
    };
    accepted(store.commit(&changes([granted])).await);
    let row = store.account(&grants).await.unwrap().unwrap();
    assert_eq!(row.posted, money(-4));
    assert_eq!(statement(&store, &grants, 10).await.len(), 1);
}

async fn meters_are_answered_in_the_order_asked(store: Arc<dyn Store>) {
    let (volume, absent) = (Meter::Volume(pod_id(1)), Meter::Volume(pod_id(2)));
    let totals = [total(run(), money(1), false), total(volume, money(2), true)];
    accepted(store.commit(&changes(totals)).await);
    let posted = |units, closed| {
        Some(Posted {
            total: money(units),
            closed,
            until: Some(at(units as u64)),
        })
    };
    let asked = [volume, absent, run(), volume];
    let expected = [posted(2, true), None, posted(1, false), posted(2, true)];
    assert_eq!(store.meters(&asked).await.unwrap(), expected);
}

/// The charges of the account, oldest first.
async fn charges(store: &Arc<dyn Store>) -> Vec<Charge> {
    let transfers = statement(store, &account(1), 10).await;
    let charges = transfers.into_iter().rev().map(|t| t.charge);
    charges.map(|c| c.expect("a meter's transfer")).collect()
}

async fn a_total_is_booked_with_what_was_used_since_the_last_one(store: Arc<dyn Store>) {
    let late = MeterTotal {
        used: used(10, 12),
        ..total(run(), money(2), false)
    };
    accepted(store.commit(&changes([late.clone()])).await);
    let more = MeterTotal {
        total: money(5),
        used: used(10, 15),
        ..late.clone()
    };
    // The second one changes nothing, and both stand in one commit.
    let same = MeterTotal {
        used: used(10, 99),
        ..more.clone()
    };
    accepted(store.commit(&changes([more, same])).await);
    let last = MeterTotal {
        total: money(6),
        last: true,
        used: used(10, 16),
        ..late
    };
    accepted(store.commit(&changes([last])).await);
    let of = |from, to| Charge {
        meter: run(),
        used: used(from, to),
    };
    assert_eq!(charges(&store).await, [of(10, 12), of(12, 15), of(15, 16)]);
    let posted = store.meters(&[run()]).await.unwrap()[0];
    assert_eq!(posted.and_then(|p| p.until), Some(at(16)));
}

async fn a_refund_names_the_span_that_it_gives_back(store: Arc<dyn Store>) {
    set(&store, 5, false).await;
    set(&store, 3, true).await;
    let spans: Vec<_> = charges(&store).await;
    let spans: Vec<_> = spans.iter().map(|c| (c.used.from, c.used.to)).collect();
    assert_eq!(spans, [(at(0), at(5)), (at(3), at(5))]);
}

async fn a_volume_and_a_run_are_told_apart_in_what_was_used(store: Arc<dyn Store>) {
    let volume = Meter::Volume(pod_id(1));
    let of_volume = Used {
        product: "volume".to_owned(),
        quantity: 10,
        rate: Money::from_micros(1),
        ..used(0, 3)
    };
    let volumes = MeterTotal {
        used: of_volume.clone(),
        ..total(volume, money(3), false)
    };
    let totals = [total(run(), money(2), false), volumes];
    accepted(store.commit(&changes(totals)).await);
    let booked = charges(&store).await;
    let expected = [(run(), used(0, 2)), (volume, of_volume)];
    assert_eq!(booked, expected.map(|(meter, used)| Charge { meter, used }));
}

async fn several_totals_of_one_commit_are_booked(store: Arc<dyn Store>) {
    let volume = Meter::Volume(pod_id(1));
    let totals = [
        total(run(), money(2), false),
        total(volume, money(3), false),
        total(run(), money(1), true),
        total(run(), money(9), false),
    ];
    accepted(store.commit(&changes(totals)).await);
    let row = store.account(&account(1)).await.unwrap().unwrap();
    assert_eq!((row.posted, row.version), (money(-4), 1));
}

async fn the_same_total_at_once_is_booked_once(store: Arc<dyn Store>) {
    let granted = MeterTotal {
        meter: Meter::Volume(pod_id(1)),
        payer: AccountId::from("grants"),
        ..total(run(), money(4), true)
    };
    let changes = changes([total(run(), money(5), true), granted]);
    for result in at_once(&store, vec![changes; 8]).await {
        accepted(result);
    }
    let row = store.account(&account(1)).await.unwrap().unwrap();
    assert_eq!(row.posted, money(-5));
    let row = store.account(&AccountId::from("grants")).await.unwrap();
    assert_eq!(row.unwrap().posted, money(-4));
}

/// Runs of odd rates and lengths, read at random instants, each up to five times and in any order, some after the end.
async fn any_split_of_a_run_into_readings_comes_to_the_same(store: Arc<dyn Store>) {
    let entropy = Entropy::seeded(77);
    let below = |n: u64| u64::from_le_bytes(entropy.bytes()) % n;
    let mut owed = Money::ZERO;
    for n in 1..=20 {
        let meter = Meter::Run(pod_id(n), 1);
        let rate = Money::from_micros(1 + below(9_999_999_999) as i64);
        let lasted = Duration::from_micros(1 + below(400 * 3_600_000_000));
        let reading = |micros: u64, last| MeterTotal {
            total: price(rate, Duration::from_micros(micros)),
            last,
            ..total(meter, Money::ZERO, last)
        };
        let whole = u64::try_from(lasted.as_micros()).unwrap();
        for _ in 0..below(12) {
            let read = reading(below(whole), false);
            for _ in 0..=below(5) {
                accepted(store.commit(&changes([read.clone()])).await);
            }
        }
        for _ in 0..=below(5) {
            accepted(store.commit(&changes([reading(whole, true)])).await);
        }
        accepted(store.commit(&changes([reading(below(whole), false)])).await);
        let posted = store.meters(&[meter]).await.unwrap()[0].unwrap();
        assert_eq!((posted.total, posted.closed), (price(rate, lasted), true));
        owed = owed + price(rate, lasted);
    }
    let payer = store.account(&account(1)).await.unwrap().unwrap();
    assert_eq!(payer.posted, Money::ZERO - owed);
}
