//! Sign-in by a provider of OpenID Connect, which is the tests' own and does as it is told.

use neuropod::store::{Changes, UserQuery};
use neuropod::user::{Standing, User};
use serde_json::{Value, json};

use crate::oidc::{CLIENT, CLIENT_SECRET, DISCOVERY, Issuer, Lie, Lies, Signer, TOKEN, now, patch};
use crate::support::{ANA, Answer, BEN, Program, ROOT, Request, Server};

const ENDS_AT: &str = "https://app.example.com/auth/callback";
const CALLBACK: &str = "/api/auth/google/callback";
const COOKIE: &str = "neuropod-sign-in";

pub(crate) struct Site {
    pub(crate) issuer: Issuer,
    pub(crate) server: Server,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    async fn with(arguments: &[&str]) -> Self {
        Self::over(Issuer::start().await, arguments).await
    }

    pub(crate) async fn over(issuer: Issuer, arguments: &[&str]) -> Self {
        let url = issuer.url.clone();
        let common = [
            "--google-client-id",
            CLIENT,
            "--google-client-secret",
            CLIENT_SECRET,
            "--oidc-issuer",
            &url,
            "--frontend-url",
            "https://app.example.com/",
            "--allowed-emails",
            "ana@example.com,ben@example.com",
        ];
        let server = Server::with(&[&common[..], arguments].concat()).await;
        Self { issuer, server }
    }

    /// An ID token of the provider's, with these claims changed.
    pub(crate) fn token(&self, changes: Value) -> String {
        let mut claims = self.issuer.claims(now());
        patch(&mut claims, &changes);
        self.issuer.token(&claims)
    }

    pub(crate) async fn post(&self, token: &str) -> Answer {
        let request = self.server.post("/api/auth/google");
        request.json(&json!({ "token": token })).send().await
    }

    pub(crate) async fn users(&self) -> Vec<User> {
        let query = UserQuery {
            limit: 1000,
            ..UserQuery::default()
        };
        self.server
            .platform
            .store()
            .users(&query)
            .await
            .unwrap()
            .items
    }

    /// Begins in a browser: where it is sent, and the cookie that it keeps.
    async fn begin(&self) -> (String, String) {
        let answer = self.server.get("/api/auth/google/login").send().await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let cookie = answer.exact("set-cookie").unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        (answer.exact("location").unwrap().to_owned(), cookie)
    }

    /// Comes back from the provider as it sends a browser that signed in.
    fn come_back(&self, url: &str, cookie: &str) -> Request {
        let (state, code) = (Issuer::read(url), self.issuer.sign_in(url));
        let state = state.get("state");
        let path = format!("{CALLBACK}?state={state}&code={code}&scope=openid&authuser=0");
        self.server.get(&path).header("cookie", cookie)
    }
}

/// Where a browser ended, and that it was told nothing else.
fn end(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{answer:?}");
    assert!(answer.body.is_empty(), "{answer:?}");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let location = answer.exact("location").unwrap();
    let end = location
        .strip_prefix(ENDS_AT)
        .unwrap_or_else(|| panic!("{location}"));
    end.strip_prefix('#')
        .unwrap_or_else(|| panic!("{location}"))
}

#[tokio::test]
async fn an_id_token_opens_a_session() {
    let site = Site::start().await;
    let answer = site.post(&site.token(json!({}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["success"], true);
    let user = &body["user"];
    assert_eq!(user["email"], ANA);
    assert_eq!(user["name"], "Ana");
    assert_eq!(user["avatar"], "https://pictures.example/ana");
    assert_eq!(
        (&user["role"], &user["status"]),
        (&json!("client"), &json!("online"))
    );
    let token = body["token"].as_str().unwrap();
    let who = site
        .server
        .get("/api/auth/verify")
        .bearer(token)
        .send()
        .await;
    assert_eq!(who.json()["user"], *user);

    let root = site
        .post(&site.token(json!({ "sub": "2", "email": "Root@Example.com" })))
        .await;
    assert_eq!(root.json()["user"]["role"], "admin");
    assert_eq!(root.json()["user"]["balance"], "Infinity");
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let site = Site::start().await;
    let post = |body: &str| site.server.post("/api/auth/google").raw_json(body);
    for body in [
        "",
        "{}",
        r#"{"token":null}"#,
        r#"{"token":""}"#,
        r#"{"token":7}"#,
    ] {
        let answer = post(body).send().await;
        answer.problem(400, "validation");
        assert_eq!(answer.json()["fields"][0]["pointer"], "/token", "{body}");
    }
    let more = json!({ "token": site.token(json!({})), "email": ROOT });
    post(&more.to_string())
        .send()
        .await
        .problem(400, "validation");
    site.post("x.y.z").await.problem(401, "unauthenticated");
    site.post(&site.token(json!({ "exp": 1 })))
        .await
        .problem(401, "unauthenticated");
    site.post(&site.token(json!({ "email": null })))
        .await
        .problem(400, "validation");
    site.post(&site.token(json!({ "email_verified": false })))
        .await
        .problem(403, "forbidden");
    let stranger = json!({ "sub": "3", "email": "eve@example.com" });
    site.post(&site.token(stranger))
        .await
        .problem(403, "forbidden");
    assert!(site.users().await.is_empty());

    site.post(&site.token(json!({}))).await;
    let [user] = site.users().await.try_into().unwrap();
    let suspended = User {
        standing: Standing::Suspended,
        ..user
    };
    let changes = Changes {
        users: vec![suspended],
        ..Changes::default()
    };
    site.server.platform.store().commit(&changes).await.unwrap();
    site.post(&site.token(json!({})))
        .await
        .problem(403, "account_suspended");
}

#[tokio::test]
async fn a_provider_that_is_down_is_no_fault_of_the_callers() {
    let site = Site::start().await;
    site.issuer.answer(DISCOVERY, Lie::Status(500));
    let answer = site.post(&site.token(json!({}))).await;
    answer.problem(503, "unavailable");
    assert!(answer.header("retry-after").is_some());
    let login = site.server.get("/api/auth/google/login").send().await;
    assert_eq!(end(&login), "error=unavailable");
    assert!(login.exact("set-cookie").is_none());
}

#[tokio::test]
async fn without_a_client_id_there_is_nothing() {
    let server = Server::with(&["--frontend-url", "https://app.example.com"]).await;
    let none = server
        .get("/api/nothing")
        .send()
        .await
        .problem(404, "not_found");
    for (method, path) in [
        ("POST", "/api/auth/google"),
        ("GET", "/api/auth/google/login"),
        ("GET", "/api/auth/google/callback"),
    ] {
        let answer = server.request(method, path).send().await;
        assert_eq!(answer.problem(404, "not_found"), none, "{method} {path}");
    }
}

#[tokio::test]
async fn a_browser_goes_to_the_provider_and_comes_back_with_a_session() {
    let site = Site::start().await;
    let login = site.server.get("/api/auth/google/login").send().await;
    let cookie = login.exact("set-cookie").unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Max-Age=600; HttpOnly; SameSite=Lax");
    assert!(pair.starts_with(COOKIE), "{pair}");
    let url = login.exact("location").unwrap();
    assert!(
        url.starts_with(&format!("{}/authorize?", site.issuer.url)),
        "{url}"
    );
    let back = "http://localhost:3000/api/auth/google/callback";
    assert_eq!(Issuer::read(url).get("redirect_uri"), back);

    let answer = site.come_back(url, pair).send().await;
    let token = end(&answer).strip_prefix("token=").unwrap();
    let who = site
        .server
        .get("/api/auth/verify")
        .bearer(token)
        .send()
        .await;
    assert_eq!(who.json()["user"]["email"], ANA);

    // Again, with a code that the provider would take.
    let again = site.come_back(url, pair).send().await;
    assert_eq!(end(&again), "error=validation");
    assert_eq!(site.users().await.len(), 1);
}

#[tokio::test]
async fn behind_https_the_cookie_goes_no_other_way() {
    let site = Site::with(&["--public-url", "https://pods.example.com/cloud/"]).await;
    let login = site.server.get("/api/auth/google/login").send().await;
    let cookie = login.exact("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-neuropod-sign-in="), "{cookie}");
    assert!(
        cookie.ends_with("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"),
        "{cookie}"
    );
    let url = login.exact("location").unwrap();
    let back = "https://pods.example.com/cloud/api/auth/google/callback";
    assert_eq!(Issuer::read(url).get("redirect_uri"), back);
    let pair = cookie.split(';').next().unwrap();
    // The name without its prefix is one that any page may have set.
    let planted = pair.strip_prefix("__Host-").unwrap();
    let answer = site.come_back(url, planted).send().await;
    assert_eq!(end(&answer), "error=validation");
    let answer = site
        .come_back(url, &format!("a=b; {pair}; c=d"))
        .send()
        .await;
    assert!(end(&answer).starts_with("token="));
}

/// Whatever a browser comes back with, it ends at the one page there is, with a word of ours.
#[tokio::test]
async fn a_callback_leads_nowhere_else_and_repeats_nothing() {
    let site = Site::start().await;
    let long = "x".repeat(20_000);
    for query in [
        "",
        "?",
        "?code=x",
        "?state=x",
        "?state=$&code=",
        "?state=$",
        "?state=$&code=made-up",
        "?state=$&state=$&code=x",
        "?state=$&code=x&code=y",
        "?state=$&error=access_denied",
        "?state=$&error=access_denied&code=x",
        "?state=$&error=%3Cscript%3Ealert(1)%3C/script%3E&error_description=%3Cb%3E",
        "?state=$&error=a%0d%0aLocation:%20https://evil.example",
        "?state=$&code=x&iss=https://evil.example",
        "?state=$&code=x&next=https://evil.example",
        "?state=$&code=x&next=//evil.example",
        "?state=$&code=x&redirect_uri=https%3A%2F%2Fevil.example",
        "?state=$&code=x&next=javascript:alert(1)",
        "?state=$&code=x&next=%5C%5Cevil.example",
        "?state=%ff%fe&code=%00",
        "?state=$&code=%e2%82",
        &format!("?state=$&code={long}"),
        &format!("?state={long}&code=x"),
    ] {
        let (url, cookie) = site.begin().await;
        let query = query.replace('$', Issuer::read(&url).get("state"));
        let path = format!("{CALLBACK}{query}");
        for request in [
            site.server.get(&path),
            site.server.get(&path).header("cookie", &cookie),
        ] {
            let answer = request.header("host", "evil.example").send().await;
            let word = end(&answer).strip_prefix("error=").unwrap().to_owned();
            assert!(
                ["validation", "unauthenticated"].contains(&word.as_str()),
                "{query}: {word}"
            );
            assert!(answer.exact("set-cookie").is_none());
        }
    }
    assert!(site.users().await.is_empty());
}

#[tokio::test]
async fn a_sign_in_of_another_browser_is_not_ended_here() {
    let site = Site::start().await;
    let (mine, _) = site.begin().await;
    let (_, others) = site.begin().await;
    let none = format!("{COOKIE}=");
    for cookie in [others.as_str(), &none, "token=x", ""] {
        let answer = site.come_back(&mine, cookie).send().await;
        assert_eq!(end(&answer), "error=validation", "{cookie}");
    }
    assert_eq!(site.issuer.asked(TOKEN), 0);
}

#[tokio::test]
async fn two_pages_of_one_browser_sign_in() {
    let site = Site::start().await;
    let (one, cookie) = site.begin().await;
    let login = site
        .server
        .get("/api/auth/google/login")
        .header("cookie", &cookie)
        .send()
        .await;
    let kept = login
        .exact("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    assert_eq!(kept, cookie);
    let two = login.exact("location").unwrap();
    let (one, two) = tokio::join!(
        site.come_back(&one, &cookie).send(),
        site.come_back(two, &cookie).send()
    );
    for answer in [one, two] {
        assert!(end(&answer).starts_with("token="), "{answer:?}");
    }
    assert_eq!(site.users().await.len(), 1);
}

/// What the provider says wrongly about somebody who did sign in.
#[tokio::test]
async fn a_browser_is_told_in_a_word_why_nobody_got_in() {
    let site = Site::start().await;
    for (claims, word) in [
        (json!({ "email_verified": false }), "forbidden"),
        (json!({ "email": "eve@example.com" }), "forbidden"),
        (json!({ "email": null }), "validation"),
        (json!({ "nonce": "another" }), "unauthenticated"),
        (json!({ "aud": "another" }), "unauthenticated"),
        (json!({ "exp": 1 }), "unauthenticated"),
    ] {
        site.issuer.lie(Lies {
            claims: claims.clone(),
            ..Lies::default()
        });
        let (url, cookie) = site.begin().await;
        let answer = site.come_back(&url, &cookie).send().await;
        assert_eq!(end(&answer), format!("error={word}"), "{claims}");
    }
    site.issuer.answer(TOKEN, Lie::Status(500));
    let (url, cookie) = site.begin().await;
    let answer = site.come_back(&url, &cookie).send().await;
    assert_eq!(end(&answer), "error=unavailable");
    assert!(site.users().await.is_empty());
}

#[tokio::test]
async fn who_somebody_is_goes_by_the_subject_and_never_by_the_address() {
    let site = Site::start().await;
    let ana = site.post(&site.token(json!({}))).await.json()["user"]["id"].clone();
    let impostor = json!({ "sub": "666", "name": "Not Ana" });
    site.post(&site.token(impostor))
        .await
        .problem(403, "forbidden");
    let capital = json!({ "sub": "666", "email": "ANA@example.com" });
    site.post(&site.token(capital))
        .await
        .problem(403, "forbidden");
    let [user] = site.users().await.try_into().unwrap();
    assert_eq!(user.name, "Ana");

    // Another name and another address are the same person's.
    let moved = json!({ "name": "Ana B.", "email": BEN, "picture": null });
    let moved = site.post(&site.token(moved)).await.json()["user"].clone();
    assert_eq!((&moved["id"], &moved["email"]), (&ana, &json!(BEN)));
    assert_eq!(moved["name"], "Ana B.");
    assert!(moved.get("avatar").is_none());
    site.post(&site.token(json!({ "sub": "7", "email": BEN })))
        .await
        .problem(403, "forbidden");
    // Which leaves the old address to whoever has it now.
    assert_eq!(
        site.post(&site.token(json!({ "sub": "8" }))).await.status,
        200
    );
    assert_eq!(site.users().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_of_sign_ups_of_one_person_makes_one_user() {
    let site = Site::start().await;
    let token = site.token(json!({}));
    let crowd = (0..24).map(|_| {
        let body = json!({ "token": token });
        let request = site.server.post("/api/auth/google").json(&body);
        tokio::spawn(request.send())
    });
    for one in crowd.collect::<Vec<_>>() {
        let answer = one.await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(site.users().await.len(), 1);
}

#[tokio::test]
async fn who_signs_in_too_often_has_to_wait() {
    let site = Site::start().await;
    let token = site.token(json!({}));
    let mut allowed = 0;
    let answer = loop {
        let answer = site.post(&token).await;
        if answer.status != 200 {
            break answer;
        }
        allowed += 1;
        assert!(allowed < 300, "nobody ever has to wait");
    };
    assert!(allowed >= 30, "{allowed}");
    answer.problem(429, "rate_limited");
    let ben = json!({ "sub": "2", "email": BEN });
    assert_eq!(
        site.post(&site.token(ben)).await.status,
        200,
        "nobody else has to"
    );
    // A forged token uses up nobody's logins.
    let forged = Signer::ec("first").token(&site.issuer.claims(now()));
    site.post(&forged).await.problem(401, "unauthenticated");

    let (url, cookie) = site.begin().await;
    let answer = site.come_back(&url, &cookie).send().await;
    assert_eq!(end(&answer), "error=rate_limited");
}

/// Behind a server that tells where requests come from, as the program does.
#[tokio::test]
async fn one_address_signs_in_only_so_often() {
    let issuer = Issuer::start().await;
    let settings = [
        ("DATABASE_URL", "memory:"),
        ("NEUROPOD_ORCHESTRATOR", "memory"),
        ("GOOGLE_CLIENT_ID", CLIENT),
        ("OIDC_ISSUER", issuer.url.as_str()),
        ("FRONTEND_URL", "https://app.example.com"),
    ];
    let server = Program::start(&std::env::temp_dir(), &settings).await;
    let ask = |method, path| Request::new(server.address, method, path);
    let mut allowed = 0;
    let answer = loop {
        let answer = ask("GET", "/api/auth/google/login").send().await;
        if answer.exact("set-cookie").is_none() {
            break answer;
        }
        allowed += 1;
        assert!(allowed < 3_000, "nobody ever has to wait");
    };
    assert!(allowed >= 300, "{allowed}");
    assert_eq!(end(&answer), "error=rate_limited");
    let callback = ask("GET", CALLBACK).send().await;
    assert_eq!(end(&callback), "error=rate_limited");
    let forged = json!({ "token": "x.y.z" });
    let post = ask("POST", "/api/auth/google").json(&forged).send().await;
    post.problem(429, "rate_limited");
    server.kill().await;
}
