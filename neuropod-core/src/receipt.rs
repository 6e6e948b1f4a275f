//! Receipts: a request that its sender may repeat, because the answer was lost, happens once. A receipt is written with the
//! change itself, so there is never one without the other, whatever crashes; and of many at once one is written.

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::id::UserId;
use crate::platform::Core;
use crate::store::{DocChange, DocQuery, Document, StoreExt};
use crate::time::Time;

/// The kind of a receipt's document.
const KIND: &str = "receipt";
/// How long a receipt is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// The longest key.
const LONGEST: usize = 255;

/// What a request is known again by: its sender, a key of his, and what was asked.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt {
    sender: UserId,
    key: String,
    request: String,
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was asked may hold secrets.
        f.debug_struct("Receipt")
            .field("sender", &self.sender)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// What a request came to, and whether it had happened before.
#[derive(Debug, Clone, PartialEq)]
pub struct Done<T> {
    /// As it was when it happened.
    pub outcome: T,
    /// This is the answer of the first time.
    pub replayed: bool,
}

/// As it is kept.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    request: String,
    // What earlier releases called it.
    #[serde(alias = "pod")]
    outcome: T,
}

impl Receipt {
    /// For what `sender` asks under `key`; `request` is all that makes two requests the same, such as method, path and body.
    ///
    /// # Errors
    /// `Invalid` if the key is not 1 to 255 visible ASCII characters.
    pub fn new(sender: UserId, key: &str, request: impl fmt::Display) -> Result<Self> {
        let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if !is_key || key.len() > LONGEST {
            return Err(Error::invalid(
                "",
                format!("An Idempotency-Key is 1 to {LONGEST} visible ASCII characters."),
            ));
        }
        Ok(Self {
            sender,
            key: key.to_owned(),
            request: digest(&request.to_string()),
        })
    }

    fn name(&self) -> String {
        format!("{}{}", prefix(self.sender), self.key)
    }

    /// What is written beside what the request leads to.
    pub(crate) fn of(&self, outcome: &impl Serialize, now: Time) -> Result<DocChange> {
        let kept = Kept {
            request: self.request.clone(),
            outcome,
        };
        let body = serde_json::to_value(kept)
            .map_err(|e| Error::internal("A receipt can't be written.").caused_by(e))?;
        Ok(DocChange::Put(Document {
            kind: KIND.to_owned(),
            key: self.name(),
            body,
            index: [None, None, None],
            expires_at: Some(now + KEPT),
            version: 0,
        }))
    }

    /// What the request came to, if it has happened already.
    ///
    /// # Errors
    /// `IdempotencyConflict` if something else was asked under this key.
    pub(crate) async fn done<T: DeserializeOwned>(&self, core: &Core) -> Result<Option<T>> {
        let now = core.clock.now();
        let Some(document) = core.store.document(KIND, &self.name(), now).await? else {
            return Ok(None);
        };
        let unreadable = |e| Error::internal("A receipt can't be read.").caused_by(e);
        let kept: Kept<Value> = serde_json::from_value(document.body).map_err(unreadable)?;
        if kept.request != self.request {
            return Err(Error::new(
                ErrorKind::IdempotencyConflict,
                "Something else was asked with this Idempotency-Key; take a new one.",
            ));
        }
        // Only now: another request may have come to something else.
        serde_json::from_value(kept.outcome)
            .map(Some)
            .map_err(unreadable)
    }
}

/// How the receipts of a sender begin.
fn prefix(sender: UserId) -> String {
    format!("{sender}/")
}

/// Takes away the receipts of a user who is forgotten.
pub(crate) async fn forget(core: &Core, sender: UserId) -> Result<Vec<DocChange>> {
    let query = DocQuery {
        kind: KIND.to_owned(),
        prefix: prefix(sender),
        limit: 1000,
        now: core.clock.now(),
        ..DocQuery::default()
    };
    let page = core.store.documents(&query).await?;
    Ok(page.items.iter().map(DocChange::remove).collect())
}

/// Only whether two requests are the same matters, not what they were.
fn digest(request: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, request.as_bytes());
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(all(test, feature = "testing"))]
mod tests;
