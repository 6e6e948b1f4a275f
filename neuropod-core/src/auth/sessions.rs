//! Sign-in with sessions: a token for the caller, a document of the store for us, looked at for every request but those
//! that follow within half a second, so that signing out, suspension, demotion and deletion take effect within a second
//! on every replica.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::token::{Claims, Fingerprint, SigningKeys, fingerprint};
use super::{Auth, Credential, Identity, Issuer, Person, SignedIn};
use crate::activity::{self, Did};
use crate::believed::Believed;
use crate::error::{Error, ErrorKind, Result};
use crate::event::NewEvent;
use crate::id::{Entropy, UserId};
use crate::pod::Secret;
use crate::store::{Changes, DocChange, Document, Store, StoreExt};
use crate::time::{Clock, Time};
use crate::user::{Standing, User};

pub(crate) const SESSION: &str = "session";
pub(crate) const IDENTITY: &str = "identity";
pub(crate) const EMAIL: &str = "email";
/// Who issues session tokens, and for whom.
const ISSUER: &str = "neuropod";
/// Who vouches for a development login.
const DEVELOPMENT: &str = "development";
/// Each conflict means that somebody else got on, so a few tries are enough.
const ATTEMPTS: u32 = 8;

/// Sessions over a store.
///
/// ```
/// # use std::sync::Arc;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> neuropod_core::Result<()> {
/// use neuropod_core::Auth;
/// use neuropod_core::auth::{Credential, SessionRules, Sessions, SigningKeys};
/// use neuropod_core::memory::MemoryStore;
/// use neuropod_core::pod::Secret;
/// use neuropod_core::time::SystemClock;
///
/// let keys = SigningKeys::new(&Secret::new("0f1e2d3c4b5a69788796a5b4c3d2e1f0"))?; // from your settings
/// let rules = SessionRules {
///     allowed: None,
///     development: true, // believes every address
///     ..SessionRules::default()
/// };
/// let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(SystemClock::new()));
/// let sessions = Sessions::new(store, clock, keys, rules);
///
/// let email = "ana@example.com".to_owned();
/// let session = sessions.sign_in(&Credential::Development { email }).await?;
/// let token = Credential::Bearer(session.token);
/// let ana = sessions.authenticate(&token).await?;
/// assert_eq!(ana.user.email, "ana@example.com");
/// sessions.sign_out(&ana).await?;
/// assert!(sessions.authenticate(&token).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Sessions {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    keys: SigningKeys,
    rules: SessionRules,
    issuer: Option<Arc<dyn Issuer>>,
    /// What was checked a moment ago, by what is left of its token: nobody who sees that can show it.
    believed: Believed<Fingerprint, Identity>,
    entropy: Entropy,
}

/// Who may sign in, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRules {
    /// How long a session lasts.
    pub lifetime: Duration,
    /// E-mail addresses of administrators, in any case. Applied at each sign-in.
    pub admins: BTreeSet<String>,
    /// Who else may sign in, by e-mail address in any case; `None` for everybody.
    pub allowed: Option<BTreeSet<String>>,
    /// Whether [`Credential::Development`] is believed.
    pub development: bool,
}

impl Default for SessionRules {
    /// 24 hours, nobody is an administrator, nobody may sign in.
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(24 * 3600),
            admins: BTreeSet::new(),
            allowed: Some(BTreeSet::new()),
            development: false,
        }
    }
}

impl Sessions {
    /// Sessions in `store`, signed by `keys`.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        keys: SigningKeys,
        rules: SessionRules,
    ) -> Self {
        let lower =
            |emails: BTreeSet<String>| emails.iter().map(|e| e.trim().to_lowercase()).collect();
        let rules = SessionRules {
            admins: lower(rules.admins),
            allowed: rules.allowed.map(lower),
            ..rules
        };
        Self {
            store,
            clock,
            keys,
            rules,
            issuer: None,
            believed: Believed::default(),
            entropy: Entropy::system(),
        }
    }

    /// Believes ID tokens that `issuer` vouches for.
    pub fn issuer(self, issuer: Arc<dyn Issuer>) -> Self {
        Self {
            issuer: Some(issuer),
            ..self
        }
    }

    /// Takes ids from here; for tests only.
    pub fn entropy(self, entropy: Entropy) -> Self {
        Self { entropy, ..self }
    }

    async fn person(&self, credential: &Credential) -> Result<Person> {
        match (credential, &self.issuer) {
            (Credential::Development { email }, _) if self.rules.development => {
                let email = Person::address(email).ok_or_else(|| {
                    Error::invalid(
                        "/email",
                        "An e-mail address is needed, such as ana@example.com.",
                    )
                })?;
                Ok(Person {
                    identity: format!("{DEVELOPMENT}#{email}"),
                    name: Person::name_from(&email),
                    avatar: None,
                    email,
                })
            }
            (Credential::IdToken(token), Some(issuer)) => issuer.vouch(token).await,
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                "This kind of sign-in is not offered here.",
            )),
        }
    }

    /// The user that a document is about, if there still is one.
    async fn user_of(&self, document: &Document) -> Result<Option<User>> {
        let id = document.body.as_str().and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| Error::internal("A document in the store names no user."))?;
        self.store.user(id).await
    }

    async fn of_token(&self, token: &Secret) -> Result<Identity> {
        let now = self.clock.now();
        let fingerprint = fingerprint(token.reveal());
        let begun = match self.believed.look(&fingerprint, now) {
            Ok(identity) => return Ok(identity),
            Err(begun) => begun,
        };
        let claims = self
            .keys
            .verify(token.reveal(), now)
            .ok_or_else(not_signed_in)?;
        if claims.iss != ISSUER || claims.aud != ISSUER {
            return Err(not_signed_in());
        }
        let session = self.store.document(SESSION, &claims.jti, now).await?;
        // Whoever shows a token of ours is no stranger, and may know why it is good for nothing.
        let session = session.ok_or_else(|| refused("This session has ended. Sign in again."))?;
        let user = self
            .user_of(&session)
            .await?
            .filter(|user| user.id == claims.id);
        let user = user.ok_or_else(|| refused("This user is not there any more."))?;
        in_good_standing(&user)?;
        let ends = Time::from_micros(claims.exp.saturating_mul(1_000_000));
        let identity = Identity {
            user,
            session: Some(claims.jti),
        };
        self.believed
            .note(fingerprint, begun, ends, identity.clone());
        Ok(identity)
    }
}

impl Sessions {
    fn did(&self, now: Time, who: UserId, did: Did, details: Value) -> DocChange {
        activity::did(&self.entropy, now, who, did, details)
    }
}

#[async_trait]
impl Auth for Sessions {
    async fn authenticate(&self, credential: &Credential) -> Result<Identity> {
        match credential {
            Credential::Anonymous => Err(not_signed_in()),
            Credential::Bearer(token) => self.of_token(token).await,
            other => {
                let (user, _) = self.admit(&self.person(other).await?, None).await?;
                Ok(Identity {
                    user,
                    session: None,
                })
            }
        }
    }

    async fn sign_in(&self, credential: &Credential) -> Result<SignedIn> {
        let person = self.person(credential).await?;
        let key = hex(&self.entropy.bytes::<16>());
        let (user, now) = self.admit(&person, Some(&key)).await?;
        let expires_at = now + self.rules.lifetime;
        let seconds = |t: Time| t.as_micros().div_euclid(1_000_000);
        let token = self.keys.sign(&Claims {
            id: user.id,
            email: user.email.clone(),
            role: user.role,
            iat: seconds(now),
            exp: seconds(expires_at),
            jti: key,
            iss: ISSUER.to_owned(),
            aud: ISSUER.to_owned(),
        })?;
        Ok(SignedIn {
            token,
            user,
            expires_at,
        })
    }

    async fn ends_at(&self, who: &Identity) -> Result<Option<Time>> {
        let Some(key) = &who.session else {
            return Ok(None);
        };
        let now = self.clock.now();
        let session = self.store.document(SESSION, key, now).await?;
        Ok(session.and_then(|session| session.expires_at))
    }

    async fn sign_out(&self, who: &Identity) -> Result<()> {
        let Some(key) = &who.session else {
            return Ok(());
        };
        let now = self.clock.now();
        let Some(session) = self.store.document(SESSION, key, now).await? else {
            return Ok(());
        };
        let changes = Changes {
            now,
            documents: vec![
                DocChange::remove(&session),
                self.did(now, who.user.id, Did::Logout, json!({})),
            ],
            events: vec![NewEvent::access_changed(who.user.id, now)],
            ..Changes::default()
        };
        let written = self.store.commit(&changes).await;
        self.believed
            .forget(|_, other| other.session.as_ref() == Some(key));
        match written {
            // Nothing changes a session but its end.
            Err(e) if *e.kind() == ErrorKind::Conflict => Ok(()),
            done => done,
        }
    }

    async fn changed(&self, user: UserId) {
        self.believed.forget(|_, other| other.user.id == user);
    }
}

/// A document that names a user and can be found by him.
fn about(user: UserId, kind: &str, key: &str, expires_at: Option<Time>) -> DocChange {
    DocChange::Put(Document {
        kind: kind.to_owned(),
        key: key.to_owned(),
        body: user.to_string().into(),
        index: [Some(user.to_string()), None, None],
        expires_at,
        version: 0,
    })
}

fn in_good_standing(user: &User) -> Result<()> {
    match user.standing {
        Standing::Active => Ok(()),
        Standing::Suspended => Err(Error::new(
            ErrorKind::Suspended,
            "This account is suspended.",
        )),
        Standing::Deleting => Err(not_signed_in()),
    }
}

/// One text for all, so that it tells a stranger nothing.
fn not_signed_in() -> Error {
    refused("Sign in first: there is no session token, or it is not valid any more.")
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Unauthenticated, why)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

mod admission;
#[cfg(test)]
mod tests;
