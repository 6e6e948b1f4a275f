//! A message to everybody who is there.

use serde_json::json;

use super::Platform;
use crate::activity::Did;
use crate::auth::Identity;
use crate::error::{Error, Result};
use crate::event::{EventKind, NewEvent};
use crate::store::Changes;

const LONGEST: usize = 1000;

impl Platform {
    /// Tells everybody something; for administrators.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` unless the message has 1 to 1000 characters.
    pub async fn broadcast(&self, who: &Identity, message: &str) -> Result<()> {
        self.administers(who).await?;
        let message = message.trim();
        if !(1..=LONGEST).contains(&message.chars().count()) {
            return Err(Error::invalid(
                "/message",
                format!("A message has 1 to {LONGEST} characters."),
            ));
        }
        let body = json!({ "message": message });
        let event = NewEvent {
            kind: EventKind::Broadcast,
            at: self.0.clock.now(),
            pod: None,
            owner: None,
            body: body.clone(),
        };
        self.0
            .commit(Changes {
                documents: vec![self.0.did(who, Did::Broadcast, body)],
                events: vec![event],
                ..Changes::default()
            })
            .await
    }
}
