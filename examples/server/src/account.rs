//! `/api/auth`: signing in and out, and who one is.

use axum::extract::State;
use axum::response::Response;
use neuropod::auth::{Credential, Identity};
use neuropod::id::AccountId;
use neuropod::pod::Secret;
use neuropod::user::User;
use neuropod::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::App;
use crate::answer;
use crate::body::Fields;
use crate::caller::{Caller, Peer};
use crate::problem::Result;

/// `POST /api/auth/mock-login`
pub(crate) async fn mock_login(
    State(app): State<App>,
    Peer(peer): Peer,
    mut fields: Fields,
) -> Result<Response> {
    let email = fields.text("email").unwrap_or_default();
    fields.done()?;
    let now = app.platform.clock().now();
    if let Some(peer) = peer {
        app.limits.logins.take(&peer.to_string(), now)?;
    }
    app.limits.logins.take(&email.trim().to_lowercase(), now)?;
    let opened = app
        .platform
        .auth()
        .sign_in(&Credential::Development { email })
        .await?;
    let user = user_public(&app, &opened.user).await?;
    Ok(answer::success(
        json!({ "token": opened.token.reveal(), "user": user }),
    ))
}

/// `POST /api/auth/logout`
pub(crate) async fn logout(
    State(app): State<App>,
    Caller(who): Caller,
    mut fields: Fields,
) -> Result<Response> {
    let token = fields.text("token");
    fields.done()?;
    let auth = app.platform.auth();
    let session = match token {
        Some(token) => named_session(&app, &who, token).await?,
        None => Some(who),
    };
    if let Some(session) = session {
        auth.sign_out(&session).await?;
    }
    Ok(answer::success(json!({ "message": "Signed out." })))
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

/// `GET /api/auth/verify`
pub(crate) async fn verify(State(app): State<App>, Caller(who): Caller) -> Result<Response> {
    Ok(answer::success(
        json!({ "user": user_public(&app, &who.user).await? }),
    ))
}

/// `GET /api/auth/me`
pub(crate) async fn me(State(app): State<App>, Caller(who): Caller) -> Result<Response> {
    let mut data = user_public(&app, &who.user).await?;
    data["createdAt"] = json!(who.user.created_at);
    Ok(answer::data(data))
}

/// The original's `UserPublic`.
async fn user_public(app: &App, user: &User) -> Result<Value> {
    let now = app.platform.clock().now();
    let balance = app
        .platform
        .billing()
        .balance(&AccountId::of(user.id), now)
        .await?;
    let balance = if user.role == neuropod::user::Role::Admin || balance.unlimited {
        json!("Infinity")
    } else {
        json!(balance.available.to_f64())
    };
    let mut public = json!({
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "role": user.role,
        "balance": balance,
        "plan": user.plan,
        "registrationDate": short_date(&user.created_at.to_string()),
        "activePods": 0,
        "totalPods": 0,
        "status": "online",
    });
    if let Some(avatar) = &user.avatar {
        public["avatar"] = avatar.as_str().into();
    }
    Ok(public)
}

/// `11/24/2026` of `2026-11-24T…`.
fn short_date(rfc3339: &str) -> String {
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
