//! Sign-in with sessions: a token for the caller, a document of the store for us, checked on every request, so that
//! signing out, suspension, demotion and deletion take effect at once on every replica.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::token::{Claims, SigningKeys};
use super::{Auth, Credential, Identity, SignedIn};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AccountId, Entropy, UserId};
use crate::money::Money;
use crate::platform::prices_in;
use crate::pod::Secret;
use crate::store::{
    AccountChange, Changes, DocChange, Document, Store, StoreExt, Transfer, TransferQuery,
};
use crate::time::{Clock, Time};
use crate::user::{Role, Standing, User};

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

/// Somebody an issuer vouches for.
struct Person {
    /// `<issuer>#<subject>`.
    identity: String,
    email: String,
    name: String,
}

impl Sessions {
    /// Sessions in `store`, signed by `keys`.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        keys: SigningKeys,
        rules: SessionRules,
    ) -> Self {
        let lower = |emails: BTreeSet<String>| emails.iter().map(|e| normal(e)).collect();
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
            entropy: Entropy::system(),
        }
    }

    /// Takes ids from here; for tests only.
    pub fn entropy(self, entropy: Entropy) -> Self {
        Self { entropy, ..self }
    }

    fn person(&self, credential: &Credential) -> Result<Person> {
        match credential {
            Credential::Development { email } if self.rules.development => {
                let email = normal(email);
                if !looks_like_an_address(&email) {
                    return Err(Error::invalid(
                        "/email",
                        "An e-mail address is needed, such as ana@example.com.",
                    ));
                }
                let name = email.split('@').next().unwrap_or_default().to_owned();
                Ok(Person {
                    identity: format!("{DEVELOPMENT}#{email}"),
                    email,
                    name,
                })
            }
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                "This kind of sign-in is not offered here.",
            )),
        }
    }

    /// The user that `person` is, with what has to be written for that: all of it for a new one, a change of role, or
    /// nothing.
    async fn known(&self, person: &Person, now: Time) -> Result<(User, Changes)> {
        let is_admin = self.rules.admins.contains(&person.email);
        let allowed = self.rules.allowed.as_ref();
        if !is_admin && allowed.is_some_and(|list| !list.contains(&person.email)) {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "This e-mail address is not on the list of those who may sign in.",
            ));
        }
        let role = if is_admin { Role::Admin } else { Role::Client };
        let mut changes = Changes {
            now,
            ..Changes::default()
        };
        // In this order: both are written at once, so an address that is taken while its identity is not there
        // is somebody else's.
        let address = self.store.document(EMAIL, &person.email, now).await?;
        let identity = self.store.document(IDENTITY, &person.identity, now).await?;
        let user = match (identity, address) {
            (Some(identity), _) => self.user_of(&identity).await?.ok_or_else(not_signed_in)?,
            (None, Some(_)) => {
                return Err(Error::new(
                    ErrorKind::Forbidden,
                    "This e-mail address belongs to another account.",
                ));
            }
            (None, None) => {
                let user = self.newcomer(person, role, now);
                for (kind, key) in [(IDENTITY, &person.identity), (EMAIL, &person.email)] {
                    changes.documents.push(about(user.id, kind, key, None));
                }
                user
            }
        };
        in_good_standing(&user)?;
        if user.version == 0 || user.role != role {
            changes.users.push(User {
                role,
                ..user.clone()
            });
            let account = AccountId::of(user.id);
            let unlimited = role == Role::Admin;
            if !unlimited {
                changes.transfers.extend(self.gift(&account, now).await?);
            }
            changes.accounts.push(AccountChange {
                id: account,
                unlimited,
            });
        }
        Ok((User { role, ..user }, changes))
    }

    /// What the price list gives to whoever has never had anything.
    async fn gift(&self, account: &AccountId, now: Time) -> Result<Option<Transfer>> {
        let Some((_, prices)) = prices_in(&*self.store, now).await? else {
            return Ok(None);
        };
        let amount = prices.free_tier.initial_balance;
        if !prices.free_tier.enabled || amount <= Money::ZERO {
            return Ok(None);
        }
        let any = TransferQuery {
            account: account.clone(),
            after: None,
            limit: 1,
        };
        let has_had = !self.store.transfers(&any).await?.items.is_empty();
        Ok((!has_had).then(|| Transfer {
            id: format!("gift/{account}"),
            debit: AccountId::from("grants"),
            credit: account.clone(),
            amount,
            memo: "Welcome".to_owned(),
            actor: None,
            at: now,
            charge: None,
        }))
    }

    fn newcomer(&self, person: &Person, role: Role, now: Time) -> User {
        User {
            id: UserId::random(&self.entropy),
            identity: person.identity.clone(),
            email: person.email.clone(),
            name: person.name.clone(),
            avatar: None,
            role,
            standing: Standing::Active,
            plan: "free".to_owned(),
            created_at: now,
            version: 0,
        }
    }

    /// Writes what makes `person` a user, and a session if its key is given. Answers since when.
    async fn admit(&self, person: &Person, session: Option<&str>) -> Result<(User, Time)> {
        for _ in 0..ATTEMPTS {
            let now = self.clock.now();
            let (mut user, mut changes) = self.known(person, now).await?;
            if let Some(key) = session {
                let until = Some(now + self.rules.lifetime);
                changes.documents.push(about(user.id, SESSION, key, until));
            }
            if changes.users.is_empty() && changes.documents.is_empty() {
                return Ok((user, now));
            }
            user.version += changes.users.len() as u64;
            match self.store.commit(&changes).await {
                Err(e) if *e.kind() == ErrorKind::Conflict => {}
                done => return done.map(|()| (user, now)),
            }
        }
        Err(Error::conflict(
            "Others signed in as the same person at the same time; try again.",
        ))
    }

    /// The user that a document is about, if there still is one.
    async fn user_of(&self, document: &Document) -> Result<Option<User>> {
        let id = document.body.as_str().and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| Error::internal("A document in the store names no user."))?;
        self.store.user(id).await
    }

    async fn of_token(&self, token: &Secret) -> Result<Identity> {
        let now = self.clock.now();
        let claims = self
            .keys
            .verify(token.reveal(), now)
            .ok_or_else(not_signed_in)?;
        if claims.iss != ISSUER || claims.aud != ISSUER {
            return Err(not_signed_in());
        }
        let session = self.store.document(SESSION, &claims.jti, now).await?;
        let session = session.ok_or_else(not_signed_in)?;
        let user = self
            .user_of(&session)
            .await?
            .filter(|user| user.id == claims.id);
        let user = user.ok_or_else(not_signed_in)?;
        in_good_standing(&user)?;
        Ok(Identity {
            user,
            session: Some(claims.jti),
        })
    }
}

#[async_trait]
impl Auth for Sessions {
    async fn authenticate(&self, credential: &Credential) -> Result<Identity> {
        match credential {
            Credential::Anonymous => Err(not_signed_in()),
            Credential::Bearer(token) => self.of_token(token).await,
            other => {
                let (user, _) = self.admit(&self.person(other)?, None).await?;
                Ok(Identity {
                    user,
                    session: None,
                })
            }
        }
    }

    async fn sign_in(&self, credential: &Credential) -> Result<SignedIn> {
        let person = self.person(credential)?;
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

    async fn sign_out(&self, who: &Identity) -> Result<()> {
        let Some(key) = &who.session else {
            return Ok(());
        };
        let now = self.clock.now();
        let Some(session) = self.store.document(SESSION, key, now).await? else {
            return Ok(());
        };
        let remove = DocChange::Remove {
            kind: session.kind,
            key: session.key,
            version: session.version,
        };
        let changes = Changes {
            now,
            documents: vec![remove],
            ..Changes::default()
        };
        match self.store.commit(&changes).await {
            // Nothing changes a session but its end.
            Err(e) if *e.kind() == ErrorKind::Conflict => Ok(()),
            done => done,
        }
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
    Error::new(
        ErrorKind::Unauthenticated,
        "Sign in first: there is no session token, or it is not valid any more.",
    )
}

/// An e-mail address as it is compared and kept.
fn normal(email: &str) -> String {
    email.trim().to_lowercase()
}

fn looks_like_an_address(email: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '@';
    let part = |text: &str| !text.is_empty() && text.chars().all(plain);
    email.len() <= 254
        && email
            .split_once('@')
            .is_some_and(|(local, domain)| part(local) && part(domain))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests;
