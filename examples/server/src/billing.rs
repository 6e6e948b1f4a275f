//! `/api/billing`: what one has, and what became of it. Amounts are decimal texts, which are exact.

use axum::extract::State;
use axum::response::Response;
use neuropod::auth::Identity;
use neuropod::billing::Balance;
use neuropod::budget::Period;
use neuropod::id::{AccountId, UserId};
use neuropod::spending::{self, Group};
use neuropod::store::Transfer;
use neuropod::{Clock, Time};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::App;
use crate::answer;
use crate::body::Fields;
use crate::caller::{Admin, Caller, Writer};
use crate::page::{List, Search};
use crate::problem::{Problem, Result};

/// Whose money, of when, and how it is summed up.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    user_id: Option<String>,
    from: Option<String>,
    to: Option<String>,
    group: Option<String>,
    pub(crate) format: Option<String>,
}

impl Asked {
    /// The caller's own, or another's if an administrator names him.
    pub(crate) fn user(&self, who: &Identity) -> Result<UserId> {
        match &self.user_id {
            Some(id) => Ok(id.parse()?),
            None => Ok(who.user.id),
        }
    }

    /// From the first of this month until now, unless something else is said.
    pub(crate) fn period(&self, now: Time) -> Result<(Time, Time)> {
        let read = |name: &str, text: &Option<String>| match text {
            Some(text) => instant(text).map(Some).ok_or_else(|| {
                let like = "such as 2026-11-24 or 2026-11-24T12:00:00Z";
                Problem::validation(format!(
                    "\"{name}\" must be a day or an instant in UTC, {like}."
                ))
            }),
            None => Ok(None),
        };
        let (first, _) = Period::Month.around(now);
        let (from, to) = (read("from", &self.from)?, read("to", &self.to)?);
        let (from, to) = (from.unwrap_or(first), to.unwrap_or(now));
        if from > to {
            return Err(Problem::validation("\"from\" must not be after \"to\"."));
        }
        Ok((from, to))
    }
}

fn instant(text: &str) -> Option<Time> {
    let day = text.len() == 10;
    let text = if day {
        format!("{text}T00:00:00Z")
    } else {
        text.to_owned()
    };
    text.parse().ok()
}

/// What may be spent: an amount, or the original's word for one without end.
pub(crate) fn available(balance: &Balance) -> Value {
    match balance.unlimited {
        true => json!("Infinity"),
        false => json!(balance.available),
    }
}

/// `GET /api/billing/balance`
pub(crate) async fn balance(
    State(app): State<App>,
    Caller(who): Caller,
    Search(asked): Search<Asked>,
) -> Result<Response> {
    let balance = app.platform.balance(&who, asked.user(&who)?).await?;
    Ok(answer::data(shown(&balance)))
}

fn shown(balance: &Balance) -> Value {
    json!({
        "posted": balance.posted,
        "held": balance.held,
        "available": available(balance),
        "burnPerHour": balance.burn_per_hour,
        "runsDryAt": balance.runs_dry_at,
    })
}

/// `GET /api/billing/statement`
pub(crate) async fn statement(
    State(app): State<App>,
    Caller(who): Caller,
    Search(asked): Search<Asked>,
    list: List,
) -> Result<Response> {
    let user = asked.user(&who)?;
    let page = app
        .platform
        .statement(&who, user, list.cursor, list.limit.min(200))
        .await?;
    let account = AccountId::of(user);
    let data: Vec<Value> = page.items.iter().map(|t| line(&account, t)).collect();
    Ok(answer::success(
        json!({ "count": data.len(), "data": data, "nextCursor": page.next }),
    ))
}

/// A transfer as who has the account sees it.
fn line(account: &AccountId, transfer: &Transfer) -> Value {
    let other = match transfer.debit == *account {
        true => &transfer.credit,
        false => &transfer.debit,
    };
    json!({
        "id": transfer.id,
        "at": transfer.at,
        "amount": transfer.amount_for(account),
        "other": other,
        "memo": transfer.memo,
        "used": transfer.charge.as_ref().map(|charge| &charge.used),
    })
}

/// `GET /api/billing/usage`
pub(crate) async fn usage(
    State(app): State<App>,
    Caller(who): Caller,
    Search(asked): Search<Asked>,
) -> Result<Response> {
    let group = match asked.group.as_deref() {
        None | Some("pod") => Group::Pod,
        Some("gpu") => Group::Gpu,
        Some("day") => Group::Day,
        Some(_) => {
            let message = "\"group\" must be \"pod\", \"gpu\" or \"day\".";
            return Err(Problem::validation(message));
        }
    };
    let (from, to) = asked.period(app.platform.clock().now())?;
    let user = asked.user(&who)?;
    let spans = app.platform.spending(&who, user, from, to).await?;
    let sums = spending::sums(&spans, group, from, to);
    let total: neuropod::money::Money = sums.iter().map(|sum| sum.amount).sum();
    Ok(answer::data(
        json!({ "from": from, "to": to, "total": total, "groups": sums }),
    ))
}

/// `GET /api/billing/budget`: `null` if there is none.
pub(crate) async fn budget(
    State(app): State<App>,
    Caller(who): Caller,
    Search(asked): Search<Asked>,
) -> Result<Response> {
    let spent = app.platform.budget(&who, asked.user(&who)?).await?;
    Ok(answer::data(spent))
}

/// `PUT /api/billing/budget`
pub(crate) async fn set_budget(
    State(app): State<App>,
    Writer(who): Writer,
    Search(asked): Search<Asked>,
    mut fields: Fields,
) -> Result<Response> {
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
    let user = asked.user(&who)?;
    let spent = app.platform.set_budget(&who, user, limits).await?;
    Ok(answer::data(spent))
}

/// `DELETE /api/billing/budget`
pub(crate) async fn no_budget(
    State(app): State<App>,
    Writer(who): Writer,
    Search(asked): Search<Asked>,
) -> Result<Response> {
    let user = asked.user(&who)?;
    let spent = app.platform.set_budget(&who, user, None).await?;
    Ok(answer::data(spent))
}

/// `POST /api/billing/credit`: money for a user, once for each `id` that the caller makes.
pub(crate) async fn credit(
    State(app): State<App>,
    Admin(who): Admin,
    mut fields: Fields,
) -> Result<Response> {
    let now = app.platform.clock().now();
    app.limits.writes.take(&who.user.id.to_string(), now)?;
    let id = fields.text("id").unwrap_or_default();
    let user = fields.text("userId").unwrap_or_default();
    let amount = fields.money("amount").unwrap_or_default();
    let memo = fields.text("memo").unwrap_or_default();
    let user: UserId = user.parse().unwrap_or_else(|_| {
        fields.wrong("userId", "\"userId\" must be the id of a user.");
        UserId::from_bytes([0; 12])
    });
    fields.done()?;
    let balance = app.platform.credit(&who, &id, user, amount, &memo).await?;
    Ok(answer::data(shown(&balance)))
}

/// `GET /api/pricing/history`
pub(crate) async fn price_history(
    State(app): State<App>,
    _: Caller,
    list: List,
) -> Result<Response> {
    let page = app
        .platform
        .price_history(list.cursor, list.limit.min(200))
        .await?;
    let data: Vec<Value> = page.items.into_iter().map(|d| d.body).collect();
    Ok(answer::success(
        json!({ "count": data.len(), "data": data, "nextCursor": page.next }),
    ))
}
