//! `/api/auth/users`: users, as administrators see and manage them.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use neuropod::activity::Did;
use neuropod::id::{PodId, UserId};
use neuropod::money::Money;
use neuropod::user::{Role, Standing, User};
use neuropod::{Person, Repaired};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::account::short_date;
use crate::amount::{Amount, Endless};
use crate::answer::{self, Changed, Data, Rows};
use crate::body::{Fields, Nothing};
use crate::caller::{Admin, Id};
use crate::idempotency::{self, IdempotencyKey};
use crate::openapi::Refused;
use crate::page::{List, Pages, Search};
use crate::problem::Result;

/// In place of an id that was refused.
const NOBODY: UserId = UserId::from_bytes([0; 12]);

/// The original's `UserRow`, with what it lacked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserRow {
    id: UserId,
    email: String,
    name: String,
    /// `11/24/2026`
    registration_date: String,
    /// What may be spent.
    balance: Endless<f64>,
    /// Whether there is a session.
    status: Online,
    role: Role,
    /// Pods that run, or are about to.
    active_pods: usize,
    total_pods: usize,
    suspended: bool,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Online {
    Online,
    Offline,
}

impl From<Person> for UserRow {
    fn from(person: Person) -> Self {
        let user = person.user;
        let endless = user.role == Role::Admin || person.balance.unlimited;
        Self {
            id: user.id,
            email: user.email,
            name: user.name,
            registration_date: short_date(&user.created_at.to_string()),
            balance: Endless::of(person.balance.available.to_f64(), endless),
            status: match person.online {
                true => Online::Online,
                false => Online::Offline,
            },
            role: user.role,
            active_pods: person.active_pods,
            total_pods: person.total_pods,
            suspended: user.standing == Standing::Suspended,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// Part of the e-mail address or name, in any case.
    search: Option<String>,
}

/// Users
#[utoipa::path(
    get, path = "/api/auth/users", operation_id = "listUsers", params(Asked, Pages),
    responses((status = 200, body = Rows<UserRow>)),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Admin(who): Admin,
    Search(asked): Search<Asked>,
    list: List,
) -> Result<Json<Rows<UserRow>>> {
    let page = app
        .platform
        .users(&who, asked.search, list.cursor, list.limit)
        .await?;
    let rows: Vec<UserRow> = page.items.into_iter().map(UserRow::from).collect();
    let count = json!({ "count": rows.len() });
    app.platform.note_look(&who, Did::UsersListed, count);
    Ok(answer::rows(rows, list.paged.then_some(page.next)))
}

/// What is to be available.
#[derive(ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "what `set_balance` reads, for the document")]
pub(crate) struct NewBalance {
    user_id: UserId,
    /// 0 to 1,000,000.
    balance: Amount,
}

/// A user whose balance was set.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Funded {
    id: UserId,
    name: String,
    email: String,
    balance: f64,
}

/// Set what a user has available
#[utoipa::path(
    post, path = "/api/auth/users/balance", operation_id = "setBalance",
    params(idempotency::Key), request_body = NewBalance,
    responses((status = 200, body = Data<Funded>), Refused<404>, Refused<409>, Refused<422>, Refused<429>),
)]
pub(crate) async fn set_balance(
    State(app): State<App>,
    Admin(who): Admin,
    key: IdempotencyKey,
    mut fields: Fields,
) -> Result<Response> {
    let receipt = key.receipt(&who, "POST /api/auth/users/balance", &fields)?;
    let user = fields.id("userId", NOBODY, "the id of a user");
    // Less than nothing, where it is missing: that is refused.
    let balance = fields.money("balance").unwrap_or(Money::from_micros(-1));
    fields.done()?;
    let (user, replayed) = match &receipt {
        Some(receipt) => {
            let done = app.platform.set_balance_once(&who, user, balance, receipt);
            let done = done.await?;
            (done.outcome, done.replayed)
        }
        None => (app.platform.set_balance(&who, user, balance).await?, false),
    };
    let funded = Funded {
        id: user.id,
        name: user.name,
        email: user.email,
        balance: balance.to_f64(),
    };
    Ok(idempotency::marked(answer::data(funded), replayed))
}

/// Whom it is about.
#[derive(ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "what is read of the body, for the document")]
pub(crate) struct Whom {
    user_id: UserId,
}

/// A user who was suspended.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Suspended {
    user_id: UserId,
    user_email: String,
    pods_stopped: usize,
    stopped_pods: Vec<PodId>,
}

/// Suspend a user, and stop his pods
#[utoipa::path(
    post, path = "/api/auth/users/suspend", operation_id = "suspendUser", request_body = Whom,
    responses((status = 200, body = Changed<Suspended>), Refused<404>, Refused<409>, Refused<429>),
)]
pub(crate) async fn suspend(
    State(app): State<App>,
    Admin(who): Admin,
    fields: Fields,
) -> Result<Json<Changed<Suspended>>> {
    let ended = app.platform.suspend(&who, whom(fields)?).await?;
    let suspended = Suspended {
        user_id: ended.user.id,
        user_email: ended.user.email,
        pods_stopped: ended.pods.len(),
        stopped_pods: ended.pods,
    };
    Ok(answer::changed(suspended, "The user was suspended."))
}

/// A user who may go on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lifted {
    user_id: UserId,
    user_email: String,
}

/// Lift a suspension
#[utoipa::path(
    post, path = "/api/auth/users/unsuspend", operation_id = "unsuspendUser", request_body = Whom,
    responses((status = 200, body = Changed<Lifted>), Refused<404>, Refused<429>),
)]
pub(crate) async fn unsuspend(
    State(app): State<App>,
    Admin(who): Admin,
    fields: Fields,
) -> Result<Json<Changed<Lifted>>> {
    let user = app.platform.unsuspend(&who, whom(fields)?).await?;
    let lifted = Lifted {
        user_id: user.id,
        user_email: user.email,
    };
    Ok(answer::changed(lifted, "The suspension was lifted."))
}

fn whom(mut fields: Fields) -> Result<UserId> {
    let user = fields.id("userId", NOBODY, "the id of a user");
    fields.done()?;
    Ok(user)
}

/// A user who was deleted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deleted {
    user_id: UserId,
    user_email: String,
    pods_deleted: usize,
    sessions_deleted: usize,
    /// Pods among them that ran, or were about to.
    active_pods: usize,
}

/// Delete a user, and his pods
#[utoipa::path(
    delete, path = "/api/auth/users/{userId}", operation_id = "deleteUser", params(("userId" = UserId, Path)),
    responses((status = 200, body = Changed<Deleted>), Refused<404>, Refused<409>, Refused<429>),
)]
pub(crate) async fn delete(
    State(app): State<App>,
    Admin(who): Admin,
    Id(id): Id<UserId>,
) -> Result<Json<Changed<Deleted>>> {
    let ended = app.platform.delete_user(&who, id).await?;
    let deleted = Deleted {
        user_id: id,
        user_email: ended.user.email,
        pods_deleted: ended.pods.len(),
        sessions_deleted: ended.sessions,
        active_pods: ended.active,
    };
    Ok(answer::changed(deleted, "The user was deleted."))
}

/// Accounts that were repaired.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fixed {
    users_updated: usize,
    updated_users: Vec<FixedUser>,
}

/// An account that was repaired.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct FixedUser {
    id: UserId,
    email: String,
    previous_balance: Endless<f64>,
    new_balance: Endless<f64>,
}

impl From<Repaired> for FixedUser {
    fn from(repaired: Repaired) -> Self {
        let shown = |balance: &neuropod::billing::Balance| {
            Endless::of(balance.available.to_f64(), balance.unlimited)
        };
        let User { id, email, .. } = repaired.user;
        Self {
            id,
            email,
            previous_balance: shown(&repaired.before),
            new_balance: shown(&repaired.after),
        }
    }
}

/// Repair accounts that are not as the role of their user wants
#[utoipa::path(
    post, path = "/api/auth/users/fix-balances", operation_id = "fixBalances", request_body = Nothing,
    responses((status = 200, body = Changed<Fixed>), Refused<429>),
)]
pub(crate) async fn fix_balances(
    State(app): State<App>,
    Admin(who): Admin,
    fields: Fields,
) -> Result<Json<Changed<Fixed>>> {
    fields.done()?;
    let repaired = app.platform.fix_balances(&who).await?;
    let fixed = Fixed {
        users_updated: repaired.len(),
        updated_users: repaired.into_iter().map(FixedUser::from).collect(),
    };
    Ok(answer::changed(
        fixed,
        "The accounts are as they should be.",
    ))
}

/// The same, at the address that the original has
#[utoipa::path(
    post, path = "/api/auth/admin/fix-balances", operation_id = "fixAdminBalances", request_body = Nothing,
    responses((status = 200, body = Changed<Fixed>), Refused<429>),
)]
pub(crate) async fn fix_admin_balances(
    app: State<App>,
    admin: Admin,
    fields: Fields,
) -> Result<Json<Changed<Fixed>>> {
    fix_balances(app, admin, fields).await
}
