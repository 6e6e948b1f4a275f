//! Sign-in by Google, or by any other provider of OpenID Connect: by an ID token that a page got, or by the
//! authorization-code flow.
//!
//! What an ID token has to be is decided in [`neuropod_core::auth::IdTokenRules`]; here is what has to be fetched for
//! that. [`Provider`] vouches for the people of one issuer; [`CodeFlow`] sends browsers to it and takes them back.
//!
//! ```
//! # use std::sync::Arc;
//! # use neuropod_core::auth::{SessionRules, Sessions, SigningKeys};
//! # use neuropod_core::memory::MemoryStore;
//! # use neuropod_core::pod::Secret;
//! # use neuropod_core::time::SystemClock;
//! use neuropod_oidc::{Client, CodeFlow, IssuerUrl, Provider};
//!
//! # let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(SystemClock::new()));
//! # let keys = SigningKeys::new(&Secret::new("0f1e2d3c4b5a69788796a5b4c3d2e1f0")).unwrap();
//! let client = Client {
//!     issuer: IssuerUrl::google(),
//!     id: "….apps.googleusercontent.com".to_owned(),
//!     secret: Some(Secret::new("…")), // from your settings
//!     hosted_domain: None,
//! };
//! let provider = Provider::new(client, clock.clone());
//! let back = "https://pods.example.com/callback";
//! let flow = CodeFlow::new(provider.clone(), store.clone(), clock.clone(), back);
//! let sessions = Sessions::new(store, clock, keys, SessionRules::default());
//! let sessions = sessions.issuer(Arc::new(provider)); // the `auth` of your platform
//! ```

mod discovery;
mod fetch;
mod flow;
mod issuer;
mod provider;

pub use flow::{Begun, CodeFlow, Outcome, Returned};
pub use issuer::IssuerUrl;
pub use provider::Provider;

use neuropod_core::pod::Secret;

/// The provider, and what it knows us by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Who signs people in.
    pub issuer: IssuerUrl,
    /// Our name there.
    pub id: String,
    /// What proves that it is us; for the code flow, where the provider gave one.
    pub secret: Option<Secret>,
    /// The one domain whose members may sign in, by the claim `hd`.
    pub hosted_domain: Option<String>,
}
