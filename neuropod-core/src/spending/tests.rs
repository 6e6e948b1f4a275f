//! Sums over spans that were worked out by hand.

use super::*;
use crate::fixture::running;

fn time(s: &str) -> Time {
    s.parse().unwrap()
}

/// Three days from noon to noon, for 10 micro-units.
fn span() -> Span {
    Span {
        meter: Meter::Run(PodId::from_bytes([1; 8]), 1),
        used: Used {
            product: "rtx-4050".to_owned(),
            quantity: 1,
            rate: Money::from_micros(1),
            from: time("2026-11-01T12:00:00Z"),
            to: time("2026-11-04T12:00:00Z"),
        },
        amount: Money::from_micros(10),
        open: false,
    }
}

const EVER: Time = Time::from_micros(i64::MAX);

#[test]
fn parts_add_up_to_the_whole() {
    let days = sums(&[span()], Group::Day, Time::EPOCH, EVER);
    let parts: Vec<_> = days
        .iter()
        .map(|sum| (sum.key.as_str(), sum.amount.as_micros(), sum.run_seconds))
        .collect();
    let day = 24 * 3_600;
    let expected = [
        ("2026-11-01", 1, day / 2),
        ("2026-11-02", 4, day),
        ("2026-11-03", 3, day),
        ("2026-11-04", 2, day / 2),
    ];
    assert_eq!(parts, expected);
    // Of what was given back, too.
    let back = Span {
        amount: Money::from_micros(-10),
        ..span()
    };
    let days = sums(&[span(), back], Group::Day, Time::EPOCH, EVER);
    assert!(days.iter().all(|sum| sum.amount == Money::ZERO));
}

#[test]
fn a_period_has_what_lies_in_it() {
    let (from, to) = (time("2026-11-02T00:00:00Z"), time("2026-11-03T00:00:00Z"));
    let sum = |from, to| sums(&[span()], Group::Gpu, from, to);
    assert_eq!(sum(from, to)[0].amount, Money::from_micros(4));
    assert_eq!(sum(to, EVER)[0].amount, Money::from_micros(5));
    assert_eq!(sum(EVER, EVER), []);
}

#[test]
fn what_took_no_time_is_counted_once() {
    let noon = time("2026-11-02T00:00:00Z");
    let at_once = Span {
        used: Used {
            from: noon,
            to: noon,
            ..span().used
        },
        ..span()
    };
    let sum = |from, to| sums(std::slice::from_ref(&at_once), Group::Pod, from, to);
    assert_eq!(sum(Time::EPOCH, noon), []);
    assert_eq!(sum(noon, EVER)[0].amount, Money::from_micros(10));
    assert_eq!(
        sums(
            std::slice::from_ref(&at_once),
            Group::Day,
            Time::EPOCH,
            EVER
        )
        .len(),
        1
    );
}

#[test]
fn open_meters_count_from_where_they_were_posted() {
    let pod = running();
    let payer = pod.terms.payer.clone();
    let at = crate::fixture::at;
    let run = Meter::Run(pod.id, 1);
    let posted = |meter: Meter| {
        (meter == run).then_some(Posted {
            total: Money::from_micros(4_000_000),
            closed: false,
            until: Some(at(5)),
        })
    };
    let spans = open(&payer, std::slice::from_ref(&pod), posted, at(12));
    let shown: Vec<_> = spans
        .iter()
        .map(|span| {
            (
                span.meter,
                span.used.from,
                span.used.to,
                span.amount.as_micros(),
            )
        })
        .collect();
    let volume = Meter::Volume(pod.id);
    assert_eq!(
        shown,
        [
            (run, at(5), at(12), 7_000_000),
            (volume, at(2), at(12), 10_000)
        ]
    );
    assert_eq!(open(&AccountId::from("user:y"), &[pod], posted, at(12)), []);
}
