//! What was spent on what: sums over the spans that transfers tell, and over what open meters have counted since. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, PodId};
use crate::money::Money;
use crate::pod::Pod;
use crate::store::{Charge, Meter, Posted, Transfer, Used};
use crate::time::Time;
use crate::{calendar, funds, usage};

/// A span of something used, and what it has cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// Which meter counted it.
    pub meter: Meter,
    /// What was used, and when.
    pub used: Used,
    /// What it has cost; less than nothing where a part was given back.
    pub amount: Money,
    /// It is not posted yet.
    pub open: bool,
}

impl Span {
    /// The pod it was used by.
    pub fn pod(&self) -> PodId {
        match self.meter {
            Meter::Run(pod, _) | Meter::Volume(pod) => pod,
        }
    }

    /// The part from `from` to `to`, if there is any. Parts that follow each other add up to the whole.
    pub fn within(&self, from: Time, to: Time) -> Option<Self> {
        let (start, end) = (self.used.from.max(from), self.used.to.min(to));
        let at_once = self.used.from == self.used.to;
        if at_once {
            let is_in = from <= self.used.from && self.used.from < to;
            return is_in.then(|| self.clone());
        }
        (start < end).then(|| Self {
            amount: self.until(end) - self.until(start),
            used: Used {
                from: start,
                to: end,
                ..self.used.clone()
            },
            ..self.clone()
        })
    }

    /// What it had cost by `t`, if it cost the same all the time.
    fn until(&self, t: Time) -> Money {
        let micros = |d: Duration| i128::try_from(d.as_micros()).unwrap_or(i128::MAX);
        let whole = micros(self.used.to.since(self.used.from)).max(1);
        let part = micros(t.min(self.used.to).since(self.used.from));
        let amount = i128::from(self.amount.as_micros()) * part / whole;
        Money::from_micros(i64::try_from(amount).unwrap_or(i64::MAX))
    }
}

/// The span that a transfer of `account` books, if a meter has counted it.
pub fn posted(account: &AccountId, transfer: &Transfer) -> Option<Span> {
    let Charge { meter, used } = transfer.charge.clone()?;
    let spent = Money::ZERO - transfer.amount_for(account);
    Some(Span {
        meter,
        used,
        amount: spent,
        open: false,
    })
}

/// What the open meters of `pods` that `account` pays for have counted by `now`, and nobody has posted.
pub fn open(
    account: &AccountId,
    pods: &[Pod],
    posted: impl Fn(Meter) -> Option<Posted>,
    now: Time,
) -> Vec<Span> {
    let span = |pod: &Pod, (meter, total): (Meter, Money)| {
        let before = posted(meter);
        if before.is_some_and(|posted| posted.closed) {
            return None;
        }
        let used = usage::by(pod, meter, now)?;
        let from = before.and_then(|posted| posted.until);
        let from = from.map_or(used.from, |until| until.max(used.from));
        let before = before.map_or(Money::ZERO, |posted| posted.total);
        Some(Span {
            meter,
            amount: (total - before).at_least_zero(),
            used: Used {
                from: from.min(used.to),
                ..used
            },
            open: true,
        })
    };
    pods.iter()
        .flat_map(|pod| funds::meters(account, pod, now).filter_map(move |shown| span(pod, shown)))
        .collect()
}

/// What sums are by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// One sum for each pod.
    Pod,
    /// One for each entry of the price list, and one for volumes.
    Gpu,
    /// One for each day, in UTC.
    Day,
}

/// A sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Sum {
    /// The pod's id, the entry, or the day.
    pub key: String,
    /// What was spent.
    pub amount: Money,
    /// For how long runs were charged, in seconds, all together.
    pub run_seconds: u64,
}

/// The sums of `spans` from `from` to `to`.
pub fn sums(spans: &[Span], group: Group, from: Time, to: Time) -> Vec<Sum> {
    let mut sums: BTreeMap<String, (Money, Duration)> = BTreeMap::new();
    let mut add = |key: String, span: &Span| {
        let sum = sums.entry(key).or_default();
        sum.0 = sum.0 + span.amount;
        if matches!(span.meter, Meter::Run(..)) && span.amount >= Money::ZERO {
            sum.1 += span.used.to.since(span.used.from);
        }
    };
    for span in spans.iter().filter_map(|span| span.within(from, to)) {
        match group {
            Group::Pod => add(span.pod().to_string(), &span),
            Group::Gpu => add(span.used.product.clone(), &span),
            Group::Day => {
                let mut day = span.used.from;
                loop {
                    let (_, next) = calendar::day(day);
                    if let Some(part) = span.within(day, next) {
                        add(day.to_string().chars().take(10).collect(), &part);
                    }
                    if next >= span.used.to {
                        break;
                    }
                    day = next;
                }
            }
        }
    }
    let sum = |(key, (amount, ran)): (String, (Money, Duration))| Sum {
        key,
        amount,
        run_seconds: ran.as_secs(),
    };
    sums.into_iter().map(sum).collect()
}

#[cfg(test)]
mod tests;
