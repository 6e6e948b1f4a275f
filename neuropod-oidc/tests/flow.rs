//! The code flow, with a browser that comes back with something else, or a provider that does not do its part.

mod hand;
mod support;

use std::sync::Arc;
use std::time::Duration;

use neuropod_core::auth::{IdToken, Issuer as _};
use neuropod_core::fault::{Fault, Faulty};
use neuropod_core::memory::MemoryStore;
use neuropod_core::pod::Secret;
use neuropod_core::store::{DocQuery, Document};
use neuropod_core::{ErrorKind, Result, Store};
use neuropod_oidc::{Begun, Client, CodeFlow, Outcome, Provider, Returned};
use serde_json::json;

use hand::Hand;
use support::{CLIENT, CLIENT_SECRET, Issuer, Lie, Lies, Signer, TOKEN, now};

const RETURNS_TO: &str = "https://pods.example/api/auth/google/callback";

struct Site {
    issuer: Issuer,
    clock: Arc<Hand>,
    store: Arc<MemoryStore>,
    provider: Provider,
    flow: CodeFlow,
}

impl Site {
    async fn start() -> Self {
        let issuer = Issuer::start().await;
        Self::over(issuer, Some(CLIENT_SECRET), None)
    }

    fn over(issuer: Issuer, secret: Option<&str>, domain: Option<&str>) -> Self {
        let (clock, store) = (Hand::new(), Arc::new(MemoryStore::new()));
        let provider = Provider::new(
            Client {
                issuer: issuer.url.parse().unwrap(),
                id: CLIENT.to_owned(),
                secret: secret.map(Secret::new),
                hosted_domain: domain.map(str::to_owned),
            },
            Arc::clone(&clock) as _,
        );
        let flow = CodeFlow::new(
            provider.clone(),
            Arc::clone(&store) as _,
            Arc::clone(&clock) as _,
            RETURNS_TO,
        );
        Self {
            issuer,
            clock,
            store,
            provider,
            flow,
        }
    }

    async fn begin(&self) -> Begun {
        self.flow.begin(None).await.unwrap()
    }

    /// Comes back as a browser does in which somebody signed in.
    async fn come_back(&self, begun: &Begun) -> Result<IdToken> {
        let code = self.issuer.sign_in(&begun.url);
        self.finish(begun, returned(&state(begun), &code)).await
    }

    async fn finish(&self, begun: &Begun, returned: Returned) -> Result<IdToken> {
        self.flow.finish(returned, Some(&begun.browser)).await
    }

    /// What is kept of sign-ins under way.
    async fn kept(&self) -> Vec<Document> {
        let query = DocQuery {
            kind: "sign-in".to_owned(),
            limit: 100,
            ..DocQuery::default()
        };
        self.store.documents(&query).await.unwrap().items
    }
}

fn state(begun: &Begun) -> String {
    Issuer::read(&begun.url).get("state").to_owned()
}

fn returned(state: &str, code: &str) -> Returned {
    Returned {
        state: Secret::new(state),
        issuer: None,
        outcome: Outcome::Code(Secret::new(code)),
    }
}

fn is(kind: ErrorKind, answer: Result<IdToken>) {
    assert_eq!(*answer.unwrap_err().kind(), kind);
}

#[tokio::test]
async fn a_browser_goes_and_comes_back_with_somebody() {
    let site = Site::start().await;
    let begun = site.begin().await;
    let asked = Issuer::read(&begun.url);
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", RETURNS_TO),
        ("scope", "openid email profile"),
        ("code_challenge_method", "S256"),
        ("hd", ""),
    ] {
        assert_eq!(asked.get(name), value, "{name}");
    }
    for secret in ["state", "nonce", "code_challenge"] {
        assert!(asked.get(secret).len() >= 43, "{secret}: {}", begun.url);
    }
    assert!(!begun.url.contains(begun.browser.reveal()));
    // The provider of the tests goes by the clock on the wall.
    site.clock.set(now());
    let begun = site.begin().await;
    let token = site.come_back(&begun).await.unwrap();
    let ana = site.provider.vouch(&token).await.unwrap();
    assert_eq!(ana.email, "ana@example.com");
}

#[tokio::test]
async fn every_sign_in_has_secrets_of_its_own() {
    let site = Site::start().await;
    let (one, two) = (site.begin().await, site.begin().await);
    let (first, second) = (Issuer::read(&one.url), Issuer::read(&two.url));
    for secret in ["state", "nonce", "code_challenge"] {
        assert_ne!(first.get(secret), second.get(secret), "{secret}");
    }
    assert_ne!(one.browser, two.browser);
}

#[tokio::test]
async fn a_sign_in_ends_once_within_ten_minutes_in_its_browser() {
    let site = Site::start().await;
    let begun = site.begin().await;
    let code = site.issuer.sign_in(&begun.url);
    let good = || returned(&state(&begun), &code);
    let other = site.begin().await;
    for (state, browser) in [
        ("", Some(&begun.browser)),
        ("0".repeat(64).as_str(), Some(&begun.browser)),
        (state(&begun).to_uppercase().as_str(), Some(&begun.browser)),
        (state(&begun).as_str(), None),
        (state(&begun).as_str(), Some(&other.browser)),
        (state(&begun).as_str(), Some(&Secret::new(""))),
        (state(&other).as_str(), Some(&begun.browser)),
    ] {
        let answer = site.flow.finish(returned(state, &code), browser).await;
        is(ErrorKind::Invalid, answer);
    }
    assert_eq!(site.issuer.asked(TOKEN), 0, "no code was shown to anybody");

    site.clock.advance(599);
    site.finish(&begun, good()).await.unwrap();
    is(ErrorKind::Invalid, site.finish(&begun, good()).await);
    assert_eq!(site.issuer.asked(TOKEN), 1);

    let late = site.begin().await;
    site.clock.advance(600);
    is(ErrorKind::Invalid, site.come_back(&late).await);
}

/// Both have read that it is under way before one of them ends it.
#[tokio::test]
async fn of_two_that_end_one_sign_in_at_once_one_does() {
    let site = Site::start().await;
    let begun = site.begin().await;
    let code = site.issuer.sign_in(&begun.url);
    let late = Faulty::new(Arc::clone(&site.store), |call| Fault {
        before: Duration::from_millis(if call.operation == "commit" { 200 } else { 0 }),
        ..Fault::default()
    });
    let flow = CodeFlow::new(
        site.provider.clone(),
        Arc::new(late),
        Arc::clone(&site.clock) as _,
        RETURNS_TO,
    );
    let finish = || flow.finish(returned(&state(&begun), &code), Some(&begun.browser));
    let (one, two) = tokio::join!(finish(), finish());
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    is(ErrorKind::Invalid, if one.is_ok() { two } else { one });
    assert_eq!(site.issuer.asked(TOKEN), 1);
}

/// The pages of one browser know of each other by what it keeps, and neither ends the other's sign-in.
#[tokio::test]
async fn two_pages_of_one_browser_sign_in_at_once() {
    let site = Site::start().await;
    let one = site.begin().await;
    let two = site.flow.begin(Some(&one.browser)).await.unwrap();
    assert_eq!(one.browser, two.browser);
    site.come_back(&two).await.unwrap();
    site.come_back(&one).await.unwrap();

    // What is not of our making is not taken over.
    for planted in ["", "x", &"g".repeat(64), &"0".repeat(63)] {
        let begun = site.flow.begin(Some(&Secret::new(planted))).await.unwrap();
        assert_ne!(begun.browser.reveal(), planted);
    }
}

#[tokio::test]
async fn another_replica_ends_what_one_has_begun() {
    let site = Site::start().await;
    let begun = site.begin().await;
    let elsewhere = CodeFlow::new(
        site.provider.clone(),
        Arc::clone(&site.store) as _,
        Arc::clone(&site.clock) as _,
        RETURNS_TO,
    );
    let code = site.issuer.sign_in(&begun.url);
    let answer = elsewhere.finish(returned(&state(&begun), &code), Some(&begun.browser));
    answer.await.unwrap();
}

#[tokio::test]
async fn who_reads_the_store_can_end_no_sign_in() {
    let site = Site::start().await;
    let begun = site.begin().await;
    let kept = site.kept().await;
    assert_eq!(kept.len(), 1);
    let text = format!("{kept:?}");
    assert!(
        !text.contains(begun.browser.reveal()) && !text.contains(&state(&begun)),
        "{text}"
    );
    site.come_back(&begun).await.unwrap();
    assert!(site.kept().await.is_empty(), "nothing is left of it");
}

/// A code is worth nothing but in the sign-in that it was given for, by the provider that was asked.
#[tokio::test]
async fn a_code_of_another_sign_in_brings_nobody_in() {
    let site = Site::start().await;
    let victim = site.begin().await;
    let attacker = site.begin().await;
    let stolen = site.issuer.sign_in(&victim.url);
    let answer = site
        .finish(&attacker, returned(&state(&attacker), &stolen))
        .await;
    is(ErrorKind::Unauthenticated, answer);
    for code in ["", "made-up", "code-0\r\nx: y", &"c".repeat(5000)] {
        let begun = site.begin().await;
        let answer = site.finish(&begun, returned(&state(&begun), code)).await;
        is(ErrorKind::Unauthenticated, answer);
    }
    let begun = site.begin().await;
    let refused = Returned {
        outcome: Outcome::Refused,
        ..returned(&state(&begun), "")
    };
    is(
        ErrorKind::Unauthenticated,
        site.finish(&begun, refused).await,
    );
}

/// Two providers, one of them hostile, must not be taken for each other (RFC 9207).
#[tokio::test]
async fn an_answer_of_another_issuer_is_refused() {
    let site = Site::start().await;
    let named = |begun: &Begun, code: &str, issuer: Option<String>| Returned {
        issuer,
        ..returned(&state(begun), code)
    };
    let mine = site.issuer.url.clone();
    for other in ["https://evil.example", "", &format!("{mine}/")] {
        let begun = site.begin().await;
        let code = site.issuer.sign_in(&begun.url);
        let answer = site
            .finish(&begun, named(&begun, &code, Some(other.to_owned())))
            .await;
        is(ErrorKind::Unauthenticated, answer);
    }
    assert_eq!(site.issuer.asked(TOKEN), 0, "no code went anywhere");
    let begun = site.begin().await;
    let code = site.issuer.sign_in(&begun.url);
    site.finish(&begun, named(&begun, &code, Some(mine.clone())))
        .await
        .unwrap();

    // One that says that it names itself has to.
    let issuer = Issuer::start().await;
    issuer.lie(Lies {
        document: json!({ "authorization_response_iss_parameter_supported": true }),
        ..Lies::default()
    });
    let site = Site::over(issuer, Some(CLIENT_SECRET), None);
    let begun = site.begin().await;
    is(ErrorKind::Unauthenticated, site.come_back(&begun).await);
}

#[tokio::test]
async fn without_the_right_secret_no_code_is_exchanged() {
    for secret in [None, Some("another")] {
        let site = Site::over(Issuer::start().await, secret, None);
        let begun = site.begin().await;
        is(ErrorKind::Unauthenticated, site.come_back(&begun).await);
    }
}

#[tokio::test]
async fn a_provider_that_fails_at_the_exchange_signs_nobody_in() {
    let canary = Issuer::start().await;
    for (kind, lie) in [
        (ErrorKind::Unreachable, Lie::Status(500)),
        (ErrorKind::Unreachable, Lie::Status(404)),
        (ErrorKind::Unreachable, Lie::Huge),
        (
            ErrorKind::Unreachable,
            Lie::Redirect(format!("{}{TOKEN}", canary.url)),
        ),
        (ErrorKind::Unreachable, Lie::Text("<html>".to_owned())),
        (ErrorKind::Unreachable, Lie::Text(String::new())),
        (ErrorKind::Unreachable, Lie::Text("[".repeat(100_000))),
    ] {
        let site = Site::start().await;
        let begun = site.begin().await;
        let code = site.issuer.sign_in(&begun.url);
        site.issuer.answer(TOKEN, lie);
        let e = site
            .finish(&begun, returned(&state(&begun), &code))
            .await
            .unwrap_err();
        assert_eq!(*e.kind(), kind);
        site.issuer.lie(Lies::default());
        is(
            ErrorKind::Invalid,
            site.finish(&begun, returned(&state(&begun), &code)).await,
        );
    }
    assert_eq!(canary.asked(TOKEN), 0);
    let site = Site::start().await;
    site.issuer.lie(Lies {
        without_id_token: true,
        ..Lies::default()
    });
    let begun = site.begin().await;
    is(ErrorKind::Unauthenticated, site.come_back(&begun).await);
}

#[tokio::test]
async fn an_id_token_that_answers_another_question_is_refused() {
    let site = Site::start().await;
    site.clock.set(now());
    let earlier = site.begin().await;
    let nonce = Issuer::read(&earlier.url).get("nonce").to_owned();
    for claims in [
        json!({ "nonce": null }),
        json!({ "nonce": "" }),
        json!({ "nonce": "another" }),
        json!({ "nonce": nonce }),
        json!({ "nonce": [nonce] }),
        json!({ "aud": "another-client" }),
        json!({ "iss": "https://evil.example" }),
    ] {
        site.issuer.lie(Lies {
            claims: claims.clone(),
            ..Lies::default()
        });
        let begun = site.begin().await;
        let token = site.come_back(&begun).await.unwrap();
        let answer = site.provider.vouch(&token).await;
        let e = answer.expect_err(&claims.to_string());
        assert_eq!(*e.kind(), ErrorKind::Unauthenticated, "{claims}");
    }
    site.issuer.lie(Lies::default());
    let mut token = site.come_back(&site.begin().await).await.unwrap();
    let forged = Signer::ec("first").token(&site.issuer.claims(now()));
    token.token = Secret::new(forged);
    is(
        ErrorKind::Unauthenticated,
        site.provider.vouch(&token).await.map(|_| token.clone()),
    );
}

#[tokio::test]
async fn a_hosted_domain_is_asked_for() {
    let site = Site::over(Issuer::start().await, None, Some("example.com"));
    let begun = site.begin().await;
    assert_eq!(Issuer::read(&begun.url).get("hd"), "example.com");
}

#[tokio::test]
async fn no_secret_is_shown() {
    let site = Site::start().await;
    let begun = site.begin().await;
    let code = site.issuer.sign_in(&begun.url);
    let returned = returned(&state(&begun), &code);
    let mut shown = format!(
        "{:?} {:?} {returned:?} {:?}",
        site.flow, site.provider, begun.browser
    );
    let token = site.finish(&begun, returned).await.unwrap();
    shown += &format!("{token:?}");
    let secrets = [
        CLIENT_SECRET,
        &code,
        &state(&begun),
        begun.browser.reveal(),
        token.token.reveal(),
    ];
    for secret in secrets {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
