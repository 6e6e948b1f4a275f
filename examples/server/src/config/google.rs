//! Settings of sign-in by Google, or by another provider of OpenID Connect.

use std::sync::Arc;

use axum::http::Uri;
use clap::Args;
use neuropod::Clock;
use neuropod::oidc::{Client, IssuerUrl, Provider};
use neuropod::pod::Secret;

use super::{Config, secret};

/// Sign-in by Google, or by another provider of OpenID Connect.
#[derive(Debug, Clone, Args)]
pub struct Google {
    /// Client id at Google, or at the issuer: lets people sign in by it
    #[arg(long, env = "GOOGLE_CLIENT_ID", default_value = "")]
    pub google_client_id: String,

    /// The client's secret, for sign-in by GET /api/auth/google/login
    #[arg(long, env = "GOOGLE_CLIENT_SECRET", hide_env_values = true, value_parser = secret)]
    pub google_client_secret: Option<Secret>,

    /// Who signs people in: the URL of a provider of OpenID Connect
    #[arg(long, env = "OIDC_ISSUER", default_value = "https://accounts.google.com", value_parser = issuer)]
    pub oidc_issuer: IssuerUrl,

    /// Only members of this domain may sign in, by the claim `hd`
    #[arg(long, env = "OIDC_HOSTED_DOMAIN", default_value = "")]
    pub oidc_hosted_domain: String,

    /// Where browsers reach this server; `http://localhost:<PORT>` if not given
    #[arg(long, env = "PUBLIC_URL", default_value = "", value_parser = base_url)]
    pub public_url: String,
}

impl Config {
    /// Who vouches for people, if somebody does.
    pub fn provider(&self, clock: Arc<dyn Clock>) -> Option<Provider> {
        let google = &self.google;
        let id = google.google_client_id.trim().to_owned();
        let secret = google.google_client_secret.clone();
        let domain = google.oidc_hosted_domain.trim().to_owned();
        let client = Client {
            issuer: google.oidc_issuer.clone(),
            secret: secret.filter(|secret| !secret.reveal().is_empty()),
            hosted_domain: (!domain.is_empty()).then_some(domain),
            id,
        };
        (!client.id.is_empty()).then(|| Provider::new(client, clock))
    }

    /// Where browsers reach this server, without a slash at its end.
    pub fn public_url(&self) -> String {
        match self.google.public_url.trim_end_matches('/') {
            "" => format!("http://localhost:{}", self.port),
            url => url.to_owned(),
        }
    }

    /// Where the frontend is, without a slash at its end, if that is known.
    pub fn frontend(&self) -> Option<String> {
        let url = self.frontend_url.as_deref().unwrap_or_default();
        match url.trim().trim_end_matches('/') {
            "" if self.dev => Some(super::DEVELOPED_AT.to_owned()),
            "" => None,
            url => Some(url.to_owned()),
        }
    }
}

fn issuer(text: &str) -> Result<IssuerUrl, String> {
    match text {
        "" => Ok(IssuerUrl::google()),
        text => text
            .parse()
            .map_err(|e: neuropod::Error| e.message().to_owned()),
    }
}

fn base_url(text: &str) -> Result<String, &'static str> {
    let is_one = |uri: Uri| {
        let scheme = uri.scheme_str().unwrap_or_default();
        matches!(scheme, "http" | "https") && uri.query().is_none() && !text.contains('#')
    };
    let fits = text.is_empty() || text.parse().is_ok_and(is_one);
    fits.then(|| text.to_owned())
        .ok_or("a URL such as https://api.example.com")
}
