use super::*;

fn time(secs: u64) -> Time {
    Time::EPOCH + Duration::from_secs(secs)
}

fn euros(n: i64) -> Money {
    Money::from_micros(n * 1_000_000)
}

/// So much is left at second 0, and 3,600 an hour are used.
fn burning(left: i64) -> Balance {
    Balance {
        posted: euros(left),
        available: euros(left - 1),
        held: euros(1),
        unlimited: false,
        burn_per_hour: euros(3_600),
        runs_dry_at: Some(time(left.unsigned_abs())),
    }
}

fn outlook(balance: &Balance, kept_until: Option<Time>) -> Outlook<'_> {
    Outlook {
        balance,
        low: euros(5_000),
        kept_until,
    }
}

#[test]
fn every_rung_is_reached_in_its_order_and_at_its_time() {
    let (mut now, mut rungs) = (0, Vec::new());
    loop {
        let balance = Balance {
            runs_dry_at: Some(time(6_000)),
            ..burning(6_000 - now)
        };
        let outlook = outlook(&balance, None);
        rungs.push((now, outlook.rung(time(now.unsigned_abs()))));
        match outlook.next(time(now.unsigned_abs())) {
            // The instant after the last one that is paid for.
            Some(dry) if dry > time(6_000) => {
                assert_eq!(dry, time(6_000) + Duration::from_micros(1));
                assert_eq!(outlook.rung(dry), Rung::Dry);
                break;
            }
            Some(next) => now = i64::try_from(next.since(Time::EPOCH).as_secs()).unwrap(),
            None => panic!("nothing comes after second {now}"),
        }
    }
    let expected = [
        (0, Rung::Fine),
        (1_000, Rung::Low),
        (6_000 - 1_800, Rung::ThirtyMinutes),
        (6_000 - 600, Rung::TenMinutes),
        (6_000 - 120, Rung::TwoMinutes),
    ];
    assert_eq!(rungs, expected);
}

#[test]
fn who_burns_nothing_stands_where_he_stands() {
    let idle = |left| Balance {
        burn_per_hour: Money::ZERO,
        runs_dry_at: None,
        ..burning(left)
    };
    for (left, rung) in [(5_001, Rung::Fine), (5_000, Rung::Low), (0, Rung::Low)] {
        let balance = idle(left);
        let outlook = outlook(&balance, None);
        assert_eq!((outlook.rung(time(9)), outlook.next(time(9))), (rung, None));
    }
}

#[test]
fn what_is_kept_without_charge_is_told_of_a_day_before_it_goes() {
    const DAY: u64 = 24 * 3_600;
    let nothing = Balance {
        burn_per_hour: Money::ZERO,
        runs_dry_at: None,
        ..burning(0)
    };
    let kept = outlook(&nothing, Some(time(7 * DAY)));
    assert_eq!(kept.rung(time(9)), Rung::Dry);
    assert_eq!(kept.next(time(9)), Some(time(6 * DAY)));
    assert_eq!(kept.rung(time(6 * DAY)), Rung::LastNotice);
    assert_eq!(kept.next(time(6 * DAY)), None);
}

#[test]
fn an_unlimited_account_stands_on_no_rung() {
    let balance = Balance {
        unlimited: true,
        ..burning(0)
    };
    let outlook = outlook(&balance, Some(time(1)));
    assert_eq!(outlook.rung(time(9)), Rung::Fine);
    assert_eq!(outlook.next(time(0)), None);
}
