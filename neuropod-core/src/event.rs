//! Events: what changed, as rows in an order that never reveals an earlier one later.

use serde::{Deserialize, Serialize};

use crate::id::{PodId, UserId};
use crate::time::Time;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum EventKind {
    /// A pod was launched.
    PodCreated,
    /// Something about a pod that a user can see has changed.
    PodUpdate,
    /// A delete was accepted.
    PodDeleted,
    /// Nothing is left of a deleted pod.
    PodGone,
    /// A balance was changed by an administrator.
    BalanceUpdate,
    /// A balance runs low.
    LowBalance,
    /// A limit of a budget is reached.
    BudgetReached,
    /// Something an administrator should know.
    AdminNotice,
    /// A message to everybody.
    Broadcast,
}

/// An event that is to be written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewEvent {
    /// What happened.
    pub kind: EventKind,
    /// When, in our time.
    pub at: Time,
    /// About which pod.
    pub pod: Option<PodId>,
    /// Who may see it beside administrators; `None` for administrators only, or for everybody if it is a broadcast.
    pub owner: Option<UserId>,
    /// Details. Never a secret.
    pub body: serde_json::Value,
}

/// An event as it was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the order: opaque, ask for what comes after it.
    pub cursor: String,
    /// What was written.
    #[serde(flatten)]
    pub event: NewEvent,
}
