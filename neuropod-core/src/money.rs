//! Money: whole micro-units (10⁻⁶ of the currency) in an `i64`, a decimal at the edge, never a float inside.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// An amount in micro-units of the configured currency. Displayed and serialised as a decimal string, `"2.5"`.
///
/// ```
/// use neuropod_core::money::Money;
///
/// let per_hour: Money = "0.59".parse()?;
/// assert_eq!(per_hour.as_micros(), 590_000);
/// assert_eq!((per_hour + Money::from_micros(5_000)).to_string(), "0.595");
/// assert!("0.1234567".parse::<Money>().is_err(), "nothing is rounded in silence");
/// # Ok::<(), neuropod_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Money(i64);

const MICRO: i64 = 1_000_000;

/// The most that a price, a limit or a gift may be.
pub(crate) const MOST: Money = Money(1_000_000 * MICRO);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `micros` micro-units.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }
    /// Micro-units.
    pub const fn as_micros(self) -> i64 {
        self.0
    }
    /// The nearest float, for answers whose fields must be JSON numbers. Never computed with.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / MICRO as f64
    }
    /// Exact to the micro-unit, from a JSON number: at most six decimals, finite, within ±9·10¹² units.
    pub fn from_f64(value: f64) -> Result<Self> {
        // The shortest decimal that reads back as `value` is what the sender wrote.
        if value.is_finite() {
            format!("{value}").parse()
        } else {
            Err(not_money())
        }
    }
    /// Sum, or `None` past the range.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
    /// The larger of this and nothing.
    pub fn at_least_zero(self) -> Self {
        self.max(Self::ZERO)
    }
}

fn not_money() -> Error {
    Error::invalid(
        "",
        "An amount is a decimal number with at most six decimals, such as 2.5.",
    )
}

impl std::ops::Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}
impl std::ops::Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}
impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, |a, b| a + b)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (
            self.0.unsigned_abs() / MICRO as u64,
            self.0.unsigned_abs() % MICRO as u64,
        );
        let sign = if self.0 < 0 { "-" } else { "" };
        if part == 0 {
            write!(f, "{sign}{whole}")
        } else {
            let decimals = format!("{part:06}");
            write!(f, "{sign}{whole}.{}", decimals.trim_end_matches('0'))
        }
    }
}
impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Money {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let (negative, digits) = match s.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, s),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(part) || part.len() > 6 {
            return Err(not_money());
        }
        let whole: i64 = whole.parse().map_err(|_| not_money())?;
        let part: i64 = format!("{part:0<6}").parse().map_err(|_| not_money())?;
        let micros = whole
            .checked_mul(MICRO)
            .and_then(|w| w.checked_add(part))
            .ok_or_else(not_money)?;
        Ok(Self(if negative { -micros } else { micros }))
    }
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(|e: Error| serde::de::Error::custom(e.message()))
    }
}

/// What `elapsed` costs at `rate` per hour: `floor(rate × elapsed / hour)`, once over the whole elapsed time, so
/// that any series of readings adds up to the same total.
pub fn price(rate: Money, elapsed: Duration) -> Money {
    let micros = i128::try_from(elapsed.as_micros()).unwrap_or(i128::MAX);
    let cost = i128::from(rate.0).saturating_mul(micros) / HOUR;
    Money(i64::try_from(cost).unwrap_or(i64::MAX))
}

/// How long `amount` lasts at `rate` per hour, never too long; `None` if it is used up already, or for ever.
pub fn time_for(amount: Money, rate: Money) -> Option<Duration> {
    let some = amount > Money::ZERO && rate > Money::ZERO;
    some.then(|| {
        let micros = i128::from(amount.0) * HOUR / i128::from(rate.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    })
}

/// An hour, in microseconds.
const HOUR: i128 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        for (text, micros) in [
            ("0", 0),
            ("2.5", 2_500_000),
            ("0.000001", 1),
            ("-1.25", -1_250_000),
            ("4.99", 4_990_000),
        ] {
            assert_eq!(text.parse::<Money>().unwrap().as_micros(), micros);
            assert_eq!(Money::from_micros(micros).to_string(), text);
        }
        for bad in [
            "",
            ".",
            "1.",
            ".5",
            "1e3",
            "0.0000001",
            "+1",
            "99999999999999999999",
            "1.2.3",
            "--1",
            "1,5",
        ] {
            assert!(bad.parse::<Money>().is_err(), "{bad}");
        }
        assert_eq!(Money::from_f64(8.99).unwrap().as_micros(), 8_990_000);
        assert!(Money::from_f64(f64::NAN).is_err());
        assert!(Money::from_f64(1e-7).is_err());
    }

    #[test]
    fn at_the_edge_it_is_a_decimal_or_the_nearest_float() {
        let money = Money::from_micros(-2_500_000);
        assert_eq!(money.to_f64(), -2.5);
        assert_eq!(format!("{money:?}"), "-2.5");
        let json = serde_json::to_value(money).unwrap();
        assert_eq!(json, "-2.5");
        assert_eq!(serde_json::from_value::<Money>(json).unwrap(), money);
        assert!(serde_json::from_value::<Money>("1e3".into()).is_err());
    }

    #[test]
    fn a_price_is_rounded_once() {
        let rate = Money::from_micros(2_500_000);
        assert_eq!(price(rate, Duration::from_secs(3600)), rate);
        assert_eq!(price(rate, Duration::from_micros(1)), Money::ZERO);
        assert_eq!(price(rate, Duration::from_secs(1)).as_micros(), 694);
        assert_eq!(
            price(Money::from_micros(i64::MAX), Duration::MAX),
            Money::from_micros(i64::MAX)
        );
    }
}
