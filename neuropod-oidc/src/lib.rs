//! Sign-in by Google, or by any other provider of OpenID Connect: by an ID token that a page got, or by the
//! authorization-code flow.
//!
//! What an ID token has to be is decided in [`neuropod_core::auth::IdTokenRules`]; here is what has to be fetched for
//! that. [`Provider`] vouches for the people of one issuer; [`CodeFlow`] sends browsers to it and takes them back.

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
