//! The authorization-code flow: a browser is sent to the provider, and comes back with a code.
//!
//! What has begun is kept in the store, so that any replica ends it: once, within ten minutes, and in the browser in
//! which it began. Who reads the store can't end one, since that takes what only the browser has.

use std::sync::Arc;
use std::time::Duration;

use neuropod_core::auth::IdToken;
use neuropod_core::id::Entropy;
use neuropod_core::pod::Secret;
use neuropod_core::store::{Changes, DocChange, Document, StoreExt};
use neuropod_core::{Clock, Error, ErrorKind, Result, Store};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, ExtraTokenFields,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    StandardRevocableToken, StandardTokenResponse, TokenUrl,
};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::discovery::Known;
use crate::provider::Provider;

const KIND: &str = "sign-in";
const LASTS: Duration = Duration::from_secs(600);
/// Longer than any provider's code.
const CODE_MAX: usize = 4096;

/// Sends browsers to a provider, and takes them back.
#[derive(Debug)]
pub struct CodeFlow {
    provider: Provider,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Entropy,
    returns_to: String,
}

/// A sign-in that has begun.
#[derive(Debug)]
pub struct Begun {
    /// Where the browser goes now.
    pub url: String,
    /// What the browser keeps to itself until it comes back.
    pub browser: Secret,
    /// For how long.
    pub lasts: Duration,
}

/// What a browser brings back.
#[derive(Debug)]
pub struct Returned {
    /// Which sign-in this is about.
    pub state: Secret,
    /// Who the provider says it is, if it does.
    pub issuer: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a sign-in at the provider.
#[derive(Debug)]
pub enum Outcome {
    /// To be exchanged for an ID token.
    Code(Secret),
    /// Nothing: the person, or the provider, did not want to.
    Refused,
}

/// What is kept of a sign-in.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// A fingerprint of what the browser keeps.
    browser: String,
    nonce: String,
    verifier: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct WithIdToken {
    id_token: Option<String>,
}

impl ExtraTokenFields for WithIdToken {}

type OAuth<Auth = oauth2::EndpointNotSet, Token = oauth2::EndpointNotSet> = oauth2::Client<
    BasicErrorResponse,
    StandardTokenResponse<WithIdToken, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    Auth,
    oauth2::EndpointNotSet,
    oauth2::EndpointNotSet,
    oauth2::EndpointNotSet,
    Token,
>;

impl CodeFlow {
    /// Browsers come back to `returns_to`, a URL that is registered at the provider.
    pub fn new(
        provider: Provider,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        returns_to: impl Into<String>,
    ) -> Self {
        Self {
            provider,
            store,
            clock,
            entropy: Entropy::system(),
            returns_to: returns_to.into(),
        }
    }

    /// Begins a sign-in, in a browser that may keep something of an earlier one: two pages may sign in at once.
    ///
    /// # Errors
    /// `Unreachable` if provider or store does not answer.
    pub async fn begin(&self, browser: Option<&Secret>) -> Result<Begun> {
        let known = self.provider.known(None).await?;
        let random = || hex(&self.entropy.bytes::<32>());
        let browser = match browser.map(Secret::reveal).filter(|kept| is_random(kept)) {
            Some(kept) => kept.to_owned(),
            None => random(),
        };
        let kept = Kept {
            browser: fingerprint(&browser),
            nonce: random(),
            verifier: random(),
        };
        let state = random();
        let now = self.clock.now();
        let document = Document {
            kind: KIND.to_owned(),
            key: fingerprint(&state),
            body: serde_json::to_value(&kept)
                .map_err(|e| Error::internal("A sign-in can't be written.").caused_by(e))?,
            index: [None, None, None],
            expires_at: Some(now + LASTS),
            version: 0,
        };
        let changes = Changes {
            now,
            documents: vec![DocChange::Put(document)],
            ..Changes::default()
        };
        self.store.commit(&changes).await?;

        let challenge = PkceCodeVerifier::new(kept.verifier);
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&challenge);
        let oauth = self.oauth(&known)?;
        let mut request = oauth
            .authorize_url(|| CsrfToken::new(state))
            .add_scopes(["openid", "email", "profile"].map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(challenge)
            .add_extra_param("nonce", kept.nonce);
        if let Some(domain) = &self.provider.client().hosted_domain {
            request = request.add_extra_param("hd", domain);
        }
        Ok(Begun {
            url: request.url().0.into(),
            browser: Secret::new(browser),
            lasts: LASTS,
        })
    }

    /// Ends a sign-in with the ID token of whoever signed in, in the browser in which it began. It is yet to be checked:
    /// [`neuropod_core::Auth::sign_in`] does.
    ///
    /// # Errors
    /// `Invalid` for a sign-in that is not under way in this browser, `Unauthenticated` if the provider vouches for
    /// nobody, `Unreachable` if provider or store does not answer.
    pub async fn finish(&self, returned: Returned, browser: Option<&Secret>) -> Result<IdToken> {
        let kept = self.take(&returned.state, browser).await?;
        let known = self.provider.known(None).await?;
        let issuer = self.provider.client().issuer.as_str();
        let is_it = match &returned.issuer {
            Some(named) => named == issuer,
            None => !known.names_itself,
        };
        let code = match returned.outcome {
            Outcome::Code(code) if is_it && code.reveal().len() <= CODE_MAX => code,
            _ => return Err(not_vouched_for()),
        };
        let token = self.exchange(&known, code, kept.verifier).await?;
        Ok(IdToken {
            token,
            nonce: Some(Secret::new(kept.nonce)),
        })
    }

    /// What was kept of a sign-in, for the first who asks for it.
    async fn take(&self, state: &Secret, browser: Option<&Secret>) -> Result<Kept> {
        let now = self.clock.now();
        let key = fingerprint(state.reveal());
        let document = self.store.document(KIND, &key, now).await?;
        let document = document.ok_or_else(not_under_way)?;
        let kept: Kept = serde_json::from_value(document.body.clone())
            .map_err(|_| Error::internal("A sign-in in the store can't be read."))?;
        let browser = browser.map(|browser| fingerprint(browser.reveal()));
        if browser.as_ref() != Some(&kept.browser) {
            return Err(not_under_way());
        }
        let changes = Changes {
            now,
            documents: vec![DocChange::remove(&document)],
            ..Changes::default()
        };
        match self.store.commit(&changes).await {
            Err(e) if *e.kind() == ErrorKind::Conflict => Err(not_under_way()),
            done => done.map(|()| kept),
        }
    }

    async fn exchange(&self, known: &Known, code: Secret, verifier: String) -> Result<Secret> {
        let answer = self
            .oauth(known)?
            .exchange_code(AuthorizationCode::new(code.reveal().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(self.provider.fetch()?)
            .await;
        // What can't be read may hold a token, so it is not passed on.
        let answer = answer.map_err(|e| match e {
            RequestTokenError::Request(e) => e,
            RequestTokenError::ServerResponse(refusal) => {
                tracing::info!(error = ?refusal.error(), "the identity provider refused a code");
                not_vouched_for()
            }
            _ => Error::unreachable("The identity provider's answer can't be read."),
        })?;
        let token = answer.extra_fields().id_token.clone();
        token.map(Secret::new).ok_or_else(not_vouched_for)
    }

    fn oauth(&self, known: &Known) -> Result<OAuth<oauth2::EndpointSet, oauth2::EndpointSet>> {
        let unfit = |e| Error::internal("The URL that browsers come back to is none.").caused_by(e);
        let client = self.provider.client();
        let mut oauth = OAuth::new(ClientId::new(client.id.clone()));
        if let Some(secret) = &client.secret {
            oauth = oauth.set_client_secret(ClientSecret::new(secret.reveal().to_owned()));
        }
        if known.secret_in_body {
            oauth = oauth.set_auth_type(AuthType::RequestBody);
        }
        let returns_to = RedirectUrl::new(self.returns_to.clone()).map_err(unfit)?;
        Ok(oauth
            .set_redirect_uri(returns_to)
            .set_auth_uri(AuthUrl::from_url(known.authorization.clone()))
            .set_token_uri(TokenUrl::from_url(known.token.clone())))
    }
}

fn not_under_way() -> Error {
    Error::invalid(
        "/state",
        "This sign-in is not under way: it has ended, took longer than ten minutes, or began in another browser.",
    )
}

fn not_vouched_for() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "The identity provider did not sign anybody in.",
    )
}

/// Whether it is one of our own making.
fn is_random(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// By which something is found again that is not to be read in the store.
fn fingerprint(secret: &str) -> String {
    hex(digest(&SHA256, secret.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
