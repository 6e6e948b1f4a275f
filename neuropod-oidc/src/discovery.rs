//! What a provider says of itself, and the keys it signs with.

use neuropod_core::auth::KeySet;
use neuropod_core::{Error, Result};
use reqwest::Url;
use serde::Deserialize;

use crate::fetch::Fetch;
use crate::issuer::IssuerUrl;

/// What we know of a provider.
#[derive(Debug)]
pub(crate) struct Known {
    /// Where browsers are sent.
    pub(crate) authorization: Url,
    /// Where a code is exchanged.
    pub(crate) token: Url,
    /// Whether it takes our secret in the body alone.
    pub(crate) secret_in_body: bool,
    /// Whether it says who it is when it sends a browser back.
    pub(crate) names_itself: bool,
    /// Its keys.
    pub(crate) keys: KeySet,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Asks the provider for all of it.
pub(crate) async fn ask(issuer: &IssuerUrl, fetch: &Fetch) -> Result<Known> {
    let strange =
        || Error::unreachable("The identity provider does not describe itself as it should.");
    let address = issuer.endpoint(&issuer.discovery()).ok_or_else(strange)?;
    let document: Document =
        serde_json::from_slice(&fetch.get(&address).await?).map_err(|e| strange().caused_by(e))?;
    if document.issuer != issuer.as_str() {
        return Err(Error::unreachable(
            "The identity provider says that it is another one.",
        ));
    }
    let endpoint = |text: &str| {
        let refused = || {
            Error::unreachable("The identity provider names an address that is not safe to use.")
        };
        issuer.endpoint(text).ok_or_else(refused)
    };
    let authorization = endpoint(&document.authorization_endpoint)?;
    let token = endpoint(&document.token_endpoint)?;
    let keys = fetch.get(&endpoint(&document.jwks_uri)?).await?;
    let offers = |method: &str| {
        let methods = &document.token_endpoint_auth_methods_supported;
        methods.iter().any(|one| one == method)
    };
    Ok(Known {
        authorization,
        token,
        secret_in_body: offers("client_secret_post") && !offers("client_secret_basic"),
        names_itself: document.authorization_response_iss_parameter_supported,
        keys: KeySet::parse(&keys).map_err(|e| strange().caused_by(e))?,
    })
}
