//! People whom somebody else knows, and the trait of those who vouch for them.

use std::fmt;

use async_trait::async_trait;

use super::IdToken;
use crate::error::Result;

/// Somebody an issuer vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// `<issuer>#<subject>`: who this is, whatever the address is today.
    pub identity: String,
    /// The e-mail address, as [`Person::address`] writes it.
    pub email: String,
    /// What to call this person.
    pub name: String,
    /// URL of a picture.
    pub avatar: Option<String>,
}

/// Tells whom an ID token is about.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Issuer: fmt::Debug + Send + Sync + 'static {
    /// Whom this token is about.
    ///
    /// # Errors
    /// `Unauthenticated` for a token that is not to be believed, `Forbidden` for somebody who may not sign in, `Invalid`
    /// for a token that lacks what a user needs; `Unreachable` if that can't be told now.
    async fn vouch(&self, token: &IdToken) -> Result<Person>;
}

impl Person {
    /// An e-mail address as it is compared and kept, if the text can be one.
    pub fn address(text: &str) -> Option<String> {
        let email = text.trim().to_lowercase();
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '@';
        let part = |text: &str| !text.is_empty() && text.chars().all(plain);
        let (local, domain) = email.split_once('@')?;
        let is_one = email.len() <= 254 && part(local) && part(domain);
        is_one.then_some(email)
    }

    /// What to call somebody of whom no more is known than an address.
    pub fn name_from(email: &str) -> String {
        email.split('@').next().unwrap_or_default().to_owned()
    }
}
