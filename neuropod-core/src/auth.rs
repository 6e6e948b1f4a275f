//! The trait of sign-in, and the ready-made answer to "may this caller do that": owner or administrator.

mod id_token;
mod person;
mod ring_provider;
pub(crate) mod sessions;
mod token;

use std::fmt;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Result};
use crate::id::UserId;
use crate::pod::Secret;
use crate::time::Time;
use crate::user::{Role, Standing, User};

pub use id_token::{IdTokenRules, KeySet};
#[cfg(feature = "mock")]
pub use person::MockIssuer;
pub use person::{Issuer, Person};
pub use sessions::{SessionRules, Sessions};
pub use token::SigningKeys;

/// Tells who is asking, and whether they may.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Auth: fmt::Debug + Send + Sync + 'static {
    /// Who this is.
    ///
    /// # Errors
    /// `Unauthenticated` if nobody or nobody known, `Suspended`; `Unreachable` if that can't be told now.
    async fn authenticate(&self, credential: &Credential) -> Result<Identity>;

    /// Whether `who` may do `action` to what `owner` has.
    ///
    /// # Errors
    /// `NotFound` for somebody else's object (a stranger can't tell it from one that is not there), `Forbidden`.
    async fn authorize(&self, who: &Identity, action: Action, owner: Owner) -> Result<()> {
        owner_or_admin(who, action, owner)
    }

    /// Opens a session for whoever `credential` is, and makes a user of a newcomer.
    ///
    /// # Errors
    /// As [`Auth::authenticate`]; `Forbidden` for those who may not sign in; `Unsupported` where there are no sessions,
    /// or none for this kind of credential.
    async fn sign_in(&self, credential: &Credential) -> Result<SignedIn> {
        let _ = credential;
        Err(Error::new(
            ErrorKind::Unsupported,
            "This installation has no sessions.",
        ))
    }

    /// When the session that `who` came with ends by itself; `None` if it does not, or has ended.
    async fn ends_at(&self, who: &Identity) -> Result<Option<Time>> {
        let _ = who;
        Ok(None)
    }

    /// Ends the session that `who` came with. One that has ended is no error.
    async fn sign_out(&self, who: &Identity) -> Result<()> {
        let _ = who;
        Ok(())
    }

    /// Hears that a user was suspended, deleted, or let go on: what is remembered of him, if anything, is not so any more.
    async fn changed(&self, user: UserId) {
        let _ = user;
    }
}

/// A session that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// What the caller shows from now on, as [`Credential::Bearer`].
    pub token: Secret,
    /// Whose session it is.
    pub user: User,
    /// When it ends by itself.
    pub expires_at: Time,
}

/// What a caller shows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// Nothing.
    Anonymous,
    /// A session token.
    Bearer(Secret),
    /// An ID token of an OIDC provider.
    IdToken(IdToken),
    /// An e-mail address, believed as it is: development only.
    Development {
        /// The address.
        email: String,
    },
}

/// An ID token, and what it has to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdToken {
    /// The token.
    pub token: Secret,
    /// What its issuer was asked to write into it, if it was asked for by us.
    pub nonce: Option<Secret>,
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: User,
    /// The session, if there is one.
    pub session: Option<String>,
}

impl Identity {
    /// Whether this is an administrator.
    pub fn is_admin(&self) -> bool {
        self.user.role == Role::Admin
    }
}

/// What a caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Look at something of the owner's.
    Read,
    /// Stop or delete something of the owner's.
    End,
    /// Launch or start something that costs the owner money.
    Spend,
    /// Change users, prices, templates, or look at everybody's.
    Administer,
}

/// Whose object it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A user's.
    User(UserId),
    /// The platform's own.
    Platform,
}

/// Owners may do everything with what is theirs, administrators with everything; suspended users may only look and
/// end.
///
/// # Errors
/// As [`Auth::authorize`].
pub fn owner_or_admin(who: &Identity, action: Action, owner: Owner) -> Result<()> {
    if action == Action::Spend && who.user.standing != Standing::Active {
        return Err(Error::new(
            ErrorKind::Suspended,
            "This account is suspended.",
        ));
    }
    match owner {
        _ if who.is_admin() => Ok(()),
        Owner::User(id) if id == who.user.id && action != Action::Administer => Ok(()),
        Owner::User(_) if action != Action::Administer => Err(Error::new(
            ErrorKind::NotFound,
            "There is no such object, or it is not yours.",
        )),
        _ => Err(Error::new(
            ErrorKind::Forbidden,
            "Only an administrator may do this.",
        )),
    }
}

/// Believes everybody and allows everything: for a program that is its own only user.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

#[async_trait]
impl Auth for AllowAll {
    async fn authenticate(&self, _: &Credential) -> Result<Identity> {
        Ok(Identity::local())
    }
    async fn authorize(&self, _: &Identity, _: Action, _: Owner) -> Result<()> {
        Ok(())
    }
}

impl Identity {
    /// The one user of a program that has no users: an administrator without a row.
    pub fn local() -> Self {
        let user = User {
            id: UserId::from_bytes([0; 12]),
            identity: "local".to_owned(),
            email: "local@localhost".to_owned(),
            name: "local".to_owned(),
            avatar: None,
            role: Role::Admin,
            standing: Standing::Active,
            plan: "free".to_owned(),
            created_at: crate::Time::EPOCH,
            version: 0,
        };
        Self {
            user,
            session: None,
        }
    }
}
