//! A provider that is down, slow, or lies: nobody gets in by it, and nothing else is asked.

mod hand;
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use neuropod_core::auth::{IdToken, Issuer as _, Person};
use neuropod_core::pod::Secret;
use neuropod_core::{ErrorKind, Result};
use neuropod_oidc::{Client, Provider};
use serde_json::{Value, json};

use hand::{Hand, START};
use support::{CLIENT, DISCOVERY, Issuer, KEYS, Lie, Lies, Signer};

fn provider(issuer: &Issuer, clock: &Arc<Hand>) -> Provider {
    let client = Client {
        issuer: issuer.url.parse().unwrap(),
        id: CLIENT.to_owned(),
        secret: None,
        hosted_domain: None,
    };
    Provider::new(client, Arc::clone(clock) as _)
}

async fn vouch(provider: &Provider, token: String) -> Result<Person> {
    let token = IdToken {
        token: Secret::new(token),
        nonce: None,
    };
    provider.vouch(&token).await
}

fn is(kind: ErrorKind, answer: Result<Person>) {
    assert_eq!(*answer.unwrap_err().kind(), kind);
}

#[tokio::test]
async fn whoever_the_issuer_vouches_for_is_known_by_its_subject() {
    for signer in [Signer::rsa("r"), Signer::ec("e")] {
        let issuer = Issuer::with(signer).await;
        let provider = provider(&issuer, &Hand::new());
        let ana = vouch(&provider, issuer.token(&issuer.claims(START))).await;
        let wanted = Person {
            identity: format!("{}#1234567890", issuer.url),
            email: "ana@example.com".to_owned(),
            name: "Ana".to_owned(),
            avatar: Some("https://pictures.example/ana".to_owned()),
        };
        assert_eq!(ana.unwrap(), wanted);
        vouch(&provider, issuer.token(&issuer.claims(START)))
            .await
            .unwrap();
        assert_eq!((issuer.asked(DISCOVERY), issuer.asked(KEYS)), (1, 1));
    }
}

#[tokio::test]
async fn an_unknown_key_makes_us_ask_once_a_minute_whoever_shows_it() {
    let (issuer, clock) = (Issuer::start().await, Hand::new());
    let provider = provider(&issuer, &clock);
    let good = issuer.token(&issuer.claims(START));
    vouch(&provider, good.clone()).await.unwrap();
    let stranger = Signer::ec("unheard-of");
    let forged = stranger.token(&issuer.claims(START));
    for _ in 0..20 {
        is(
            ErrorKind::Unauthenticated,
            vouch(&provider, forged.clone()).await,
        );
    }
    assert_eq!(issuer.asked(KEYS), 1, "just asked");
    clock.advance(60);
    let crowd = (0..20).map(|_| {
        let (provider, forged) = (provider.clone(), forged.clone());
        tokio::spawn(async move { vouch(&provider, forged).await })
    });
    for one in crowd.collect::<Vec<_>>() {
        is(ErrorKind::Unauthenticated, one.await.unwrap());
    }
    assert_eq!(issuer.asked(KEYS), 2);
    clock.advance(59);
    is(
        ErrorKind::Unauthenticated,
        vouch(&provider, forged.clone()).await,
    );
    assert_eq!(issuer.asked(KEYS), 2);

    // What can't be a token of anybody's makes us ask nothing at all.
    clock.advance(60);
    for header in [
        json!({ "alg": "none", "kid": "x" }),
        json!({ "alg": "HS256", "kid": "x" }),
        json!({ "alg": "ES256" }),
        json!({ "alg": "ES256", "kid": "x", "crit": ["b64"] }),
        json!({ "alg": "ES256", "kid": "x", "typ": "at+jwt" }),
    ] {
        let forged = stranger.sign(&header.to_string(), &issuer.claims(START).to_string());
        is(ErrorKind::Unauthenticated, vouch(&provider, forged).await);
    }
    assert_eq!(issuer.asked(KEYS), 2);
    vouch(&provider, good).await.unwrap();
}

#[tokio::test]
async fn those_who_come_while_it_is_asked_wait_for_its_answer() {
    let (issuer, clock) = (Issuer::start().await, Hand::new());
    let provider = provider(&issuer, &clock);
    let good = issuer.token(&issuer.claims(START));
    let crowd = (0..20).map(|_| {
        let (provider, good) = (provider.clone(), good.clone());
        tokio::spawn(async move { vouch(&provider, good).await })
    });
    for one in crowd.collect::<Vec<_>>() {
        one.await.unwrap().unwrap();
    }
    assert_eq!(issuer.asked(KEYS), 1);
}

#[tokio::test]
async fn keys_come_and_go() {
    let (issuer, clock) = (Issuer::start().await, Hand::new());
    let provider = provider(&issuer, &clock);
    let old = issuer.token(&issuer.claims(START));
    vouch(&provider, old.clone()).await.unwrap();
    issuer.rotate(Signer::ec("second"));
    clock.advance(60);
    vouch(&provider, issuer.token(&issuer.claims(START)))
        .await
        .unwrap();
    is(ErrorKind::Unauthenticated, vouch(&provider, old).await);
}

#[tokio::test]
async fn a_withdrawn_key_signs_nobody_in_after_an_hour() {
    let (issuer, clock) = (Issuer::start().await, Hand::new());
    let provider = provider(&issuer, &clock);
    let late = issuer.token(&issuer.claims(START + 3600));
    vouch(&provider, issuer.token(&issuer.claims(START)))
        .await
        .unwrap();
    issuer.rotate(Signer::ec("second"));
    clock.advance(3599);
    vouch(&provider, late.clone()).await.unwrap();
    clock.advance(1);
    is(ErrorKind::Unauthenticated, vouch(&provider, late).await);
}

#[tokio::test]
async fn what_a_provider_said_holds_for_a_day_while_it_is_down() {
    let (issuer, clock) = (Issuer::start().await, Hand::new());
    let provider = provider(&issuer, &clock);
    vouch(&provider, issuer.token(&issuer.claims(START)))
        .await
        .unwrap();
    issuer.answer(DISCOVERY, Lie::Status(500));
    clock.advance(24 * 3600 - 1);
    let claims = issuer.claims(START + 24 * 3600);
    vouch(&provider, issuer.token(&claims)).await.unwrap();
    clock.advance(60);
    is(
        ErrorKind::Unreachable,
        vouch(&provider, issuer.token(&claims)).await,
    );
    issuer.lie(Lies::default());
    clock.advance(60);
    vouch(&provider, issuer.token(&claims)).await.unwrap();
}

/// What it answers in place of the truth, at either address. None of it brings anybody in, or makes us go elsewhere.
#[tokio::test]
async fn a_provider_that_answers_wrongly_vouches_for_nobody() {
    let canary = Issuer::start().await;
    for path in [DISCOVERY, KEYS] {
        for lie in [
            Lie::Status(404),
            Lie::Status(500),
            Lie::Status(204),
            Lie::Huge,
            Lie::Redirect(format!("{}{path}", canary.url)),
            Lie::Text(String::new()),
            Lie::Text("<html>Down for maintenance</html>".to_owned()),
            Lie::Text("[".repeat(100_000)),
            Lie::Text("null".to_owned()),
            Lie::Text(r#"{"keys":{}}"#.to_owned()),
        ] {
            let (issuer, clock) = (Issuer::start().await, Hand::new());
            let provider = provider(&issuer, &clock);
            let good = issuer.token(&issuer.claims(START));
            issuer.answer(path, lie);
            is(ErrorKind::Unreachable, vouch(&provider, good.clone()).await);
            let before = issuer.asked(DISCOVERY);
            is(ErrorKind::Unreachable, vouch(&provider, good.clone()).await);
            assert_eq!(issuer.asked(DISCOVERY), before, "not at once again");
            issuer.lie(Lies::default());
            clock.advance(5);
            vouch(&provider, good).await.unwrap();
        }
    }
    assert_eq!(canary.asked(DISCOVERY) + canary.asked(KEYS), 0);
}

#[tokio::test]
async fn a_provider_that_keeps_silent_is_not_waited_for() {
    let (issuer, clock) = (Issuer::start().await, Hand::new());
    let provider = provider(&issuer, &clock);
    let good = issuer.token(&issuer.claims(START));
    issuer.answer(KEYS, Lie::Silent);
    let began = Instant::now();
    let crowd = (0..10).map(|_| {
        let (provider, good) = (provider.clone(), good.clone());
        tokio::spawn(async move { vouch(&provider, good).await })
    });
    for one in crowd.collect::<Vec<_>>() {
        is(ErrorKind::Unreachable, one.await.unwrap());
    }
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "it is silent for a minute"
    );
    assert_eq!(issuer.asked(KEYS), 1, "for all of them");
}

/// What it says of itself, and the keys that it publishes.
#[tokio::test]
async fn a_provider_that_is_another_one_is_not_believed() {
    let canary = Issuer::start().await;
    let elsewhere = format!("{}{KEYS}", canary.url).replace("127.0.0.1", "192.0.2.1");
    for document in [
        json!({ "issuer": canary.url }),
        json!({ "issuer": null }),
        json!({ "issuer": ["x"] }),
        json!({ "jwks_uri": null }),
        json!({ "jwks_uri": "/keys" }),
        json!({ "jwks_uri": "file:///etc/passwd" }),
        json!({ "jwks_uri": elsewhere }),
        json!({ "token_endpoint": elsewhere }),
        json!({ "authorization_endpoint": "javascript:alert(1)" }),
    ] {
        let (issuer, clock) = (Issuer::start().await, Hand::new());
        issuer.lie(Lies {
            document: document.clone(),
            ..Lies::default()
        });
        let token = issuer.token(&issuer.claims(START));
        let answer = vouch(&provider(&issuer, &clock), token).await;
        let e = answer.expect_err(&document.to_string());
        assert_eq!(*e.kind(), ErrorKind::Unreachable, "{document}");
        assert_eq!(issuer.asked(KEYS), 0, "{document}");
    }
    assert_eq!(canary.asked(KEYS), 0);
}

#[tokio::test]
async fn keys_of_another_kind_sign_nobody_in() {
    let issuer = Issuer::start().await;
    let real = issuer.signer().jwk();
    let with = |changes: Value| {
        let mut jwk = real.clone();
        support::patch(&mut jwk, &changes);
        jwk
    };
    let rsa = Signer::rsa("first").jwk();
    let secret = support::base64(issuer.signer().public());
    let long = "A".repeat(100_000);
    for keys in [
        json!([]),
        json!([with(json!({ "kty": "RSA" }))]),
        json!([with(json!({ "kty": "XYZ" }))]),
        json!([with(json!({ "crv": "P-384" }))]),
        json!([with(json!({ "crv": "secp256k1" }))]),
        json!([with(json!({ "use": "enc" }))]),
        json!([with(json!({ "alg": "ES384" }))]),
        json!([with(json!({ "alg": "HS256" }))]),
        json!([with(json!({ "kid": "second" }))]),
        json!([with(json!({ "kid": 1 }))]),
        json!([with(json!({ "x": "" }))]),
        json!([with(json!({ "x": "!!!" }))]),
        json!([with(json!({ "x": real["y"], "y": real["x"] }))]),
        json!([with(json!({ "y": long }))]),
        json!([rsa]),
        json!([{ "kty": "oct", "kid": "first", "k": secret }]),
        json!([null, 1, "x", [], {}]),
    ] {
        issuer.lie(Lies {
            keys: Some(json!({ "keys": keys })),
            ..Lies::default()
        });
        let provider = provider(&issuer, &Hand::new());
        let answer = vouch(&provider, issuer.token(&issuer.claims(START))).await;
        let e = answer.expect_err(&keys.to_string());
        assert_eq!(*e.kind(), ErrorKind::Unauthenticated, "{keys}");
    }
    issuer.lie(Lies {
        keys: Some(json!({ "keys": [null, { "kty": "XYZ" }, rsa, real] })),
        ..Lies::default()
    });
    let provider = provider(&issuer, &Hand::new());
    vouch(&provider, issuer.token(&issuer.claims(START)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_key_need_not_be_named_where_there_is_only_one() {
    let issuer = Issuer::start().await;
    let header = json!({ "alg": "ES256" }).to_string();
    let claims = issuer.claims(START).to_string();
    let unnamed = issuer.signer().sign(&header, &claims);
    is(
        ErrorKind::Unauthenticated,
        vouch(&provider(&issuer, &Hand::new()), unnamed.clone()).await,
    );
    issuer.lie(Lies {
        keys: Some(json!({ "keys": [issuer.signer().jwk()] })),
        ..Lies::default()
    });
    vouch(&provider(&issuer, &Hand::new()), unnamed)
        .await
        .unwrap();
}

/// Half a minute is how far two clocks may be apart; five minutes are a token of another time.
#[tokio::test]
async fn clocks_may_be_half_a_minute_apart() {
    let issuer = Issuer::start().await;
    let provider = provider(&issuer, &Hand::new());
    let with = |changes: Value| {
        let mut claims = issuer.claims(START);
        support::patch(&mut claims, &changes);
        issuer.token(&claims)
    };
    for good in [
        json!({ "iat": START + 30 }),
        json!({ "nbf": START + 30 }),
        json!({ "exp": START - 30 }),
        json!({ "iat": START - 3600 }),
        json!({ "nbf": null }),
    ] {
        let answer = vouch(&provider, with(good.clone())).await;
        answer.unwrap_or_else(|e| panic!("{good}: {e:?}"));
    }
    for bad in [
        json!({ "iat": START + 300 }),
        json!({ "nbf": START + 300 }),
        json!({ "exp": START - 300 }),
        json!({ "exp": START - 60 }),
        json!({ "exp": null }),
        json!({ "iat": null }),
    ] {
        is(
            ErrorKind::Unauthenticated,
            vouch(&provider, with(bad)).await,
        );
    }
}

#[tokio::test]
async fn only_whom_the_provider_vouches_for_in_full_gets_in() {
    let issuer = Issuer::start().await;
    let provider = provider(&issuer, &Hand::new());
    let with = |changes: Value| {
        let mut claims = issuer.claims(START);
        support::patch(&mut claims, &changes);
        issuer.token(&claims)
    };
    for (kind, claims) in [
        (ErrorKind::Forbidden, json!({ "email_verified": false })),
        (ErrorKind::Forbidden, json!({ "email_verified": null })),
        (ErrorKind::Forbidden, json!({ "email_verified": "false" })),
        (ErrorKind::Forbidden, json!({ "email_verified": 1 })),
        (ErrorKind::Forbidden, json!({ "email_verified": [true] })),
        (ErrorKind::Invalid, json!({ "email": null })),
        (ErrorKind::Invalid, json!({ "email": "ana" })),
        (
            ErrorKind::Invalid,
            json!({ "email": "ana@example.com,root@example.com @x" }),
        ),
        (ErrorKind::Unauthenticated, json!({ "sub": null })),
        (ErrorKind::Unauthenticated, json!({ "sub": "" })),
        (ErrorKind::Unauthenticated, json!({ "sub": "é" })),
        (ErrorKind::Unauthenticated, json!({ "sub": "1\n2" })),
        (
            ErrorKind::Unauthenticated,
            json!({ "sub": "1".repeat(256) }),
        ),
        (ErrorKind::Unauthenticated, json!({ "sub": 1_234_567_890 })),
    ] {
        let e = vouch(&provider, with(claims.clone())).await;
        let e = e.expect_err(&claims.to_string());
        assert_eq!(*e.kind(), kind, "{claims}");
    }
    let ana = vouch(&provider, with(json!({ "email_verified": "true" }))).await;
    ana.unwrap();
    let bare =
        json!({ "name": "\u{0}\n ", "picture": "javascript:alert(1)", "email": "Ana@Example.com" });
    let ana = vouch(&provider, with(bare)).await.unwrap();
    assert_eq!((ana.name.as_str(), ana.avatar), ("ana", None));
    assert_eq!(ana.email, "ana@example.com");
}

#[tokio::test]
async fn a_hosted_domain_is_asked_for_by_its_claim_and_not_by_the_address() {
    let (issuer, clock) = (Issuer::start().await, Hand::new());
    let provider = Provider::new(
        Client {
            issuer: issuer.url.parse().unwrap(),
            id: CLIENT.to_owned(),
            secret: None,
            hosted_domain: Some("example.com".to_owned()),
        },
        clock,
    );
    for (hd, kind) in [
        (Value::Null, Some(ErrorKind::Forbidden)),
        ("example.org".into(), Some(ErrorKind::Forbidden)),
        (
            "example.com.evil.example".into(),
            Some(ErrorKind::Forbidden),
        ),
        ("".into(), Some(ErrorKind::Forbidden)),
        (json!(["example.com"]), Some(ErrorKind::Unauthenticated)),
        ("example.com".into(), None),
    ] {
        let mut claims = issuer.claims(START);
        support::patch(&mut claims, &json!({ "hd": hd }));
        let answer = vouch(&provider, issuer.token(&claims)).await;
        assert_eq!(answer.err().map(|e| e.kind().clone()), kind, "{hd}");
    }
}
