//! Users.

use serde::{Deserialize, Serialize};

use crate::id::UserId;
use crate::time::Time;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Uses pods and pays for them.
    Client,
    /// Manages users, prices and templates; has an unlimited account.
    Admin,
}

/// Whether a user may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// As usual.
    Active,
    /// Sign-in, launch and start are refused; pods are stopped.
    Suspended,
    /// Goes when the last pod is gone.
    Deleting,
}

/// A person who signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Who vouches for this person: `<issuer>#<subject>`, unique, never an e-mail address.
    pub identity: String,
    /// E-mail address, lower case.
    pub email: String,
    /// A name for people.
    pub name: String,
    /// URL of a picture.
    pub avatar: Option<String>,
    /// What the person may do.
    pub role: Role,
    /// Whether the person may sign in.
    pub standing: Standing,
    /// The plan's name, `free`.
    pub plan: String,
    /// First sign-in.
    pub created_at: Time,
    /// Raised by every write; 0 in a row that is to be created.
    pub version: u64,
}
