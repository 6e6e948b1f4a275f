//! Logins at image registries: given, or as `docker login` writes them down.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use neuropod_core::pod::Secret;
use serde::Deserialize;
use serde_json::json;

/// Where an image without a registry in its name comes from.
const HUB: &str = "docker.io";
/// Its other names, of which `docker login` writes one.
const ALSO_HUB: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

/// Logins at image registries. Whoever launches a pod pulls with them.
#[derive(Debug, Clone, Default)]
pub struct Logins {
    given: HashMap<String, Login>,
    file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq)]
enum Login {
    Password { user: String, password: Secret },
    Token(Secret),
}

impl Logins {
    /// Those of `docker login`, in `config.json` in the folder that `DOCKER_CONFIG` names, or else in `~/.docker`.
    pub fn of_docker() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = || Some(PathBuf::from(set("HOME")?).join(".docker"));
        let folder = set("DOCKER_CONFIG").map(PathBuf::from).or_else(home);
        Self {
            given: HashMap::new(),
            file: folder.map(|folder| folder.join("config.json")),
        }
    }

    /// Those in a file such as `docker login` writes. It is read anew for each pull. A credential helper that it names
    /// is not asked.
    pub fn in_file(path: impl Into<PathBuf>) -> Self {
        Self {
            given: HashMap::new(),
            file: Some(path.into()),
        }
    }

    /// With a login at `registry`, such as `registry.example.com:5000`; `docker.io` is Docker Hub.
    #[must_use]
    pub fn with(mut self, registry: &str, user: impl Into<String>, password: Secret) -> Self {
        let user = user.into();
        let login = Login::Password { user, password };
        self.given.insert(host(registry).to_owned(), login);
        self
    }

    /// What tells the engine who pulls `image`, if anybody does.
    pub(crate) fn header(&self, image: &str) -> Option<Secret> {
        let registry = registry(image);
        let in_file = || self.file.as_deref().and_then(|file| read(file, registry));
        let login = self.given.get(registry).cloned().or_else(in_file)?;
        let told = match login {
            Login::Password { user, password } => {
                json!({ "username": user, "password": password, "serveraddress": registry })
            }
            Login::Token(token) => json!({ "identitytoken": token, "serveraddress": registry }),
        };
        Some(Secret::new(URL_SAFE.encode(told.to_string())))
    }
}

/// The registry of an image, by the rule of the engine: what could be a part of a name on Docker Hub is one.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => host(first),
        _ => HUB,
    }
}

/// The host in a registry's address.
fn host(address: &str) -> &str {
    let place = address
        .split_once("://")
        .map_or(address, |(_, place)| place);
    let host = place.split('/').next().unwrap_or_default();
    if ALSO_HUB.contains(&host) { HUB } else { host }
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: HashMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(default)]
struct Entry {
    /// `user:password`, in Base64.
    auth: Secret,
    username: String,
    password: Secret,
    identitytoken: Secret,
}

impl Default for Entry {
    fn default() -> Self {
        let none = || Secret::new("");
        Self {
            auth: none(),
            username: String::new(),
            password: none(),
            identitytoken: none(),
        }
    }
}

/// A file that can't be read is said, and nobody is logged in.
fn read(file: &Path, registry: &str) -> Option<Login> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
        Err(e) => {
            tracing::warn!(file = %file.display(), error = %e, "logins at registries can't be read");
            return None;
        }
    };
    let (file, login) = (file.display(), find(&text, registry));
    login.unwrap_or_else(|problem| {
        tracing::warn!(%file, registry, problem, "a login at a registry can't be read");
        None
    })
}

fn find(text: &str, registry: &str) -> Result<Option<Login>, String> {
    // An error's own words would quote what it was about.
    let malformed = |e: serde_json::Error| format!("line {}, column {}", e.line(), e.column());
    let all: File = serde_json::from_str(text).map_err(malformed)?;
    let mut entries = all.auths.into_iter();
    let Some((_, entry)) = entries.find(|(address, _)| host(address) == registry) else {
        return Ok(None);
    };
    if !entry.identitytoken.reveal().is_empty() {
        return Ok(Some(Login::Token(entry.identitytoken)));
    }
    if entry.auth.reveal().is_empty() {
        if entry.username.is_empty() {
            return Err("it is kept by a credential helper, which is not asked".to_owned());
        }
        let (user, password) = (entry.username, entry.password);
        return Ok(Some(Login::Password { user, password }));
    }
    let decoded = STANDARD.decode(entry.auth.reveal().trim());
    let decoded = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|pair| pair.split_once(':'));
    let (user, password) = pair.ok_or("auth is not user:password in Base64")?;
    Ok(Some(Login::Password {
        user: user.to_owned(),
        password: Secret::new(password),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, password: &str) -> Option<Login> {
        Some(Login::Password {
            user: user.to_owned(),
            password: Secret::new(password),
        })
    }

    #[test]
    fn an_image_comes_from_the_registry_that_the_engine_takes_it_from() {
        for (image, expected) in [
            ("busybox", HUB),
            ("library/busybox:1", HUB),
            ("docker.io/library/busybox", HUB),
            ("index.docker.io/library/busybox", HUB),
            ("localhost/a", "localhost"),
            ("localhost:5000/a:1", "localhost:5000"),
            ("ghcr.io/a/b@sha256:0123", "ghcr.io"),
            ("a:1", HUB),
        ] {
            assert_eq!(registry(image), expected, "{image}");
        }
    }

    #[test]
    fn what_docker_login_has_written_is_found() {
        let text = r#"{
            "auths": {
                "https://index.docker.io/v1/": { "auth": "YW5hOmEgOnNlY3JldA==" },
                "plain.example": { "username": "ana", "password": "x" },
                "https://token.example": { "auth": "PHRva2VuPjo=", "identitytoken": "t" },
                "helped.example": {},
                "broken.example": { "auth": "?" }
            },
            "credsStore": "desktop"
        }"#;
        let find = |registry| find(text, registry);
        assert_eq!(find(HUB), Ok(login("ana", "a :secret")));
        assert_eq!(find("plain.example"), Ok(login("ana", "x")));
        let token = Some(Login::Token(Secret::new("t")));
        assert_eq!(find("token.example"), Ok(token));
        assert_eq!(find("unknown.example"), Ok(None));
        assert!(find("helped.example").unwrap_err().contains("helper"));
        assert!(find("broken.example").unwrap_err().contains("Base64"));
    }

    #[test]
    fn no_secret_is_ever_shown() {
        let logins = Logins::default().with("a.example", "ana", Secret::new("hush"));
        let header = logins.header("a.example/x").expect("a login");
        let broken = find(r#"{"auths": {"a.example": "hush"}}"#, "a.example");
        let shown = format!("{logins:?} {header:?} {broken:?}");
        assert!(!shown.contains("hush"), "{shown}");
        assert!(broken.is_err());
        assert_eq!(logins.header("b.example/x"), None);
    }

    #[test]
    fn what_is_given_comes_before_the_file() {
        let path = std::env::temp_dir().join(format!("neuropod-logins-{}", std::process::id()));
        let logins = Logins::in_file(&path);
        assert_eq!(logins.header("plain.example/x"), None, "no such file");
        std::fs::write(&path, r#"{"auths":{"plain.example":{"auth":"YTpi"}}}"#).expect("written");
        let from_file = logins.header("plain.example/x").expect("read anew");
        let given = logins.with("https://plain.example/", "c", Secret::new("d"));
        let given = given.header("plain.example/x").expect("given");
        std::fs::remove_file(path).expect("removed");
        let read = |header: Secret| URL_SAFE.decode(header.reveal()).expect("Base64");
        assert!(String::from_utf8_lossy(&read(from_file)).contains(r#""username":"a""#));
        assert!(String::from_utf8_lossy(&read(given)).contains(r#""username":"c""#));
    }
}
