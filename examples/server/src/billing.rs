//! `/api/billing`: what one has, and what became of it. Amounts are decimal texts, which are exact.

use axum::Json;
use axum::extract::State;
use neuropod::auth::Identity;
use neuropod::billing::Balance;
use neuropod::budget::{Period, Spent};
use neuropod::id::{AccountId, UserId};
use neuropod::money::Money;
use neuropod::pricing::PriceList;
use neuropod::spending::{self, Group, Sum};
use neuropod::store::{Transfer, Used};
use neuropod::{Clock, Time};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::amount::{Amount, Endless};
use crate::answer::{self, Data, Rows};
use crate::body::Fields;
use crate::caller::{Admin, Caller, Writer};
use crate::openapi::Refused;
use crate::page::{List, Pages, Search, instant};
use crate::problem::{Problem, Result};

/// Whose money.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Whose {
    /// Another's, if an administrator asks.
    #[param(value_type = Option<UserId>)]
    user_id: Option<String>,
}

/// Money of when.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct During {
    /// A day or an instant in UTC; the first of this month, if it is not said.
    #[param(example = "2026-11-24")]
    from: Option<String>,
    /// A day or an instant in UTC; now, if it is not said.
    #[param(example = "2026-11-24T12:00:00Z")]
    to: Option<String>,
}

/// How it is summed up.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Grouped {
    /// By pod, if it is not said.
    #[param(value_type = Option<Group>, inline)]
    group: Option<String>,
}

/// What one has.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Balance)]
pub(crate) struct BalanceView {
    /// What a launch may use.
    available: Endless<Money>,
    /// What everything that runs costs per hour.
    burn_per_hour: Money,
    /// Set aside and not used up yet.
    held: Money,
    /// All transfers.
    posted: Money,
    /// When there is nothing left, if all goes on as it does.
    runs_dry_at: Option<Time>,
}

/// A transfer as who has the account sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Line {
    /// Less than nothing, if it was paid.
    amount: Money,
    at: Time,
    id: String,
    /// What for, for people.
    memo: String,
    /// Where it came from, or went to.
    other: AccountId,
    /// What was used for it.
    used: Option<Used>,
}

/// What was spent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Usage {
    from: Time,
    groups: Vec<Sum>,
    to: Time,
    total: Money,
}

/// A price list that was in force.
#[derive(ToSchema)]
#[expect(dead_code, reason = "what is written down of it, for the document")]
pub(crate) struct PriceVersion {
    version: u64,
    /// From when on.
    at: Time,
    /// Who has set it.
    by: Option<UserId>,
    prices: PriceList,
}

/// How much may be spent in how long; at least one limit.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what `set_budget` reads, for the document")]
pub(crate) struct SetBudget {
    period: Period,
    /// Spent so much, its user is told; not above `hard`.
    soft: Option<Amount>,
    /// Spent so much, his pods are stopped.
    hard: Option<Amount>,
}

/// Money for a user.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "what `credit` reads, for the document")]
pub(crate) struct Credit {
    /// Made by the caller: what has the same id is the same credit.
    #[schema(min_length = 1, max_length = 200)]
    id: String,
    user_id: UserId,
    /// More than nothing.
    amount: Amount,
    /// What for, for people.
    #[schema(max_length = 500)]
    memo: Option<String>,
}

impl Whose {
    /// The caller's own, or another's if an administrator names him.
    pub(crate) fn user(&self, who: &Identity) -> Result<UserId> {
        match &self.user_id {
            Some(id) => Ok(id.parse()?),
            None => Ok(who.user.id),
        }
    }
}

impl During {
    /// From the first of this month until now, unless something else is said.
    pub(crate) fn period(&self, now: Time) -> Result<(Time, Time)> {
        let (first, _) = Period::Month.around(now);
        let from = instant("from", self.from.as_deref())?;
        let to = instant("to", self.to.as_deref())?;
        let (from, to) = (from.unwrap_or(first), to.unwrap_or(now));
        if from > to {
            return Err(Problem::validation("\"from\" must not be after \"to\"."));
        }
        Ok((from, to))
    }
}

/// What may be spent.
pub(crate) fn available(balance: &Balance) -> Endless<Money> {
    Endless::of(balance.available, balance.unlimited)
}

/// What one has
#[utoipa::path(
    get, path = "/api/billing/balance", operation_id = "getBalance", params(Whose),
    responses((status = 200, body = Data<BalanceView>), Refused<404>),
)]
pub(crate) async fn balance(
    State(app): State<App>,
    Caller(who): Caller,
    Search(whose): Search<Whose>,
) -> Result<Json<Data<BalanceView>>> {
    let balance = app.platform.balance(&who, whose.user(&who)?).await?;
    Ok(answer::data(shown(&balance)))
}

fn shown(balance: &Balance) -> BalanceView {
    BalanceView {
        available: available(balance),
        burn_per_hour: balance.burn_per_hour,
        held: balance.held,
        posted: balance.posted,
        runs_dry_at: balance.runs_dry_at,
    }
}

/// What has become of one's money, the newest first
#[utoipa::path(
    get, path = "/api/billing/statement", operation_id = "getStatement", params(Whose, Pages),
    responses((status = 200, body = Rows<Line>), Refused<404>),
)]
pub(crate) async fn statement(
    State(app): State<App>,
    Caller(who): Caller,
    Search(whose): Search<Whose>,
    list: List,
) -> Result<Json<Rows<Line>>> {
    let user = whose.user(&who)?;
    let page = app
        .platform
        .statement(&who, user, list.cursor, list.limit.min(200))
        .await?;
    let account = AccountId::of(user);
    let lines = page.items.into_iter().map(|t| line(&account, t));
    Ok(answer::rows(lines.collect(), Some(page.next)))
}

fn line(account: &AccountId, transfer: Transfer) -> Line {
    Line {
        amount: transfer.amount_for(account),
        at: transfer.at,
        id: transfer.id,
        memo: transfer.memo,
        other: match transfer.debit == *account {
            true => transfer.credit,
            false => transfer.debit,
        },
        used: transfer.charge.map(|charge| charge.used),
    }
}

/// What was spent, summed up
#[utoipa::path(
    get, path = "/api/billing/usage", operation_id = "getUsage", params(Whose, During, Grouped),
    responses((status = 200, body = Data<Usage>), Refused<404>),
)]
pub(crate) async fn usage(
    State(app): State<App>,
    Caller(who): Caller,
    Search(whose): Search<Whose>,
    Search(during): Search<During>,
    Search(grouped): Search<Grouped>,
) -> Result<Json<Data<Usage>>> {
    let group = match grouped.group.as_deref() {
        None | Some("pod") => Group::Pod,
        Some("gpu") => Group::Gpu,
        Some("day") => Group::Day,
        Some(_) => {
            let message = "\"group\" must be \"pod\", \"gpu\" or \"day\".";
            return Err(Problem::validation(message));
        }
    };
    let (from, to) = during.period(app.platform.clock().now())?;
    let user = whose.user(&who)?;
    let spans = app.platform.spending(&who, user, from, to).await?;
    let groups = spending::sums(&spans, group, from, to);
    Ok(answer::data(Usage {
        from,
        to,
        total: groups.iter().map(|sum| sum.amount).sum(),
        groups,
    }))
}

/// The budget and what is spent of it; `null` if there is none
#[utoipa::path(
    get, path = "/api/billing/budget", operation_id = "getBudget", params(Whose),
    responses((status = 200, body = Data<Option<Spent>>), Refused<404>),
)]
pub(crate) async fn budget(
    State(app): State<App>,
    Caller(who): Caller,
    Search(whose): Search<Whose>,
) -> Result<Json<Data<Option<Spent>>>> {
    let spent = app.platform.budget(&who, whose.user(&who)?).await?;
    Ok(answer::data(spent))
}

/// Set a budget
#[utoipa::path(
    put, path = "/api/billing/budget", operation_id = "setBudget", params(Whose), request_body = SetBudget,
    responses((status = 200, body = Data<Option<Spent>>), Refused<404>, Refused<429>),
)]
pub(crate) async fn set_budget(
    State(app): State<App>,
    Writer(who): Writer,
    Search(whose): Search<Whose>,
    mut fields: Fields,
) -> Result<Json<Data<Option<Spent>>>> {
    let period = match fields.text("period").as_deref() {
        Some("day") => Some(Period::Day),
        Some("month") => Some(Period::Month),
        _ => {
            fields.wrong("period", "\"period\" must be \"day\" or \"month\".");
            None
        }
    };
    let (soft, hard) = (fields.money("soft"), fields.money("hard"));
    fields.done()?;
    let limits = period.map(|period| (period, soft, hard));
    let user = whose.user(&who)?;
    let spent = app.platform.set_budget(&who, user, limits).await?;
    Ok(answer::data(spent))
}

/// Take a budget away
#[utoipa::path(
    delete, path = "/api/billing/budget", operation_id = "deleteBudget", params(Whose),
    responses((status = 200, body = Data<Option<Spent>>), Refused<404>, Refused<429>),
)]
pub(crate) async fn no_budget(
    State(app): State<App>,
    Writer(who): Writer,
    Search(whose): Search<Whose>,
) -> Result<Json<Data<Option<Spent>>>> {
    let user = whose.user(&who)?;
    let spent = app.platform.set_budget(&who, user, None).await?;
    Ok(answer::data(spent))
}

/// Give a user money, once for each `id` that the caller makes
#[utoipa::path(
    post, path = "/api/billing/credit", operation_id = "credit", request_body = Credit,
    responses((status = 200, body = Data<BalanceView>), Refused<404>, Refused<409>, Refused<422>, Refused<429>),
)]
pub(crate) async fn credit(
    State(app): State<App>,
    Admin(who): Admin,
    mut fields: Fields,
) -> Result<Json<Data<BalanceView>>> {
    let id = fields.text("id").unwrap_or_default();
    let user = fields.id("userId", UserId::from_bytes([0; 12]), "the id of a user");
    let amount = fields.money("amount").unwrap_or_default();
    let memo = fields.text("memo").unwrap_or_default();
    fields.done()?;
    let balance = app.platform.credit(&who, &id, user, amount, &memo).await?;
    Ok(answer::data(shown(&balance)))
}

/// The price lists that ever were in force, the newest first
#[utoipa::path(
    get, path = "/api/pricing/history", operation_id = "getPriceHistory", params(Pages),
    responses((status = 200, body = Rows<PriceVersion>)),
)]
pub(crate) async fn price_history(
    State(app): State<App>,
    _caller: Caller,
    list: List,
) -> Result<Json<Rows<serde_json::Value>>> {
    let page = app
        .platform
        .price_history(list.cursor, list.limit.min(200))
        .await?;
    let versions = page.items.into_iter().map(|d| d.body);
    Ok(answer::rows(versions.collect(), Some(page.next)))
}
