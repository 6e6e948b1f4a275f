//! Sign-in at a real provider of OpenID Connect, which knows nothing of us.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::oidc::pairs;
use crate::support::{ANA, Program, Request, SECRET, given};

const CLIENT: &str = "neuropod";
const CLIENT_SECRET: &str = "between-the-server-and-its-provider";
const ENDS_AT: &str = "https://app.example.com/auth/callback#";

/// `oidc-provider-mock`, listening.
struct Provider {
    _child: Child,
    address: SocketAddr,
    url: String,
}

impl Provider {
    async fn start(program: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let ana = json!({ "sub": "42", "email": ANA, "email_verified": true, "name": "Ana" });
        let eve = json!({ "sub": "43", "email": ANA, "email_verified": true, "name": "Eve" });
        let dan = json!({ "sub": "44", "email": "dan@example.com", "email_verified": false });
        let mut command = Command::new(program);
        command.args(["--port", &address.port().to_string()]);
        for person in [ana, eve, dan] {
            command.args(["--user-claims", &person.to_string()]);
        }
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let provider = Self {
            _child: command.spawn().unwrap(),
            address,
            url: format!("http://{address}"),
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while Request::new(address, "GET", "/jwks")
            .try_send()
            .await
            .is_err()
        {
            assert!(Instant::now() < deadline, "the provider does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        provider
    }

    async fn form(&self, path: &str, form: &str) -> crate::support::Answer {
        let request = Request::new(self.address, "POST", path);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body(form).send().await
    }

    /// A person does what the provider's page asks for. Answers where the browser goes then, without its host.
    async fn sign_in(&self, url: &str, form: &str) -> String {
        let path = url
            .strip_prefix(&self.url)
            .expect("it is sent to the provider");
        let answer = self.form(path, form).await;
        let to = answer
            .exact("location")
            .unwrap_or_else(|| panic!("{answer:?}"));
        to.strip_prefix("http://localhost:3000").unwrap().to_owned()
    }

    /// An ID token as a page gets one, without us.
    async fn id_token(&self, subject: &str) -> String {
        let back = "http://localhost:3000/page";
        let query = format!(
            "client_id={CLIENT}&redirect_uri={back}&response_type=code&scope=openid%20email%20profile"
        );
        let url = format!("{}/oauth2/authorize?{query}", self.url);
        let to = self.sign_in(&url, &format!("sub={subject}")).await;
        let code = pairs(to.split_once('?').unwrap().1)["code"].clone();
        let form = format!(
            "grant_type=authorization_code&code={code}&redirect_uri={back}&client_id={CLIENT}&client_secret=x"
        );
        let answer = self.form("/oauth2/token", &form).await.json();
        answer["id_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"))
            .to_owned()
    }
}

/// A browser that begins at our page, signs in as told, and comes back. Answers where it ends.
async fn browse(server: &Program, provider: &Provider, form: &str) -> String {
    let login = Request::new(server.address, "GET", "/api/auth/google/login")
        .send()
        .await;
    let cookie = login
        .exact("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let to = provider
        .sign_in(login.exact("location").unwrap(), form)
        .await;
    let callback = Request::new(server.address, "GET", &to).header("cookie", cookie);
    let end = callback.send().await;
    end.exact("location")
        .unwrap()
        .strip_prefix(ENDS_AT)
        .unwrap()
        .to_owned()
}

async fn post(server: &Program, token: &str) -> (u16, Value) {
    let request = Request::new(server.address, "POST", "/api/auth/google");
    let answer = request.json(&json!({ "token": token })).send().await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn people_sign_in_at_a_real_provider_in_both_ways() {
    let Some(program) = given("NEUROPOD_TEST_OIDC_PROVIDER") else {
        return;
    };
    let provider = Provider::start(&program).await;
    let mut settings = vec![
        ("DATABASE_URL", "memory:"),
        ("NEUROPOD_ORCHESTRATOR", "memory"),
        ("JWT_SECRET", SECRET),
        ("GOOGLE_CLIENT_ID", CLIENT),
        ("GOOGLE_CLIENT_SECRET", CLIENT_SECRET),
        ("OIDC_ISSUER", provider.url.as_str()),
        ("FRONTEND_URL", "https://app.example.com"),
        ("PUBLIC_URL", "http://localhost:3000"),
        ("RUST_LOG", "trace"),
    ];
    let folder = std::env::temp_dir();
    let server = Program::start(Path::new(&folder), &settings).await;

    // By a browser.
    let end = browse(&server, &provider, "sub=42").await;
    let session = end
        .strip_prefix("token=")
        .unwrap_or_else(|| panic!("{end}"));
    let verify = Request::new(server.address, "GET", "/api/auth/verify").bearer(session);
    let ana = verify.send().await.json()["user"].clone();
    assert_eq!((&ana["email"], &ana["name"]), (&json!(ANA), &json!("Ana")));
    assert_eq!(
        browse(&server, &provider, "action=deny").await,
        "error=validation"
    );
    assert_eq!(
        browse(&server, &provider, "sub=43").await,
        "error=forbidden",
        "Ana's address"
    );
    assert_eq!(
        browse(&server, &provider, "sub=44").await,
        "error=forbidden",
        "not verified"
    );

    // By an ID token.
    let token = provider.id_token("42").await;
    let (status, answer) = post(&server, &token).await;
    assert_eq!(
        (status, &answer["user"]["id"]),
        (200, &ana["id"]),
        "{answer}"
    );
    let middle = token.len() / 2;
    let other = if &token[middle..=middle] == "A" {
        "B"
    } else {
        "A"
    };
    let spoilt = format!("{}{other}{}", &token[..middle], &token[middle + 1..]);
    assert_eq!(post(&server, &spoilt).await.0, 401);
    let eve = provider.id_token("43").await;
    assert_eq!(post(&server, &eve).await.0, 403);

    // For another client.
    settings.retain(|(name, _)| *name != "GOOGLE_CLIENT_ID");
    settings.push(("GOOGLE_CLIENT_ID", "another"));
    let another = Program::start(Path::new(&folder), &settings).await;
    assert_eq!(post(&another, &token).await.0, 401);

    let log = server.said();
    assert!(
        log.contains("/api/auth/google/callback"),
        "it tells what happens"
    );
    for secret in [
        CLIENT_SECRET,
        SECRET,
        session,
        &token,
        &eve,
        ANA,
        "state=",
        "code=",
    ] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
    server.kill().await;
    another.kill().await;
}
