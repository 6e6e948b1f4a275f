//! What an ID token has to be to be believed. Pure: the keys of its issuer are fetched by somebody else.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;

use super::{IdToken, Person, ring_provider};
use crate::error::{Error, ErrorKind, Result};
use crate::time::Time;

/// Far longer than any provider's: what is longer is not worth hashing.
const TOKEN_MAX: usize = 16 * 1024;
/// How far an issuer's clock may be from ours, in seconds.
const LEEWAY: i64 = 60;
/// OpenID Connect allows no more.
const SUBJECT_MAX: usize = 255;
const NAME_MAX: usize = 200;
const AVATAR_MAX: usize = 2048;

/// Whose ID tokens are believed, and about whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdTokenRules {
    /// Who signs them, letter by letter.
    pub issuer: String,
    /// Whom they are for: our client id.
    pub client_id: String,
    /// The one domain whose members may sign in, by the claim `hd`.
    pub hosted_domain: Option<String>,
}

/// The keys that an issuer publishes, as far as they can sign ID tokens.
#[derive(Debug, Clone)]
pub struct KeySet(Vec<Key>);

#[derive(Debug, Clone)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// What is read of a token. A claim that comes twice is refused by `serde`.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
    nonce: Option<String>,
    hd: Option<String>,
    email: Option<String>,
    email_verified: Option<Value>,
    name: Option<String>,
    picture: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl KeySet {
    /// Reads a JSON Web Key Set. Keys that can't sign ID tokens here are left out: RSA signs RS256, P-256 signs ES256,
    /// whatever a token says.
    ///
    /// # Errors
    /// `Invalid` for what is no such set.
    pub fn parse(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        ring_provider::install();
        let set: Set = serde_json::from_slice(json)
            .map_err(|e| Error::invalid("", "This is no set of keys.").caused_by(e))?;
        let keys = set.keys.into_iter().filter_map(Key::read);
        Ok(Self(keys.collect()))
    }

    /// Whether `token` names a key that might have been published since.
    pub fn lacks(&self, token: &IdToken) -> bool {
        header(token).is_some_and(|header| header.kid.is_some() && self.of(&header).is_none())
    }

    fn of(&self, header: &Header) -> Option<&Key> {
        let fits = |key: &&Key| key.algorithm == header.alg;
        match &header.kid {
            Some(id) => self
                .0
                .iter()
                .filter(fits)
                .find(|key| key.id.as_ref() == Some(id)),
            // One that has only one key need not name it.
            None if self.0.len() == 1 => self.0.first().filter(fits),
            None => None,
        }
    }
}

impl Key {
    fn read(jwk: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let (algorithm, named) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            _ => return None,
        };
        let common = &jwk.common;
        let signs = common.public_key_use.as_ref();
        let signs = signs.is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
        let agrees = common.key_algorithm.is_none_or(|name| name == named);
        (signs && agrees).then_some(())?;
        Some(Self {
            id: common.key_id.clone(),
            algorithm,
            key: DecodingKey::from_jwk(&jwk).ok()?,
        })
    }
}

impl IdTokenRules {
    /// Whom `token` is about, if it is to be believed.
    ///
    /// # Errors
    /// As [`super::Issuer::vouch`].
    pub fn check(&self, token: &IdToken, keys: &KeySet, now: Time) -> Result<Person> {
        let claims = signed(token, keys).ok_or_else(not_valid)?;
        let nonce = token.nonce.as_ref().map(|nonce| nonce.reveal());
        let answers = nonce.is_none_or(|nonce| claims.nonce.as_deref() == Some(nonce));
        let subject = &claims.sub;
        let plain = subject.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        let is_somebody = plain && (1..=SUBJECT_MAX).contains(&subject.len());
        let is_ours = claims.iss == self.issuer && claims.is_for(&self.client_id);
        if !(is_ours && claims.is_current(now) && answers && is_somebody) {
            return Err(not_valid());
        }
        if let Some(domain) = &self.hosted_domain
            && !claims
                .hd
                .as_ref()
                .is_some_and(|hd| hd.eq_ignore_ascii_case(domain))
        {
            return Err(Error::new(
                ErrorKind::Forbidden,
                format!("Only members of {domain} may sign in."),
            ));
        }
        self.person(claims)
    }

    fn person(&self, claims: Claims) -> Result<Person> {
        let email = claims.email.as_deref().and_then(Person::address);
        let email = email
            .ok_or_else(|| Error::invalid("/token", "This ID token names no e-mail address."))?;
        // Some providers write it as text.
        let verified = [Value::Bool(true), "true".into()];
        if !claims
            .email_verified
            .is_some_and(|is| verified.contains(&is))
        {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "The provider has not verified that this e-mail address is yours.",
            ));
        }
        let name = claims.name.unwrap_or_default();
        let name: String = name
            .chars()
            .filter(|c| !c.is_control())
            .take(NAME_MAX)
            .collect();
        let name = match name.trim() {
            "" => Person::name_from(&email),
            name => name.to_owned(),
        };
        let plain = |url: &String| {
            let graphic = url.bytes().all(|b| b.is_ascii_graphic());
            url.starts_with("https://") && url.len() <= AVATAR_MAX && graphic
        };
        Ok(Person {
            identity: format!("{}#{}", self.issuer, claims.sub),
            email,
            name,
            avatar: claims.picture.filter(plain),
        })
    }
}

impl Claims {
    /// Whether it was issued for `client`, and to nobody else.
    fn is_for(&self, client: &str) -> bool {
        let (named, alone) = match &self.aud {
            Audience::One(one) => (one == client, true),
            Audience::Many(many) => (many.iter().any(|one| one == client), many.len() == 1),
        };
        let party = self.azp.as_deref();
        named && (alone || party.is_some()) && party.is_none_or(|party| party == client)
    }

    fn is_current(&self, now: Time) -> bool {
        let now = now.as_micros().div_euclid(1_000_000);
        let latest = now.saturating_add(LEEWAY);
        self.exp > now.saturating_sub(LEEWAY)
            && self.iat <= latest
            && self.nbf.is_none_or(|nbf| nbf <= latest)
    }
}

/// The header of a token that may be an ID token. Keys and addresses that it brings along are never used.
fn header(token: &IdToken) -> Option<Header> {
    let token = token.token.reveal();
    if token.len() > TOKEN_MAX {
        return None;
    }
    let header = decode_header(token).ok()?;
    // An access token has a type of its own, and an extension that must be understood is not.
    let is_plain = header
        .typ
        .as_ref()
        .is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"))
        && header.cty.is_none()
        && header.crit.is_none();
    let allowed = matches!(header.alg, Algorithm::RS256 | Algorithm::ES256);
    (is_plain && allowed).then_some(header)
}

/// What a token says, if one of the keys has signed it.
fn signed(token: &IdToken, keys: &KeySet) -> Option<Claims> {
    let header = header(token)?;
    let key = keys.of(&header)?;
    let mut validation = Validation::new(key.algorithm);
    // Times go by our clock; who and for whom is compared by the caller, as it stands.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let token = decode(token.token.reveal(), &key.key, &validation).ok()?;
    Some(token.claims)
}

/// One text for all, so that it helps nobody to forge one.
fn not_valid() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "This ID token is not valid here, or not any more.",
    )
}
