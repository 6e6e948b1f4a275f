//! Days and months of our time, in UTC.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use crate::time::Time;

/// The first instants of the month of `t` and of the next one. Out of the calendar's range there is no next one.
pub(crate) fn month(t: Time) -> (Time, Time) {
    let today = date(t);
    let first = today.map(Date::first_of_month);
    let next = today.and_then(|d| d.last_of_month().tomorrow().ok());
    (
        first.and_then(midnight).unwrap_or(Time::EPOCH),
        next.and_then(midnight).unwrap_or(NEVER),
    )
}

/// The first instants of the day of `t` and of the next one.
pub(crate) fn day(t: Time) -> (Time, Time) {
    let today = date(t);
    let next = today.and_then(|d| d.tomorrow().ok());
    (
        today.and_then(midnight).unwrap_or(Time::EPOCH),
        next.and_then(midnight).unwrap_or(NEVER),
    )
}

const NEVER: Time = Time::from_micros(i64::MAX);

fn date(t: Time) -> Option<Date> {
    let t = Timestamp::from_microsecond(t.as_micros()).ok()?;
    Some(Offset::UTC.to_datetime(t).date())
}

fn midnight(date: Date) -> Option<Time> {
    let t = Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
    Some(Time::from_micros(t.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(s: &str) -> Time {
        s.parse().unwrap()
    }

    #[test]
    fn months_begin_at_midnight_in_utc() {
        assert_eq!(
            month(time("2026-12-31T23:59:59.999999Z")),
            (time("2026-12-01T00:00:00Z"), time("2027-01-01T00:00:00Z"))
        );
        assert_eq!(
            month(time("2028-02-01T00:00:00Z")),
            (time("2028-02-01T00:00:00Z"), time("2028-03-01T00:00:00Z"))
        );
    }

    #[test]
    fn days_begin_at_midnight_in_utc() {
        assert_eq!(
            day(time("2028-02-29T12:00:00Z")),
            (time("2028-02-29T00:00:00Z"), time("2028-03-01T00:00:00Z"))
        );
        assert_eq!(day(Time::from_micros(i64::MAX)).1, NEVER);
    }
}
