//! Money that comes in, once for each id of whoever brings it.

use serde_json::json;

use super::people::is_race;
use super::{Core, Platform};
use crate::activity::Did;
use crate::auth::Identity;
use crate::billing::{Balance, Credit};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{EventKind, NewEvent};
use crate::id::{AccountId, UserId};
use crate::money::{MOST, Money};
use crate::store::{Changes, DocChange, Document, Wake, WorkKey};
use crate::user::Role;

/// The documents that say which credits are booked.
const KIND: &str = "credit";

impl Platform {
    /// Books money onto a user's account, once per `id`; for administrators.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for less than a micro-unit or more than a million; `NotFound`; `InvalidTransition` for an
    /// administrator, whose account never runs out; `IdempotencyConflict` if something else was booked under this id.
    pub async fn credit(
        &self,
        who: &Identity,
        id: &str,
        user: UserId,
        amount: Money,
        memo: &str,
    ) -> Result<Balance> {
        self.administers(who).await?;
        if id.is_empty() || id.len() > 200 {
            return Err(Error::invalid("/id", "\"id\" has 1 to 200 bytes."));
        }
        if memo.len() > 500 {
            return Err(Error::invalid("/memo", "\"memo\" has at most 500 bytes."));
        }
        if amount <= Money::ZERO || amount > MOST {
            return Err(Error::invalid(
                "/amount",
                "\"amount\" is more than 0 and at most 1000000.",
            ));
        }
        let target = self.user(user).await?;
        if target.role == Role::Admin {
            return Err(Error::new(
                ErrorKind::InvalidTransition,
                "An administrator's account never runs out.",
            ));
        }
        let credit = Credit {
            id: format!("credit/{id}"),
            account: AccountId::of(user),
            from: AccountId::from("funding"),
            amount,
            memo: memo.to_owned(),
            actor: Some(who.user.id),
            at: self.0.clock.now(),
        };
        let details = json!({ "userId": user, "credit": amount, "id": id });
        let did = self.0.did(who, Did::UpdateUserBalance, details);
        let by = json!({ "updatedBy": who.user.email });
        self.0.book(&credit, by, Some(did)).await
    }

    /// Books money that has come in by a way of the embedder's own, which asks nobody here: a card was charged, an invoice
    /// paid. The same [`Credit::id`] again changes nothing.
    ///
    /// # Errors
    /// `Invalid` for nothing or less; `IdempotencyConflict` if something else was booked under this id.
    pub async fn book(&self, credit: &Credit) -> Result<Balance> {
        self.0.book(credit, json!({}), None).await
    }
}

impl Core {
    /// The money, who hears of it, and who did it, in one write.
    async fn book(
        &self,
        credit: &Credit,
        mut told: serde_json::Value,
        did: Option<DocChange>,
    ) -> Result<Balance> {
        let conflict = |e: Error| match e.kind() {
            ErrorKind::Conflict => Error::new(
                ErrorKind::IdempotencyConflict,
                "Something else was booked under this id.",
            ),
            _ => e,
        };
        // First, since an outside biller has booked it once he is asked.
        let before = self.billing.balance(&credit.account, credit.at).await?;
        let transfers = self.billing.credit(credit).await.map_err(conflict)?;
        told["newBalance"] = json!(before.available + credit.amount);
        let event = NewEvent {
            kind: EventKind::BalanceUpdate,
            at: credit.at,
            pod: None,
            owner: credit.account.user(),
            body: told,
        };
        let first = DocChange::Put(Document {
            kind: KIND.to_owned(),
            key: credit.id.clone(),
            body: json!({}),
            index: [None, None, None],
            expires_at: None,
            version: 0,
        });
        let money = Changes {
            touch: self.lockable(&credit.account).into_iter().collect(),
            transfers,
            // Volumes that are kept without charge count again, and notices are due at other times.
            wakes: vec![Wake {
                key: WorkKey::Account(credit.account.clone()),
                at: credit.at,
            }],
            ..Changes::default()
        };
        let all = Changes {
            documents: [first].into_iter().chain(did).collect(),
            events: vec![event],
            ..money.clone()
        };
        match self.commit(all).await {
            // It is booked already, or something else is: the ledger knows.
            Err(e) if is_race(&e) => self.commit(money).await.map_err(conflict)?,
            other => other?,
        }
        self.billing.balance(&credit.account, credit.at).await
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
