//! What a caller may ask about money, and what an administrator may do with it.

use std::time::Duration;

use serde_json::json;

use super::seed::HISTORY;
use super::{Core, Platform};
use crate::accounts;
use crate::activity::Did;
use crate::auth::{Action, Identity, Owner};
use crate::believed::BELIEVED_FOR;
use crate::billing::Balance;
use crate::budget::{self, Budget, Period, Spent};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AccountId, UserId};
use crate::money::Money;
use crate::pod::Pod;
use crate::spending::{self, Span};
use crate::store::{
    Changes, DocQuery, Document, Meter, Page, PodFilter, StoreExt, Transfer, TransferQuery,
};
use crate::time::Time;

/// A transfer is written at most so long after the time it tells.
const LATE: Duration = Duration::from_secs(24 * 3600);

impl Platform {
    /// What a user has.
    ///
    /// # Errors
    /// `NotFound` for somebody else's.
    pub async fn balance(&self, who: &Identity, user: UserId) -> Result<Balance> {
        self.may_read_money(who, user).await?;
        let now = self.0.clock.now();
        self.0.billing.balance(&AccountId::of(user), now).await
    }

    /// Transfers of a user's account, newest first.
    ///
    /// # Errors
    /// `NotFound` for somebody else's.
    pub async fn statement(
        &self,
        who: &Identity,
        user: UserId,
        after: Option<String>,
        limit: u32,
    ) -> Result<Page<Transfer>> {
        self.may_read_money(who, user).await?;
        let account = AccountId::of(user);
        let query = TransferQuery {
            account,
            after,
            limit: limit.clamp(1, 1000),
        };
        self.0.billing.statement(&query).await
    }

    /// What a user has used from `from` to `to`, posted or not. An administrator's pods are paid by the platform: what they
    /// have used is what their account was not charged for, and not in here.
    ///
    /// # Errors
    /// `NotFound` for somebody else's.
    pub async fn spending(
        &self,
        who: &Identity,
        user: UserId,
        from: Time,
        to: Time,
    ) -> Result<Vec<Span>> {
        self.may_read_money(who, user).await?;
        spans(&self.0, &AccountId::of(user), from, to).await
    }

    /// When the balance that `pod` lives on runs out, if all goes on as it does; `None` for a pod that the platform pays for.
    /// Half a second old at most, and never older than what this replica has written.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn runs_dry_at(&self, pod: &Pod) -> Result<Option<Time>> {
        let core = &self.0;
        let payer = &pod.terms.payer;
        if !payer.is_customer() {
            return Ok(None);
        }
        let now = core.clock.now();
        let begun = match core.dry.look(payer, now) {
            Ok(dry) => return Ok(dry),
            Err(begun) => begun,
        };
        let dry = core.billing.balance(payer, now).await?.runs_dry_at;
        let ends = now + BELIEVED_FOR;
        core.dry.note(payer.clone(), begun, ends, dry);
        Ok(dry)
    }

    /// The budget of a user, and what was spent of it; `None` if he has none.
    ///
    /// # Errors
    /// `NotFound` for somebody else's.
    pub async fn budget(&self, who: &Identity, user: UserId) -> Result<Option<Spent>> {
        self.may_read_money(who, user).await?;
        budget::spent(&self.0, user).await
    }

    /// Sets the budget of a user, or takes it away. What an administrator has set only an administrator changes.
    ///
    /// # Errors
    /// `NotFound` for somebody else's, `Forbidden`, `Invalid`.
    pub async fn set_budget(
        &self,
        who: &Identity,
        user: UserId,
        limits: Option<(Period, Option<Money>, Option<Money>)>,
    ) -> Result<Option<Spent>> {
        self.may_read_money(who, user).await?;
        let before = budget::of(&self.0, user).await?;
        if before.is_some_and(|before| before.by_admin) && !who.is_admin() {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "An administrator has set this budget; only one can change it.",
            ));
        }
        let budget = limits.map(|(period, soft, hard)| Budget {
            period,
            soft,
            hard,
            set_by: who.user.id,
            by_admin: who.is_admin(),
        });
        budget.as_ref().map_or(Ok(()), Budget::check)?;
        let now = self.0.clock.now();
        let changes = Changes {
            documents: budget::change(&self.0, user, budget.as_ref())
                .await?
                .into_iter()
                .chain([self.0.did(who, Did::SetBudget, json!({ "userId": user }))])
                .collect(),
            wakes: vec![accounts::wake(&AccountId::of(user), now)],
            ..Changes::default()
        };
        self.0.commit(changes).await?;
        budget::spent(&self.0, user).await
    }

    /// The price lists that were ever in force, the newest first.
    ///
    /// # Errors
    /// `Invalid` for an `after` that no page ended at.
    pub async fn price_history(&self, after: Option<String>, limit: u32) -> Result<Page<Document>> {
        let query = DocQuery {
            kind: HISTORY.to_owned(),
            newest_first: true,
            after,
            limit: limit.clamp(1, 1000),
            now: self.0.clock.now(),
            ..DocQuery::default()
        };
        self.0.store.documents(&query).await
    }

    async fn may_read_money(&self, who: &Identity, user: UserId) -> Result<()> {
        self.0
            .auth
            .authorize(who, Action::Read, Owner::User(user))
            .await
    }
}

/// The accounts whose balance may be another one after this write.
pub(super) fn accounts_of(changes: &Changes) -> impl Iterator<Item = &AccountId> {
    let moved = changes.transfers.iter();
    let moved = moved.flat_map(|transfer| [&transfer.debit, &transfer.credit]);
    let metered = changes.meters.iter().map(|total| &total.payer);
    let made = changes.accounts.iter().map(|account| &account.id);
    changes
        .touch
        .iter()
        .chain(moved)
        .chain(metered)
        .chain(made)
        .filter(|account| account.is_customer())
}

/// What `account` has used from `from` to `to`, posted or not.
pub(crate) async fn spans(
    core: &Core,
    account: &AccountId,
    from: Time,
    to: Time,
) -> Result<Vec<Span>> {
    let now = core.clock.now();
    let pods = PodFilter::PaidBy(account.clone());
    let pods: Vec<Pod> = core.store.all_pods(pods).await?;
    let meters: Vec<Meter> = pods
        .iter()
        .flat_map(|pod| crate::funds::meters(account, pod, now))
        .map(|(meter, _)| meter)
        .collect();
    let posted = core.store.posted(&meters).await?;
    let posted = |meter: Meter| posted.get(&meter).copied();
    let mut spans = spending::open(account, &pods, posted, now);
    let mut query = TransferQuery {
        account: account.clone(),
        after: None,
        limit: 1000,
    };
    loop {
        let page = core.billing.statement(&query).await?;
        let oldest = page.items.last().map(|transfer| transfer.at);
        let of_page = page.items.iter();
        spans.extend(of_page.filter_map(|transfer| spending::posted(account, transfer)));
        query.after = page.next;
        if query.after.is_none() || oldest.is_some_and(|at| at + LATE < from) {
            break;
        }
    }
    spans.retain_mut(|span| match span.within(from, to) {
        Some(part) => {
            *span = part;
            true
        }
        None => false,
    });
    spans.sort_by_key(|span| (span.used.from, span.meter));
    Ok(spans)
}

#[cfg(all(test, feature = "testing"))]
mod tests;
