//! Who an issuer is: its URL, letter by letter.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use neuropod_core::{Error, Result};
use reqwest::Url;

/// The URL that an issuer is known by. `https`, but for one on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerUrl {
    /// As it is written in tokens, with or without a slash at its end.
    text: String,
    local: bool,
}

impl IssuerUrl {
    /// Google.
    pub fn google() -> Self {
        Self {
            text: "https://accounts.google.com".to_owned(),
            local: false,
        }
    }

    /// As it is written in tokens.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is on this machine, reached without TLS.
    pub(crate) fn is_local(&self) -> bool {
        self.local
    }

    /// Where it describes itself.
    pub(crate) fn discovery(&self) -> String {
        let base = self.text.trim_end_matches('/');
        format!("{base}/.well-known/openid-configuration")
    }

    /// An address that it names for its own, if it may be asked: by TLS, or on this machine if the issuer is too.
    pub(crate) fn endpoint(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok()?;
        let safe = url.scheme() == "https" || (self.local && is_local(&url));
        (safe && url.username().is_empty() && url.password().is_none()).then_some(url)
    }
}

/// Whether this is plain HTTP to this machine.
fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    url.scheme() == "http" && (loopback || host == "localhost")
}

impl FromStr for IssuerUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            let message = "An issuer is a URL such as https://accounts.google.com, without query or fragment; plain \
                           http is for one on this machine.";
            Error::invalid("", message)
        };
        let url = Url::parse(text).map_err(|_| wrong())?;
        let issuer = Self {
            local: is_local(&url),
            text: text.to_owned(),
        };
        let bare = url.query().is_none() && url.fragment().is_none();
        let written = text.bytes().all(|b| b.is_ascii_graphic());
        (bare && written && issuer.endpoint(text).is_some())
            .then_some(issuer)
            .ok_or_else(wrong)
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_reached_by_tls_or_are_here() {
        for good in [
            "https://accounts.google.com",
            "https://id.example.com/tenant/",
            "http://127.0.0.1:9400",
            "http://localhost:9400",
            "http://[::1]:9400",
        ] {
            assert_eq!(good.parse::<IssuerUrl>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "accounts.google.com",
            "http://accounts.google.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "ftp://127.0.0.1",
            "https://me:word@id.example.com",
            "https://id.example.com?a=b",
            "https://id.example.com#a",
            "https://id.example.com\n",
        ] {
            assert!(bad.parse::<IssuerUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_an_issuer_names_is_no_way_to_other_places() {
        let far = IssuerUrl::google();
        assert!(
            far.endpoint("https://www.googleapis.com/oauth2/v3/certs")
                .is_some()
        );
        for bad in [
            "http://www.googleapis.com/oauth2/v3/certs",
            "http://127.0.0.1/keys",
            "file:///etc/passwd",
            "/keys",
            "https://me:word@id.example.com/keys",
        ] {
            assert!(far.endpoint(bad).is_none(), "{bad}");
        }
        let near: IssuerUrl = "http://127.0.0.1:1".parse().unwrap();
        assert!(near.endpoint("http://127.0.0.1:2/keys").is_some());
        assert!(near.endpoint("http://192.0.2.1/keys").is_none());
    }
}
