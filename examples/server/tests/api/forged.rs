//! Tokens that nobody of ours has made, or that stand for nothing: as session tokens and as ID tokens. None opens
//! anything, none makes the server fail, and none makes it ask somebody else.

mod claims;
mod pattern;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use crate::google::Site;
use crate::oidc::{DISCOVERY, Issuer, KEYS, Signer, base64, now};
use crate::support::wire::Wire;
use crate::support::{BEN, SECRET};
use claims::{of_a_provider, of_ours};
use pattern::{Pattern, forms};

/// All ways to show a token. What is too long for a header is shown in a body, and to a socket, only.
async fn show(site: &Site, name: &str, token: &str) {
    let headers = token.len() < 100_000;
    if headers {
        let verify = site.server.get("/api/auth/verify").bearer(token);
        let status = verify.send().await.status;
        assert!(
            (400..500).contains(&status),
            "{status} to {name} as a session token"
        );
        let events = site.server.get("/api/events").bearer(token);
        let status = events.send().await.status;
        assert!(
            (400..500).contains(&status),
            "{status} to {name} as a session token of a stream"
        );
    }
    let socket = Wire::knock(site.server.address, "", &json!({ "token": token })).await;
    assert!(socket.is_err(), "{name} opens a socket");
    let status = site.post(token).await.status;
    assert!(
        (400..500).contains(&status),
        "{status} to {name} as an ID token"
    );
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
