//! `/api/auth`: signing in and out, and who one is.

use axum::Json;
use axum::extract::State;
use neuropod::auth::{self, Credential, Identity};
use neuropod::id::{AccountId, UserId};
use neuropod::pod::Secret;
use neuropod::user::{Role, User};
use neuropod::{Error, ErrorKind, Time};
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::amount::Endless;
use crate::answer::{self, Data, Said};
use crate::body::Fields;
use crate::caller::{Caller, Peer};
use crate::openapi::Refused;
use crate::problem::Result;

/// The original's `UserPublic`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserPublic {
    /// Always 0.
    active_pods: u32,
    /// URL of a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<String>,
    /// What may be spent.
    balance: Endless<f64>,
    /// Only in `/api/auth/me`.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Time>,
    email: String,
    id: UserId,
    name: String,
    plan: String,
    /// `11/24/2026`
    registration_date: String,
    role: Role,
    /// Always `online`.
    status: &'static str,
    /// Always 0.
    total_pods: u32,
}

/// A session that has begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SignedIn {
    success: bool,
    /// To be sent as `Authorization: Bearer …`.
    token: String,
    user: UserPublic,
}

/// Whose token it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Verified {
    success: bool,
    user: UserPublic,
}

/// Who signs in.
#[derive(ToSchema)]
#[schema(as = MockLogin)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what `mock_login` reads, for the document")]
pub(crate) struct MockLogin {
    #[schema(min_length = 3, max_length = 254, format = "email")]
    email: String,
}

/// Which session ends.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what `logout` reads, for the document")]
pub(crate) struct Logout {
    /// One's own; the one of the request, if it is not said.
    token: Option<String>,
}

/// Sign in as anybody, in development mode
#[utoipa::path(
    post, path = "/api/auth/mock-login", operation_id = "mockLogin", security(()), request_body = MockLogin,
    responses((status = 200, body = SignedIn), Refused<403>, Refused<429>),
)]
pub(crate) async fn mock_login(
    State(app): State<App>,
    Peer(peer): Peer,
    mut fields: Fields,
) -> Result<Json<SignedIn>> {
    let email = fields.text("email").unwrap_or_default();
    fields.done()?;
    let now = app.platform.clock().now();
    app.limits.login_from(peer, now)?;
    app.limits.logins.take(&email.trim().to_lowercase(), now)?;
    let opened = app
        .platform
        .auth()
        .sign_in(&Credential::Development { email })
        .await?;
    signed_in(&app, &opened).await
}

/// What is answered to whoever has signed in.
pub(crate) async fn signed_in(app: &App, opened: &auth::SignedIn) -> Result<Json<SignedIn>> {
    Ok(Json(SignedIn {
        success: true,
        token: opened.token.reveal().to_owned(),
        user: user_public(app, &opened.user).await?,
    }))
}

/// End a session
#[utoipa::path(
    post, path = "/api/auth/logout", operation_id = "logout", request_body = Logout,
    responses((status = 200, body = Said)),
)]
pub(crate) async fn logout(
    State(app): State<App>,
    Caller(who): Caller,
    mut fields: Fields,
) -> Result<Json<Said>> {
    let token = fields.text("token");
    fields.done()?;
    let sessions = app.platform.auth();
    let session = match token {
        Some(token) => named_session(&app, &who, token).await?,
        None => Some(who),
    };
    if let Some(session) = session {
        sessions.sign_out(&session).await?;
    }
    Ok(answer::said("Signed out."))
}

/// The session of a token in the body, which must be the caller's own; nothing if it has ended already.
async fn named_session(app: &App, who: &Identity, token: String) -> Result<Option<Identity>> {
    match app
        .platform
        .auth()
        .authenticate(&Credential::Bearer(Secret::new(token)))
        .await
    {
        Ok(named) if named.user.id == who.user.id => Ok(Some(named)),
        Ok(_) => Err(Error::new(ErrorKind::Forbidden, "This token is somebody else's.").into()),
        Err(e) if *e.kind() == ErrorKind::Unauthenticated => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Whose token this is
#[utoipa::path(
    get, path = "/api/auth/verify", operation_id = "verify", responses((status = 200, body = Verified)),
)]
pub(crate) async fn verify(State(app): State<App>, Caller(who): Caller) -> Result<Json<Verified>> {
    Ok(Json(Verified {
        success: true,
        user: user_public(&app, &who.user).await?,
    }))
}

/// Who one is
#[utoipa::path(
    get, path = "/api/auth/me", operation_id = "me", responses((status = 200, body = Data<UserPublic>)),
)]
pub(crate) async fn me(
    State(app): State<App>,
    Caller(who): Caller,
) -> Result<Json<Data<UserPublic>>> {
    let user = user_public(&app, &who.user).await?;
    Ok(answer::data(UserPublic {
        created_at: Some(who.user.created_at),
        ..user
    }))
}

async fn user_public(app: &App, user: &User) -> Result<UserPublic> {
    let now = app.platform.clock().now();
    let account = AccountId::of(user.id);
    let balance = app.platform.billing().balance(&account, now).await?;
    let endless = user.role == Role::Admin || balance.unlimited;
    Ok(UserPublic {
        active_pods: 0,
        avatar: user.avatar.clone(),
        balance: Endless::of(balance.available.to_f64(), endless),
        created_at: None,
        email: user.email.clone(),
        id: user.id,
        name: user.name.clone(),
        plan: user.plan.clone(),
        registration_date: short_date(&user.created_at.to_string()),
        role: user.role,
        status: "online",
        total_pods: 0,
    })
}

/// `11/24/2026` of `2026-11-24T…`.
pub(crate) fn short_date(rfc3339: &str) -> String {
    let date = rfc3339.split('T').next().unwrap_or_default();
    let parts: Vec<&str> = date
        .split('-')
        .map(|part| part.trim_start_matches('0'))
        .collect();
    match parts[..] {
        [year, month, day] => format!("{month}/{day}/{year}"),
        _ => date.to_owned(),
    }
}
