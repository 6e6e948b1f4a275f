//! Who is asking, and about what.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::extract::{ConnectInfo, FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use neuropod::auth::{Action, Credential, Identity, Owner};
use neuropod::pod::Secret;
use neuropod::visit::Visit;

use crate::App;
use crate::problem::{Problem, Result};

/// Whoever the request's token belongs to. Taken before anything else, so that strangers learn nothing.
#[derive(Debug)]
pub(crate) struct Caller(pub(crate) Identity);

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let credential = credential(&parts.headers);
        Ok(Self(app.platform.auth().authenticate(&credential).await?))
    }
}

/// The token of a request.
pub(crate) fn credential(headers: &HeaderMap) -> Credential {
    let header = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match token {
        Some(token) => Credential::Bearer(Secret::new(token)),
        None => Credential::Anonymous,
    }
}

/// A [`Caller`] who stays.
#[derive(Debug)]
pub(crate) struct Visitor(pub(crate) Visit);

impl FromRequestParts<App> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        Ok(Self(app.platform.visit(credential(&parts.headers)).await?))
    }
}

/// A [`Caller`] who is about to change something, and has not done that too often.
#[derive(Debug)]
pub(crate) struct Writer(pub(crate) Identity);

impl FromRequestParts<App> for Writer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let Caller(who) = Caller::from_request_parts(parts, app).await?;
        let now = app.platform.clock().now();
        app.limits.writes.take(&who.user.id.to_string(), now)?;
        Ok(Self(who))
    }
}

/// Where a request comes from, as far as whoever serves the routes tells.
#[derive(Debug)]
pub(crate) struct Peer(pub(crate) Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(peer.map(|ConnectInfo(address)| address.ip())))
    }
}

/// An administrator; if he is about to change something, he has not done that too often.
#[derive(Debug)]
pub(crate) struct Admin(pub(crate) Identity);

impl FromRequestParts<App> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let Caller(who) = Caller::from_request_parts(parts, app).await?;
        app.platform
            .auth()
            .authorize(&who, Action::Administer, Owner::Platform)
            .await?;
        if !parts.method.is_safe() {
            let now = app.platform.clock().now();
            app.limits.writes.take(&who.user.id.to_string(), now)?;
        }
        Ok(Self(who))
    }
}

/// The id in the path.
#[derive(Debug)]
pub(crate) struct Id<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Id<T>
where
    T: FromStr<Err = neuropod::Error>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let malformed = |_| Problem::validation("The id in the path is malformed.");
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(malformed)?;
        Ok(Self(text.parse()?))
    }
}
