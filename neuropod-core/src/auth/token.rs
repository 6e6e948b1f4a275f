//! Session tokens: HS256, with one key that signs and perhaps an older one that still verifies.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::ring_provider;
use crate::error::{Error, Result};
use crate::id::UserId;
use crate::pod::Secret;
use crate::time::Time;
use crate::user::Role;

const SECRET_MIN: usize = 32;
/// Far longer than any token of ours: what is longer is not worth hashing.
const TOKEN_MAX: usize = 4096;
// Long enough that no random secret holds one by chance.
const PLACEHOLDERS: [&str; 9] = [
    "change",
    "example",
    "placeholder",
    "secret",
    "password",
    "your-",
    "your_",
    "default",
    "replace",
];

/// A token as it is kept: nobody who sees it can show it.
pub(super) type Fingerprint = [u8; 32];

pub(super) fn fingerprint(token: &str) -> Fingerprint {
    let hash = digest(&SHA256, token.as_bytes());
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) id: UserId,
    pub(super) email: String,
    pub(super) role: Role,
    /// Seconds since 1970.
    pub(super) iat: i64,
    /// Seconds since 1970.
    pub(super) exp: i64,
    pub(super) jti: String,
    pub(super) iss: String,
    pub(super) aud: String,
}

/// The secrets that sign and verify session tokens. `Debug` shows their ids only.
pub struct SigningKeys {
    signing: Key,
    previous: Option<Key>,
}

struct Key {
    id: String,
    /// The one header that tokens of this key have, as it stands in them.
    header: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl SigningKeys {
    /// Signs with `secret`.
    ///
    /// # Errors
    /// `Invalid` for a secret of fewer than 32 bytes, or one that was never meant to be used.
    pub fn new(secret: &Secret) -> Result<Self> {
        Ok(Self {
            signing: Key::new(secret)?,
            previous: None,
        })
    }

    /// Goes on to accept what `secret` has signed, so that a new secret ends nobody's session.
    ///
    /// # Errors
    /// As [`SigningKeys::new`].
    pub fn accepting(self, secret: &Secret) -> Result<Self> {
        Ok(Self {
            previous: Some(Key::new(secret)?),
            ..self
        })
    }

    pub(super) fn sign(&self, claims: &Claims) -> Result<Secret> {
        let key = &self.signing;
        let token = jsonwebtoken::encode(&header(&key.id), claims, &key.encoding)
            .map_err(|e| Error::internal("A session token can't be signed.").caused_by(e))?;
        Ok(Secret::new(token))
    }

    /// What `token` says, if one of our keys has signed it and it has not expired.
    pub(super) fn verify(&self, token: &str, now: Time) -> Option<Claims> {
        if token.len() > TOKEN_MAX {
            return None;
        }
        // Our headers are fixed texts. Comparing them leaves a stranger no say in algorithm, key or its place.
        let (header, _) = token.split_once('.')?;
        let key = [Some(&self.signing), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|key| key.header == header)?;
        let mut validation = Validation::new(Algorithm::HS256);
        // Expiry goes by our clock; issuer and audience are compared by the caller, as they stand.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let claims: Claims = jsonwebtoken::decode(token, &key.decoding, &validation)
            .ok()?
            .claims;
        (claims.exp > now.as_micros().div_euclid(1_000_000)).then_some(claims)
    }
}

impl Key {
    fn new(secret: &Secret) -> Result<Self> {
        ring_provider::install();
        let secret = secret.reveal();
        refuse_weak(secret)?;
        let hash = digest(&SHA256, format!("neuropod session key {secret}").as_bytes());
        let id: String = hash.as_ref()[..4]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let encoding = EncodingKey::from_secret(secret.as_bytes());
        let sample = jsonwebtoken::encode(&header(&id), &(), &encoding)
            .map_err(|e| Error::internal("A session token can't be signed.").caused_by(e))?;
        let header = sample.split('.').next().unwrap_or_default().to_owned();
        Ok(Self {
            id,
            header,
            encoding,
            decoding: DecodingKey::from_secret(secret.as_bytes()),
        })
    }
}

fn header(key: &str) -> Header {
    Header {
        kid: Some(key.to_owned()),
        ..Header::new(Algorithm::HS256)
    }
}

fn refuse_weak(secret: &str) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::invalid(
            "",
            format!(
                "The secret that signs sessions {why}; `openssl rand -hex 32` makes a good one."
            ),
        ))
    };
    let lower = secret.to_ascii_lowercase();
    let different: std::collections::BTreeSet<u8> = secret.bytes().collect();
    if secret.len() < SECRET_MIN {
        refuse("is shorter than 32 bytes")
    } else if PLACEHOLDERS.iter().any(|word| lower.contains(word)) {
        refuse("is a placeholder")
    } else if different.len() < 8 {
        refuse("repeats a few characters")
    } else {
        Ok(())
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = [Some(&self.signing), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .map(|key| &key.id);
        f.debug_list().entries(ids).finish()
    }
}

#[cfg(test)]
mod tests;
