//! Keys that sign ID tokens, or what is to pass for one.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair as RsaKeyPair;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PSS_SHA256,
    RsaEncoding, RsaPublicKeyComponents,
};
use serde_json::{Value, json};

/// Signs nothing but what these tests forge. Making one takes a second, so it is kept.
const RSA: &str = include_str!("rsa.b64");

pub(crate) struct Signer {
    pub(crate) id: String,
    key: Key,
}

enum Key {
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>, &'static EcdsaSigningAlgorithm),
}

impl Signer {
    /// The one RSA key there is.
    pub(crate) fn rsa(id: &str) -> Self {
        let text: String = RSA.split_whitespace().collect();
        let der = STANDARD.decode(text).unwrap();
        let key = RsaKeyPair::from_pkcs8(&der).unwrap();
        Self {
            id: id.to_owned(),
            key: Key::Rsa(Box::new(key)),
        }
    }

    /// A new P-256 key.
    pub(crate) fn ec(id: &str) -> Self {
        Self::on(id, &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    /// A new P-384 key.
    pub(crate) fn ec384(id: &str) -> Self {
        Self::on(id, &ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    fn on(id: &str, algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Self {
            id: id.to_owned(),
            key: Key::Ec(Box::new(key), algorithm),
        }
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match &self.key {
            Key::Rsa(_) => "RS256",
            Key::Ec(_, algorithm) if *algorithm == &ECDSA_P256_SHA256_FIXED_SIGNING => "ES256",
            Key::Ec(..) => "ES384",
        }
    }

    /// The public half, as it is published.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match &self.key {
            Key::Rsa(key) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({ "kty": "RSA", "n": base64(public.n), "e": base64(public.e) })
            }
            Key::Ec(key, _) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "x": base64(x), "y": base64(y) })
            }
        };
        jwk["kid"] = self.id.as_str().into();
        jwk["alg"] = self.algorithm().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// The public half as bytes: of RSA the modulus, of a curve the point.
    pub(crate) fn public(&self) -> Vec<u8> {
        match &self.key {
            Key::Rsa(key) => RsaPublicKeyComponents::from(key.public()).n,
            Key::Ec(key, _) => key.public_key().as_ref().to_vec(),
        }
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "alg": self.algorithm(), "kid": self.id, "typ": "JWT" })
    }

    /// A token that says this.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), &claims.to_string())
    }

    /// A token of any header and any claims.
    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", base64(header), base64(claims));
        let signature = self.signature(message.as_bytes());
        format!("{message}.{}", base64(signature))
    }

    pub(crate) fn signature(&self, message: &[u8]) -> Vec<u8> {
        match &self.key {
            Key::Rsa(_) => self.rsa_signature(&RSA_PKCS1_SHA256, message),
            Key::Ec(key, _) => {
                let signature = key.sign(&SystemRandom::new(), message).unwrap();
                signature.as_ref().to_vec()
            }
        }
    }

    /// As PS256 and RS384 sign.
    pub(crate) fn others(&self, message: &[u8]) -> [(&'static str, Vec<u8>); 2] {
        [
            ("PS256", self.rsa_signature(&RSA_PSS_SHA256, message)),
            ("RS384", self.rsa_signature(&RSA_PKCS1_SHA384, message)),
        ]
    }

    fn rsa_signature(&self, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
        let Key::Rsa(key) = &self.key else {
            panic!("no RSA key")
        };
        let mut signature = vec![0; key.public().modulus_len()];
        let random = SystemRandom::new();
        key.sign(encoding, &random, message, &mut signature)
            .unwrap();
        signature
    }
}

/// As everything in a token is written.
pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
