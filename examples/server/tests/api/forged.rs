//! Tokens that nobody of ours has made, or that stand for nothing: as session tokens and as ID tokens. None opens
//! anything, none makes the server fail, and none makes it ask somebody else.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

use crate::google::Site;
use crate::oidc::{CLIENT, DISCOVERY, Issuer, KEYS, Signer, base64, now, patch};
use crate::support::{ANA, BEN, ROOT, SECRET};

type Forgeries = Vec<(String, String)>;

/// What is forged: a good token, and its parts.
struct Pattern<'a> {
    good: &'a str,
    header: &'a Value,
    claims: &'a Value,
    /// Signs rightly, whatever header and claims are.
    sign: &'a dyn Fn(&str, &str) -> String,
    /// What everybody may know of the key that signs, in all its forms.
    public: &'a [Vec<u8>],
    /// A server that should hear nothing.
    canary: &'a str,
}

impl Pattern<'_> {
    fn with_header(&self, changes: Value) -> String {
        let mut header = self.header.clone();
        patch(&mut header, &changes);
        self.of_header(&header.to_string())
    }

    fn of_header(&self, header: &str) -> String {
        (self.sign)(header, &self.claims.to_string())
    }

    fn of_claims(&self, claims: &str) -> String {
        (self.sign)(&self.header.to_string(), claims)
    }

    fn with_claims(&self, changes: Value) -> String {
        let mut claims = self.claims.clone();
        patch(&mut claims, &changes);
        self.of_claims(&claims.to_string())
    }

    /// Not tokens, or not as tokens are written.
    fn shapes(&self) -> Forgeries {
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
    fn algorithms(&self) -> Forgeries {
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
    fn keys(&self) -> Forgeries {
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
    fn extensions(&self) -> Forgeries {
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

fn named<const N: usize>(all: [(&str, String); N]) -> Forgeries {
    all.map(|(name, token)| (name.to_owned(), token)).into()
}

/// Both ways to show a token. What is too long for a header is shown in a body only.
async fn show(site: &Site, name: &str, token: &str) {
    let headers = token.len() < 100_000;
    if headers {
        let verify = site.server.get("/api/auth/verify").bearer(token);
        let status = verify.send().await.status;
        assert!(
            (400..500).contains(&status),
            "{status} to {name} as a session token"
        );
    }
    let status = site.post(token).await.status;
    assert!(
        (400..500).contains(&status),
        "{status} to {name} as an ID token"
    );
}

/// What only a provider's own key could say.
fn of_a_provider(pattern: &Pattern, signer: &Signer) -> Forgeries {
    let (url, client) = (pattern.claims["iss"].as_str().unwrap(), CLIENT);
    let mut all = Forgeries::new();
    for claims in [
        json!({ "iss": "https://evil.example" }),
        json!({ "iss": format!("{url}/") }),
        json!({ "iss": url.to_uppercase() }),
        json!({ "iss": url.replace("http:", "https:") }),
        json!({ "iss": "" }),
        json!({ "iss": [url] }),
        json!({ "iss": null }),
        json!({ "aud": "another-client" }),
        json!({ "aud": "" }),
        json!({ "aud": &client[..8] }),
        json!({ "aud": client.to_uppercase() }),
        json!({ "aud": [] }),
        json!({ "aud": ["another-client"] }),
        json!({ "aud": [client, "another-client"] }),
        json!({ "aud": [client, "another-client"], "azp": "another-client" }),
        json!({ "azp": "another-client" }),
        json!({ "azp": [client] }),
        json!({ "aud": { "0": client } }),
        json!({ "aud": 1 }),
        json!({ "aud": null }),
        json!({ "exp": now() - 3600 }),
        json!({ "exp": 0 }),
        json!({ "exp": -1 }),
        json!({ "exp": (now() + 3600).to_string() }),
        json!({ "exp": 1e18 }),
        json!({ "exp": [now() + 3600] }),
        json!({ "exp": true }),
        json!({ "exp": null }),
        json!({ "iat": now() + 3600 }),
        json!({ "iat": "now" }),
        json!({ "iat": null }),
        json!({ "nbf": now() + 3600 }),
        json!({ "nbf": "now" }),
        json!({ "sub": "" }),
        json!({ "sub": 1 }),
        json!({ "sub": ["1"] }),
        json!({ "sub": "1\n" }),
        json!({ "sub": "1".repeat(256) }),
        json!({ "sub": null }),
        json!({ "email": [ANA] }),
        json!({ "email_verified": false }),
        json!({ "email_verified": null }),
    ] {
        all.push((claims.to_string(), pattern.with_claims(claims)));
    }
    let exp = pattern.claims["exp"].to_string();
    for number in [
        "1e309",
        "-1e309",
        "18446744073709551616",
        "9223372036854775808",
        "-9223372036854775809",
        "0x7fffffff",
        "NaN",
    ] {
        let claims = pattern.claims.to_string().replace(&exp, number);
        all.push((format!("exp {number}"), pattern.of_claims(&claims)));
    }
    all.push((
        "no key named where there are two".into(),
        pattern.with_header(json!({ "kid": null })),
    ));

    // Signatures that are none.
    let message = pattern.good.rsplit_once('.').unwrap().0;
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> = (0..32)
        .map(|n| u8::from_str_radix(&order[2 * n..][..2], 16).unwrap())
        .collect();
    let real = signer.signature(message.as_bytes());
    let (r, rest) = real.split_at(32);
    let der = [&[0x30, 0x44, 0x02, 0x20][..], r, &[0x02, 0x20], &rest[..32]].concat();
    for (name, signature) in [
        ("zeros", vec![0; real.len()]),
        ("r = 0", [&[0; 32], rest].concat()),
        ("s = 0", [r, &[0; 32]].concat()),
        ("r = s = n", [order.clone(), order.clone()].concat()),
        ("s = n", [r, &order].concat()),
        ("DER", der),
        ("one byte less", real[..real.len() - 1].to_vec()),
        ("one byte more", [&real[..], &[0]].concat()),
        ("of something else", signer.signature(b"something else")),
    ] {
        all.push((
            format!("signature {name}"),
            format!("{message}.{}", base64(signature)),
        ));
    }
    all
}

/// What only our own secret could say.
fn of_ours(pattern: &Pattern) -> Forgeries {
    let mut all = Forgeries::new();
    for claims in [
        json!({ "iss": "neuropod/" }),
        json!({ "iss": ["neuropod"] }),
        json!({ "iss": null }),
        json!({ "aud": "Neuropod" }),
        json!({ "aud": ["neuropod"] }),
        json!({ "aud": null }),
        json!({ "exp": now() - 1 }),
        json!({ "exp": 0 }),
        json!({ "exp": -1 }),
        json!({ "exp": "9999999999" }),
        json!({ "exp": 1e18 }),
        json!({ "exp": null }),
        json!({ "iat": "now" }),
        json!({ "jti": "" }),
        json!({ "jti": "0".repeat(32) }),
        json!({ "jti": ["x"] }),
        json!({ "jti": "../../identity/x" }),
        json!({ "jti": null }),
        json!({ "id": "000000000000000000000000" }),
        json!({ "id": "x" }),
        json!({ "id": 1 }),
        json!({ "id": null }),
        json!({ "role": "root" }),
        json!({ "role": null }),
        json!({ "email": null }),
    ] {
        all.push((claims.to_string(), pattern.with_claims(claims)));
    }
    let exp = pattern.claims["exp"].to_string();
    for number in ["1e309", "18446744073709551616", "-9223372036854775809"] {
        let claims = pattern.claims.to_string().replace(&exp, number);
        all.push((format!("exp {number}"), pattern.of_claims(&claims)));
    }
    all
}

/// A public key in the forms in which people pass it around.
fn forms(signer: &Signer) -> Vec<Vec<u8>> {
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

/// A session of Ben's.
async fn ben(site: &Site) -> String {
    let token = site.token(json!({ "sub": "2", "email": BEN }));
    let answer = site.post(&token).await.json();
    answer["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn forged_id_tokens_are_refused() {
    let canary = Issuer::start().await;
    for signer in [Signer::ec("first"), Signer::rsa("first")] {
        let site = Site::over(Issuer::with(signer).await, &[]).await;
        let signer = site.issuer.signer();
        let (header, claims) = (signer.header(), site.issuer.claims(now()));
        let good = signer.token(&claims);
        let pattern = Pattern {
            good: &good,
            header: &header,
            claims: &claims,
            sign: &|header, claims| signer.sign(header, claims),
            public: &forms(&signer),
            canary: &canary.url,
        };
        let mut all = [
            pattern.shapes(),
            pattern.algorithms(),
            pattern.keys(),
            pattern.extensions(),
        ]
        .concat();
        all.extend(of_a_provider(&pattern, &signer));
        if signer.algorithm() == "RS256" {
            for alg in ["PS256", "RS384", "RS256"] {
                let mut header = header.clone();
                header["alg"] = alg.into();
                let message = format!(
                    "{}.{}",
                    base64(header.to_string()),
                    base64(claims.to_string())
                );
                for (by, signature) in signer.others(message.as_bytes()) {
                    let token = format!("{message}.{}", base64(signature));
                    all.push((format!("{by}, called {alg}"), token));
                }
            }
        }
        let other = if signer.algorithm() == "RS256" {
            "ES256"
        } else {
            "RS256"
        };
        all.push((
            format!("called {other}"),
            pattern.with_header(json!({ "alg": other })),
        ));
        let session = ben(&site).await;
        all.push(("a session token".into(), session));
        println!("{} forged ID tokens of {}", all.len(), signer.algorithm());
        assert!(all.len() >= 80);
        for (name, token) in &all {
            if name != "a session token" {
                show(&site, name, token).await;
            } else {
                site.post(token).await.problem(401, "unauthenticated");
            }
        }
        assert_eq!(site.users().await.len(), 1, "Ben alone");
        // The second time, a minute has not passed.
        assert_eq!(
            (site.issuer.asked(DISCOVERY), site.issuer.asked(KEYS)),
            (1, 1)
        );
        assert_eq!(
            site.post(&good).await.status,
            200,
            "the pattern itself is good"
        );
    }
    assert_eq!(canary.asked_in_all(), 0);
}

#[tokio::test]
async fn forged_session_tokens_are_refused() {
    let canary = Issuer::start().await;
    let site = Site::start().await;
    let good = ben(&site).await;
    let part = |n: usize| -> Value {
        let part = good.split('.').nth(n).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let by = |secret: &str, header: &str, claims: &str| {
        let message = format!("{}.{}", base64(header), base64(claims));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        format!("{message}.{}", base64(hmac::sign(&key, message.as_bytes())))
    };
    // As it is written: the order of its fields is a part of a header of ours.
    let text = good.split('.').next().unwrap();
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    let (header, claims) = (part(0), part(1));
    let plain = header.to_string();
    let kid = header["kid"].as_str().unwrap().as_bytes().to_vec();
    let pattern = Pattern {
        good: &good,
        header: &header,
        claims: &claims,
        sign: &|changed, claims| {
            let ours = changed == plain;
            by(SECRET, if ours { &text } else { changed }, claims)
        },
        public: &[Vec::new(), kid, b"neuropod".to_vec(), b"secret".to_vec()],
        canary: &canary.url,
    };
    assert_eq!(
        site.server
            .get("/api/auth/verify")
            .bearer(&pattern.of_claims(&claims.to_string()))
            .send()
            .await
            .status,
        200,
        "the pattern itself is good"
    );
    let mut all = [
        pattern.shapes(),
        pattern.algorithms(),
        pattern.keys(),
        pattern.extensions(),
    ]
    .concat();
    all.extend(of_ours(&pattern));
    let rotated = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978";
    all.push((
        "a secret that is not ours".into(),
        by(rotated, &text, &claims.to_string()),
    ));
    all.push((
        "an ID token".into(),
        site.token(json!({ "email_verified": false })),
    ));
    println!("{} forged session tokens", all.len());
    assert!(all.len() >= 80);
    for (name, token) in &all {
        show(&site, name, token).await;
    }
    assert_eq!(site.users().await.len(), 1, "Ben alone");
    assert_eq!(canary.asked_in_all(), 0);
}
