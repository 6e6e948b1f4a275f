//! Events: what changed, as rows in an order that never reveals an earlier one later.

use serde::{Deserialize, Serialize};

use crate::id::{PodId, UserId};
use crate::time::Time;
use crate::user::{Role, User};

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
    /// What its owner may do has changed, or one of his sessions has ended: whatever is open for him is to look again.
    AccessChanged,
}

/// Who may see an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Whoever has signed in.
    Everybody,
    /// This user, and administrators.
    Owner(UserId),
    /// Administrators.
    Administrators,
    /// The platform itself.
    Nobody,
}

impl Audience {
    /// Whether `user` is one of them.
    pub fn includes(self, user: &User) -> bool {
        match self {
            Self::Everybody => true,
            Self::Owner(owner) => owner == user.id || user.role == Role::Admin,
            Self::Administrators => user.role == Role::Admin,
            Self::Nobody => false,
        }
    }
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

impl NewEvent {
    /// That `user` has to be looked at again.
    pub fn access_changed(user: UserId, at: Time) -> Self {
        Self {
            kind: EventKind::AccessChanged,
            at,
            pod: None,
            owner: Some(user),
            body: serde_json::Value::Null,
        }
    }

    /// Who may see it.
    pub fn audience(&self) -> Audience {
        match (self.kind, self.owner) {
            (EventKind::Broadcast, _) => Audience::Everybody,
            (EventKind::AccessChanged, _) => Audience::Nobody,
            (EventKind::AdminNotice, _) | (_, None) => Audience::Administrators,
            (_, Some(owner)) => Audience::Owner(owner),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Identity;

    #[test]
    fn owners_see_what_is_theirs_administrators_all_and_the_rest_only_what_is_said_to_everybody() {
        let admin = Identity::local().user;
        let client = |n| User {
            id: UserId::from_bytes([n; 12]),
            role: Role::Client,
            ..admin.clone()
        };
        let (owner, other) = (client(1), client(2));
        let seen = |kind, owned: Option<UserId>| {
            let event = NewEvent {
                kind,
                owner: owned,
                ..NewEvent::access_changed(owner.id, Time::EPOCH)
            };
            [&owner, &other, &admin].map(|user| event.audience().includes(user))
        };
        let mine = Some(owner.id);
        for kind in [
            EventKind::PodCreated,
            EventKind::PodUpdate,
            EventKind::PodDeleted,
            EventKind::PodGone,
            EventKind::BalanceUpdate,
            EventKind::LowBalance,
            EventKind::BudgetReached,
        ] {
            assert_eq!(seen(kind, mine), [true, false, true], "{kind:?}");
            assert_eq!(seen(kind, None), [false, false, true], "{kind:?}");
        }
        for owned in [mine, None] {
            assert_eq!(seen(EventKind::AdminNotice, owned), [false, false, true]);
            assert_eq!(seen(EventKind::Broadcast, owned), [true; 3]);
            assert_eq!(seen(EventKind::AccessChanged, owned), [false; 3]);
        }
    }
}
