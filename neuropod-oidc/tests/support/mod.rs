//! A provider of the tests' own, on loopback, which lies as it is told to. The server's tests use it too.

#![allow(dead_code)] // each test takes what it needs

mod signer;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) use signer::{Signer, base64};

pub(crate) const CLIENT: &str = "neuropod-tests";
pub(crate) const CLIENT_SECRET: &str = "known-to-the-tests-and-their-provider";
pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(crate) const KEYS: &str = "/keys";
pub(crate) const TOKEN: &str = "/token";

/// How something is answered.
#[derive(Clone, Default)]
pub(crate) enum Lie {
    /// As it should be.
    #[default]
    None,
    /// With what should be there, but not as a success.
    Status(u16),
    /// Never.
    Silent,
    /// 10 MiB of blanks, and then what should be there.
    Huge,
    Redirect(String),
    Text(String),
}

/// What it does wrong.
#[derive(Clone, Default)]
pub(crate) struct Lies {
    /// By path.
    pub(crate) answers: HashMap<&'static str, Lie>,
    /// Fields of what it says of itself; `null` leaves one out.
    pub(crate) document: Value,
    /// Claims of the ID tokens that it gives for codes; `null` leaves one out.
    pub(crate) claims: Value,
    /// The keys that it publishes, if not its own.
    pub(crate) keys: Option<Value>,
    /// It gives no ID token.
    pub(crate) without_id_token: bool,
}

/// It runs until it is dropped.
pub(crate) struct Issuer {
    pub(crate) url: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    url: String,
    signer: Mutex<Arc<Signer>>,
    /// A key that it publishes too, and signs nothing with.
    spare: Signer,
    lies: Mutex<Lies>,
    asked: Mutex<Vec<String>>,
    codes: Mutex<HashMap<String, Asked>>,
}

/// What a browser came with.
#[derive(Clone)]
pub(crate) struct Asked(HashMap<String, String>);

impl Asked {
    /// A parameter of the address that a browser is sent to.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        Self::with(Signer::ec("first")).await
    }

    pub(crate) async fn with(signer: Signer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            url: url.clone(),
            signer: Mutex::new(Arc::new(signer)),
            spare: Signer::ec("spare"),
            lies: Mutex::default(),
            asked: Mutex::default(),
            codes: Mutex::default(),
        });
        let app = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, shared, task }
    }

    /// From now on it does this wrong, and nothing else.
    pub(crate) fn lie(&self, lies: Lies) {
        *self.shared.lies.lock().unwrap() = lies;
    }

    /// From now on a path is answered so, and the rest as it should be.
    pub(crate) fn answer(&self, path: &'static str, lie: Lie) {
        let answers = HashMap::from([(path, lie)]);
        self.lie(Lies {
            answers,
            ..Lies::default()
        });
    }

    /// It signs with another key, and publishes the old one no more.
    pub(crate) fn rotate(&self, signer: Signer) {
        *self.shared.signer.lock().unwrap() = Arc::new(signer);
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        let asked = self.shared.asked.lock().unwrap();
        asked.iter().filter(|one| *one == path).count()
    }

    /// How often it was asked for anything.
    pub(crate) fn asked_in_all(&self) -> usize {
        self.shared.asked.lock().unwrap().len()
    }

    /// Claims that are in order at `now`, in seconds since 1970.
    pub(crate) fn claims(&self, now: i64) -> Value {
        self.shared.claims(now)
    }

    /// An ID token that says this.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.shared.signer.lock().unwrap().token(claims)
    }

    /// What its key signs.
    pub(crate) fn signer(&self) -> Arc<Signer> {
        Arc::clone(&self.shared.signer.lock().unwrap())
    }

    /// What a browser asks for at this address.
    pub(crate) fn read(url: &str) -> Asked {
        let uri: Uri = url.parse().unwrap();
        Asked(pairs(uri.query().unwrap_or_default()))
    }

    /// A person signs in where a browser was sent. Answers the code that the browser is sent back with.
    pub(crate) fn sign_in(&self, url: &str) -> String {
        let asked = Self::read(url);
        let code = format!("code-{}", self.shared.codes.lock().unwrap().len());
        self.shared
            .codes
            .lock()
            .unwrap()
            .insert(code.clone(), asked);
        code
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn claims(&self, now: i64) -> Value {
        json!({
            "iss": self.url,
            "sub": "1234567890",
            "aud": CLIENT,
            "exp": now + 3600,
            "iat": now,
            "email": "ana@example.com",
            "email_verified": true,
            "name": "Ana",
            "picture": "https://pictures.example/ana",
        })
    }

    fn document(&self) -> Value {
        let url = &self.url;
        json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}{TOKEN}"),
            "jwks_uri": format!("{url}{KEYS}"),
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        })
    }

    /// Exchanges a code as a careful provider does.
    fn exchange(&self, authorization: &str, form: &HashMap<String, String>) -> Value {
        let mine = format!(
            "Basic {}",
            STANDARD.encode(format!("{CLIENT}:{CLIENT_SECRET}"))
        );
        if authorization != mine {
            return json!({ "error": "invalid_client" });
        }
        let of = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let code = self.codes.lock().unwrap().remove(of("code"));
        let challenge = base64(digest(&SHA256, of("code_verifier").as_bytes()));
        let Some(asked) = code.filter(|asked| {
            asked.get("code_challenge") == challenge
                && asked.get("code_challenge_method") == "S256"
                && asked.get("redirect_uri") == of("redirect_uri")
                && asked.get("client_id") == CLIENT
        }) else {
            return json!({ "error": "invalid_grant" });
        };
        let lies = self.lies.lock().unwrap().clone();
        let mut claims = self.claims(now());
        claims["nonce"] = asked.get("nonce").into();
        patch(&mut claims, &lies.claims);
        let mut answer = json!({ "access_token": "an-access-token", "token_type": "Bearer" });
        if !lies.without_id_token {
            answer["id_token"] = self.signer.lock().unwrap().token(&claims).into();
        }
        answer
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    shared.asked.lock().unwrap().push(path.clone());
    let lies = shared.lies.lock().unwrap().clone();
    let truth = match path.as_str() {
        DISCOVERY => {
            let mut document = shared.document();
            patch(&mut document, &lies.document);
            document
        }
        KEYS => lies.keys.clone().unwrap_or_else(|| {
            let signer = shared.signer.lock().unwrap();
            let odd = json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "odd" });
            json!({ "keys": [signer.jwk(), odd, shared.spare.jwk()] })
        }),
        TOKEN => {
            let body = axum::body::to_bytes(body, 1 << 16).await.unwrap();
            let form = pairs(std::str::from_utf8(&body).unwrap());
            let authorization = parts.headers.get(header::AUTHORIZATION);
            let authorization = authorization.map_or("", |value| value.to_str().unwrap());
            shared.exchange(authorization, &form)
        }
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let status = match truth.get("error") {
        Some(_) => StatusCode::BAD_REQUEST,
        None => StatusCode::OK,
    };
    let json = [(header::CONTENT_TYPE, "application/json")];
    match lies.answers.get(path.as_str()).cloned().unwrap_or_default() {
        Lie::None => (status, json, truth.to_string()).into_response(),
        Lie::Status(code) => {
            let status = StatusCode::from_u16(code).unwrap();
            (status, json, truth.to_string()).into_response()
        }
        Lie::Silent => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            StatusCode::OK.into_response()
        }
        Lie::Huge => {
            let body = " ".repeat(10 << 20) + &truth.to_string();
            (json, Body::from(body)).into_response()
        }
        Lie::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Lie::Text(text) => (json, text).into_response(),
    }
}

/// Sets fields; `null` takes one away.
pub(crate) fn patch(object: &mut Value, changes: &Value) {
    let fields = object.as_object_mut().unwrap();
    for (name, value) in changes.as_object().into_iter().flatten() {
        match value {
            Value::Null => fields.remove(name),
            value => fields.insert(name.clone(), value.clone()),
        };
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_secs()).unwrap()
}

/// The pairs of a query or a form.
pub(crate) fn pairs(text: &str) -> HashMap<String, String> {
    let decode = |part: &str| {
        let mut bytes = part.bytes();
        let mut out = Vec::new();
        while let Some(byte) = bytes.next() {
            out.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            });
        }
        String::from_utf8(out).unwrap()
    };
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    };
    text.split('&').map(pair).collect()
}
