//! Budgets: what a user means to spend in a day or a month. At the soft limit he is told, at the hard one his pods are stopped
//! and none is started until the next day or month; volumes stay, and count on.

use serde::{Deserialize, Serialize};

use crate::calendar;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AccountId, UserId};
use crate::money::{MOST, Money, time_for};
use crate::platform::{Core, spans};
use crate::store::{DocChange, Document, StoreExt};
use crate::time::Time;

/// The kind of a budget's document.
pub(crate) const KIND: &str = "budget";

/// How much may be spent in how long. At least one limit is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// What the limits are for.
    pub period: Period,
    /// Spent so much, its user is told.
    pub soft: Option<Money>,
    /// Spent so much, his pods are stopped.
    pub hard: Option<Money>,
    /// Who has set it: only an administrator changes what an administrator has set.
    pub set_by: UserId,
    /// An administrator has.
    pub by_admin: bool,
}

/// A stretch of the calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first to the first.
    Month,
}

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// He is told.
    Soft,
    /// His pods are stopped.
    Hard,
}

/// A budget, and what has become of it so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Spent {
    /// As it was set.
    #[serde(flatten)]
    pub budget: Budget,
    /// What was spent in this period.
    pub spent: Money,
    /// When the period began.
    pub from: Time,
    /// When the next one begins.
    pub until: Time,
}

impl Period {
    /// The first instants of the period of `t` and of the next one.
    pub fn around(self, t: Time) -> (Time, Time) {
        match self {
            Self::Day => calendar::day(t),
            Self::Month => calendar::month(t),
        }
    }
}

impl Budget {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// `Invalid`, with what is wrong.
    pub fn check(&self) -> Result<()> {
        let limits = [("/soft", self.soft), ("/hard", self.hard)];
        for (field, limit) in limits {
            if limit.is_some_and(|limit| !(Money::ZERO..=MOST).contains(&limit)) {
                return Err(Error::invalid(field, "A limit is 0 to 1000000."));
            }
        }
        match (self.soft, self.hard) {
            (None, None) => Err(Error::invalid("/hard", "A budget has a limit.")),
            (Some(soft), Some(hard)) if soft > hard => Err(Error::invalid(
                "/soft",
                "The soft limit is not above the hard one.",
            )),
            _ => Ok(()),
        }
    }
}

impl Spent {
    /// The limit that is reached, if one is.
    pub fn reached(&self) -> Option<Limit> {
        let at = |limit: Option<Money>| limit.is_some_and(|limit| self.spent >= limit);
        if at(self.budget.hard) {
            Some(Limit::Hard)
        } else {
            at(self.budget.soft).then_some(Limit::Soft)
        }
    }

    /// When the next limit is reached, or a new period begins, if `burn` is spent per hour.
    pub fn next(&self, burn: Money, now: Time) -> Time {
        let limits = [self.budget.soft, self.budget.hard].into_iter().flatten();
        let lasts = limits.filter_map(|limit| time_for(limit - self.spent, burn));
        // A total rounds down, so it may come to the limit an instant later than it should.
        let reached = lasts.map(|lasts| now + lasts + std::time::Duration::from_millis(1));
        reached.chain([self.until]).min().unwrap_or(self.until)
    }
}

async fn document(core: &Core, user: UserId) -> Result<Option<Document>> {
    let now = core.clock.now();
    core.store.document(KIND, &user.to_string(), now).await
}

/// The budget of a user, if he has one.
pub(crate) async fn of(core: &Core, user: UserId) -> Result<Option<Budget>> {
    let Some(document) = document(core, user).await? else {
        return Ok(None);
    };
    serde_json::from_value(document.body)
        .map(Some)
        .map_err(|e| Error::internal("A budget in the store can't be read.").caused_by(e))
}

/// The same, with what was spent.
pub(crate) async fn spent(core: &Core, user: UserId) -> Result<Option<Spent>> {
    let Some(budget) = of(core, user).await? else {
        return Ok(None);
    };
    let (from, until) = budget.period.around(core.clock.now());
    let spans = spans(core, &AccountId::of(user), from, until).await?;
    Ok(Some(Spent {
        spent: spans.iter().map(|span| span.amount).sum(),
        budget,
        from,
        until,
    }))
}

/// Refuses to start anything for a user who has spent what he may.
pub(crate) async fn allow_start(core: &Core, user: UserId) -> Result<()> {
    let spent = spent(core, user).await?;
    match spent.filter(|spent| spent.reached() == Some(Limit::Hard)) {
        Some(spent) => Err(Error::new(
            ErrorKind::QuotaExceeded,
            format!(
                "The budget is used up: {} of {} are spent. The next one begins at {}.",
                spent.spent,
                spent.budget.hard.unwrap_or_default(),
                spent.until
            ),
        )),
        None => Ok(()),
    }
}

/// What sets, or takes away, the budget of a user.
pub(crate) async fn change(
    core: &Core,
    user: UserId,
    budget: Option<&Budget>,
) -> Result<Option<DocChange>> {
    let before = document(core, user).await?;
    let version = before.map_or(0, |document| document.version);
    Ok(match budget {
        Some(budget) => Some(DocChange::Put(Document {
            kind: KIND.to_owned(),
            key: user.to_string(),
            body: serde_json::to_value(budget)
                .map_err(|e| Error::internal("A budget can't be written.").caused_by(e))?,
            index: [None, None, None],
            expires_at: None,
            version,
        })),
        None => (version > 0).then(|| DocChange::Remove {
            kind: KIND.to_owned(),
            key: user.to_string(),
            version,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(amount: i64) -> Spent {
        Spent {
            budget: Budget {
                period: Period::Day,
                soft: Some(Money::from_micros(8_000_000)),
                hard: Some(Money::from_micros(10_000_000)),
                set_by: UserId::from_bytes([1; 12]),
                by_admin: false,
            },
            spent: Money::from_micros(amount),
            from: "2026-11-24T00:00:00Z".parse().unwrap(),
            until: "2026-11-25T00:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_limit_is_reached_when_so_much_is_spent() {
        assert_eq!(spent(7_999_999).reached(), None);
        assert_eq!(spent(8_000_000).reached(), Some(Limit::Soft));
        assert_eq!(spent(10_000_000).reached(), Some(Limit::Hard));
    }

    #[test]
    fn the_next_limit_is_looked_for_when_it_comes() {
        let now: Time = "2026-11-24T12:00:00Z".parse().unwrap();
        let burn = Money::from_micros(1_000_000);
        let next = |amount, burn| spent(amount).next(burn, now).to_string();
        assert_eq!(next(6_000_000, burn), "2026-11-24T14:00:00.001000Z");
        assert_eq!(next(9_000_000, burn), "2026-11-24T13:00:00.001000Z");
        assert_eq!(next(11_000_000, burn), "2026-11-25T00:00:00.000000Z");
        assert_eq!(next(0, Money::ZERO), "2026-11-25T00:00:00.000000Z");
    }

    #[test]
    fn a_budget_without_sense_is_refused() {
        let budget = spent(0).budget;
        assert!(budget.check().is_ok());
        let none = Budget {
            soft: None,
            hard: None,
            ..budget.clone()
        };
        let crossed = Budget {
            soft: Some(Money::from_micros(11_000_000)),
            ..budget.clone()
        };
        let negative = Budget {
            hard: Some(Money::from_micros(-1)),
            soft: None,
            ..budget
        };
        for bad in [none, crossed, negative] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
