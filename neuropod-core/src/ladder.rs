//! The steps that lead down to an empty balance, and when the next one comes. Pure: who told an account's owner of which
//! step, and what was done about it, is the business of `accounts.rs`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::billing::Balance;
use crate::money::{Money, time_for};
use crate::time::Time;

/// How near an account is to running dry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rung {
    /// Not near.
    Fine,
    /// Less is left than the threshold.
    Low,
    /// It lasts 30 minutes.
    ThirtyMinutes,
    /// It lasts 10 minutes.
    TenMinutes,
    /// It lasts 2 minutes.
    TwoMinutes,
    /// Nothing is left: pods are stopped, volumes kept for some time.
    Dry,
    /// The first of those volumes goes within a day.
    LastNotice,
}

/// The rungs that are known by how long the balance lasts.
const RUNWAYS: [(Rung, Duration); 3] = [
    (Rung::ThirtyMinutes, Duration::from_secs(30 * 60)),
    (Rung::TenMinutes, Duration::from_secs(10 * 60)),
    (Rung::TwoMinutes, Duration::from_secs(2 * 60)),
];
/// How long before a volume goes its owner is told for the last time.
const LAST_NOTICE: Duration = Duration::from_secs(24 * 3600);

/// What the rung of an account depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook<'a> {
    /// What it has.
    pub balance: &'a Balance,
    /// The threshold of [`Rung::Low`].
    pub low: Money,
    /// Until when the first of its volumes is kept that nobody pays for.
    pub kept_until: Option<Time>,
}

impl Outlook<'_> {
    /// Where the account stands at `now`, which is when its balance was read.
    pub fn rung(&self, now: Time) -> Rung {
        if self.balance.unlimited {
            return Rung::Fine;
        }
        if let Some(until) = self.kept_until {
            return if until - LAST_NOTICE <= now {
                Rung::LastNotice
            } else {
                Rung::Dry
            };
        }
        if let Some(dry) = self.balance.runs_dry_at {
            if dry < now {
                return Rung::Dry;
            }
            let lasts = dry.since(now);
            let reached = RUNWAYS.iter().rev().find(|(_, runway)| lasts <= *runway);
            if let Some((rung, _)) = reached {
                return *rung;
            }
        }
        if self.balance.left() <= self.low {
            Rung::Low
        } else {
            Rung::Fine
        }
    }

    /// When the next rung is reached after `now`, if all goes on as it does.
    pub fn next(&self, now: Time) -> Option<Time> {
        if self.balance.unlimited {
            return None;
        }
        let dry = self.balance.runs_dry_at;
        let runways = RUNWAYS.iter();
        let runways = dry.map(|dry| runways.map(move |(_, runway)| dry - *runway));
        let ends = dry.map(|dry| dry + Duration::from_micros(1));
        let above = self.balance.left() - self.low;
        let low = time_for(above, self.balance.burn_per_hour).map(|lasts| now + lasts);
        let last_notice = self.kept_until.map(|until| until - LAST_NOTICE);
        let all = runways.into_iter().flatten().chain(ends).chain(low);
        all.chain(last_notice).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests;
