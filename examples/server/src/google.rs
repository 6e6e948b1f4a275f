//! `/api/auth/google`: sign-in by Google, or by another provider of OpenID Connect.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use neuropod::Platform;
use neuropod::auth::{Credential, IdToken, SignedIn};
use neuropod::oidc::{Begun, CodeFlow, Outcome, Returned};
use neuropod::pod::Secret;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::account::{self, signed_in};
use crate::body::Fields;
use crate::caller::Peer;
use crate::config::Config;
use crate::openapi::Refused;
use crate::problem::{Problem, Result};

/// The flow that sends browsers to the provider and takes them back.
#[derive(Debug)]
struct Browsers {
    flow: CodeFlow,
    /// Where they end: the frontend's page for it.
    ends_at: String,
    /// Whether they reach us by HTTPS.
    secure: bool,
}

/// The operations for the document, which may not be there.
pub(crate) fn operations() -> OpenApiRouter<App> {
    tokens().merge(pages())
}

/// The routes that are there where a provider is configured.
pub(crate) fn routes(platform: &Platform, config: &Config) -> OpenApiRouter<App> {
    let clock = platform.clock();
    let Some(provider) = config.provider(Arc::clone(clock)) else {
        return OpenApiRouter::new();
    };
    let Some(frontend) = config.frontend() else {
        tracing::warn!(
            "FRONTEND_URL is not set: there is no page to which a sign-in could lead back"
        );
        return tokens();
    };
    let public_url = config.public_url();
    let browsers = Browsers {
        ends_at: format!("{frontend}/auth/callback"),
        secure: public_url.starts_with("https:"),
        flow: CodeFlow::new(
            provider,
            Arc::clone(platform.store()),
            Arc::clone(clock),
            format!("{public_url}/api/auth/google/callback"),
        ),
    };
    tokens().merge(pages().layer(Extension(Arc::new(browsers))))
}

fn tokens() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(by_token))
}

fn pages() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(callback))
}

/// Whose token it is, by the provider's word.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what `by_token` reads, for the document")]
pub(crate) struct GoogleLogin {
    /// An ID token of the provider's.
    #[schema(min_length = 1)]
    token: String,
}

/// Sign in with an ID token of Google's, or of the provider that is configured
#[utoipa::path(
    post, path = "/api/auth/google", operation_id = "googleLogin", security(()), request_body = GoogleLogin,
    responses((status = 200, body = account::SignedIn), Refused<401>, Refused<403>, Refused<429>),
)]
async fn by_token(
    State(app): State<App>,
    Peer(peer): Peer,
    mut fields: Fields,
) -> Result<Json<account::SignedIn>> {
    let token = fields.text("token").filter(|token| !token.is_empty());
    if token.is_none() {
        fields.wrong(
            "token",
            "\"token\" is needed: an ID token of the provider's.",
        );
    }
    fields.done()?;
    app.limits.login_from(peer, app.platform.clock().now())?;
    let token = Secret::new(token.unwrap_or_default());
    let opened = open(&app, IdToken { token, nonce: None }).await?;
    signed_in(&app, &opened).await
}

/// Begin to sign in: leads a browser to the provider
#[utoipa::path(
    get, path = "/api/auth/google/login", operation_id = "beginGoogleLogin", security(()),
    responses((status = 303, description = "To the provider; or to the frontend's page, with a word behind `#error=`.")),
)]
async fn login(
    State(app): State<App>,
    Extension(browsers): Extension<Arc<Browsers>>,
    Peer(peer): Peer,
    headers: HeaderMap,
) -> Response {
    let begin = async || {
        app.limits.login_from(peer, app.platform.clock().now())?;
        let kept = browsers.kept(&headers);
        let begun = browsers.flow.begin(kept.as_ref()).await?;
        let mut response = go(&begun.url)?;
        let cookie = HeaderValue::try_from(browsers.cookie(&begun));
        let cookie = cookie.map_err(|_| Problem::internal())?;
        response.headers_mut().insert(SET_COOKIE, cookie);
        Ok(response)
    };
    begin()
        .await
        .unwrap_or_else(|problem| browsers.end_without(&problem))
}

/// End to sign in: where the provider leads a browser back to
///
/// The frontend's page gets a token behind `#token=`, or a word behind `#error=`. Providers add what they like to the query, and
/// some of it twice.
#[utoipa::path(
    get, path = "/api/auth/google/callback", operation_id = "endGoogleLogin", security(()),
    responses((status = 303, description = "To the frontend's page.")),
)]
async fn callback(
    State(app): State<App>,
    Extension(browsers): Extension<Arc<Browsers>>,
    Peer(peer): Peer,
    headers: HeaderMap,
    query: Result<Query<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let finish = async || {
        app.limits.login_from(peer, app.platform.clock().now())?;
        let returned = returned(query)?;
        let kept = browsers.kept(&headers);
        let token = browsers.flow.finish(returned, kept.as_ref()).await?;
        let opened = open(&app, token).await?;
        // Behind the `#` it reaches the page, but no server and no log.
        go(&format!(
            "{}#token={}",
            browsers.ends_at,
            opened.token.reveal()
        ))
    };
    finish()
        .await
        .unwrap_or_else(|problem| browsers.end_without(&problem))
}

/// Opens a session for whoever the token is about, unless that person has opened too many.
async fn open(app: &App, token: IdToken) -> Result<SignedIn> {
    let credential = Credential::IdToken(token);
    let auth = app.platform.auth();
    let who = auth.authenticate(&credential).await?;
    let now = app.platform.clock().now();
    app.limits.logins.take(&who.user.email, now)?;
    Ok(auth.sign_in(&credential).await?)
}

/// What a provider sent a browser back with.
fn returned(query: Vec<(String, String)>) -> Result<Returned> {
    let one = |name: &str| {
        let mut values = query.iter().filter(|(key, _)| key == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Ok(Some(value.clone())),
            (None, _) => Ok(None),
            _ => Err(Problem::validation(
                "The provider's answer contradicts itself.",
            )),
        }
    };
    let code = one("code")?.filter(|_| one("error").is_ok_and(|error| error.is_none()));
    Ok(Returned {
        state: Secret::new(one("state")?.unwrap_or_default()),
        issuer: one("iss")?,
        outcome: code.map_or(Outcome::Refused, |code| Outcome::Code(Secret::new(code))),
    })
}

impl Browsers {
    /// The name of our cookie. With the prefix no other page of the same site can set one.
    fn cookie_name(&self) -> &'static str {
        if self.secure {
            "__Host-neuropod-sign-in"
        } else {
            "neuropod-sign-in"
        }
    }

    fn cookie(&self, begun: &Begun) -> String {
        format!(
            "{}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{}",
            self.cookie_name(),
            begun.browser.reveal(),
            begun.lasts.as_secs(),
            if self.secure { "; Secure" } else { "" }
        )
    }

    /// What a browser has kept.
    fn kept(&self, headers: &HeaderMap) -> Option<Secret> {
        let cookies = headers.get_all(COOKIE).into_iter();
        let mut pairs = cookies
            .filter_map(|cookie| cookie.to_str().ok())
            .flat_map(|cookie| cookie.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let kept = pairs.find(|(name, _)| *name == self.cookie_name());
        kept.map(|(_, value)| Secret::new(value))
    }

    /// To the frontend's page with a word of ours, and nothing that anybody else has written.
    fn end_without(&self, problem: &Problem) -> Response {
        go(&format!("{}#error={}", self.ends_at, problem.code()))
            .unwrap_or_else(IntoResponse::into_response)
    }
}

fn go(url: &str) -> Result<Response> {
    let location = HeaderValue::try_from(url).map_err(|_| Problem::internal())?;
    Ok((StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response())
}
