//! Users as administrators see them, and their balances.

use serde_json::json;

use super::Platform;
use crate::accounts;
use crate::activity::Did;
use crate::auth::sessions::SESSION;
use crate::auth::{Action, Identity, Owner};
use crate::billing::{Adjustment, Balance};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{EventKind, NewEvent};
use crate::id::{AccountId, Token, UserId};
use crate::money::{MOST, Money};
use crate::pod::Phase;
use crate::receipt::{Done, Receipt};
use crate::store::{AccountChange, Changes, DocQuery, Page, PodFilter, StoreExt, UserQuery};
use crate::user::{Role, Standing, User};

/// A balance that others change so often in a row is left as it is.
const TRIES: usize = 8;

/// A user, and what an administrator wants to see beside him.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// The user.
    pub user: User,
    /// What he has.
    pub balance: Balance,
    /// His pods that run, or are about to.
    pub active_pods: usize,
    /// His pods whose delete was not accepted yet.
    pub total_pods: usize,
    /// Whether he has a session.
    pub online: bool,
}

/// An account that was not as its owner's role wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Repaired {
    /// Whose.
    pub user: User,
    /// What it had.
    pub before: Balance,
    /// What it has.
    pub after: Balance,
}

impl Platform {
    /// Users whose e-mail address or name contains `search`, in any case; for administrators. One who is being deleted is left
    /// out, so a page may have fewer rows than asked for.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for an `after` that no page ended at.
    pub async fn users(
        &self,
        who: &Identity,
        search: Option<String>,
        after: Option<String>,
        limit: u32,
    ) -> Result<Page<Person>> {
        self.administers(who).await?;
        let query = UserQuery {
            contains: search.filter(|text| !text.is_empty()),
            after,
            limit: limit.clamp(1, 1000),
        };
        let page = self.0.store.users(&query).await?;
        let mut people = Vec::with_capacity(page.items.len());
        for user in page.items {
            if user.standing != Standing::Deleting {
                people.push(self.person(user).await?);
            }
        }
        Ok(Page {
            items: people,
            next: page.next,
        })
    }

    async fn person(&self, user: User) -> Result<Person> {
        let core = &self.0;
        let now = core.clock.now();
        let balance = core.billing.balance(&AccountId::of(user.id), now).await?;
        let pods = PodFilter::OwnedBy(user.id);
        let pods = core.store.all_pods(pods).await?;
        let active = pods.iter().filter(|pod| {
            matches!(
                pod.phase(),
                Phase::Queued | Phase::Provisioning | Phase::Starting | Phase::Running
            )
        });
        let sessions = DocQuery {
            kind: SESSION.to_owned(),
            index: Some((0, user.id.to_string())),
            limit: 1,
            now,
            ..DocQuery::default()
        };
        let sessions = core.store.documents(&sessions).await?;
        Ok(Person {
            balance,
            active_pods: active.count(),
            total_pods: pods.len(),
            online: !sessions.items.is_empty(),
            user,
        })
    }

    /// Makes so much available to a user, by one transfer of the difference; for administrators. Answers the user.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for an amount that is not 0 to 1,000,000, or an administrator, whose account never runs out;
    /// `NotFound`.
    pub async fn set_balance(
        &self,
        who: &Identity,
        user: UserId,
        available: Money,
    ) -> Result<User> {
        self.adjust(who, user, available, None).await
    }

    /// Like [`Platform::set_balance`], and a repetition with the same receipt changes nothing more.
    ///
    /// # Errors
    /// Those of [`Platform::set_balance`]; `IdempotencyConflict` if something else was asked with this receipt's key.
    pub async fn set_balance_once(
        &self,
        who: &Identity,
        user: UserId,
        available: Money,
        receipt: &Receipt,
    ) -> Result<Done<User>> {
        self.once(receipt, || self.adjust(who, user, available, Some(receipt)))
            .await
    }

    async fn adjust(
        &self,
        who: &Identity,
        user: UserId,
        available: Money,
        receipt: Option<&Receipt>,
    ) -> Result<User> {
        self.administers(who).await?;
        if available < Money::ZERO || available > MOST {
            return Err(Error::invalid(
                "/balance",
                "\"balance\" is an amount, 0 to 1000000.",
            ));
        }
        let core = &self.0;
        for _ in 0..TRIES {
            let target = self.client(user).await?;
            let account = AccountId::of(user);
            let now = core.clock.now();
            let adjustment = Adjustment {
                id: format!("balance/{}", Token::random(&core.entropy)),
                account: account.clone(),
                available,
                other: AccountId::from("funding"),
                memo: "Set by an administrator".to_owned(),
                actor: Some(who.user.id),
                at: now,
            };
            let adjusted = core.billing.adjust(&adjustment).await?;
            let details = json!({ "userId": user, "newBalance": available });
            let receipt = receipt
                .map(|receipt| receipt.of(&target, now))
                .transpose()?;
            let changes = Changes {
                conditions: adjusted.conditions,
                transfers: adjusted.transfers,
                documents: [core.did(who, Did::UpdateUserBalance, details)]
                    .into_iter()
                    .chain(receipt)
                    .collect(),
                events: vec![NewEvent {
                    kind: EventKind::BalanceUpdate,
                    at: now,
                    pod: None,
                    owner: Some(user),
                    body: json!({ "newBalance": available, "updatedBy": who.user.email }),
                }],
                wakes: vec![accounts::wake(&account, now)],
                ..Changes::default()
            };
            match core.commit(changes).await {
                Err(e) if is_race(&e) => {}
                other => return other.map(|()| target),
            }
        }
        Err(Error::conflict(
            "This balance is being changed by others all the time; try again.",
        ))
    }

    /// Makes the accounts of administrators unlimited, and those of everybody else not, where they are not so; for
    /// administrators.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn fix_balances(&self, who: &Identity) -> Result<Vec<Repaired>> {
        self.administers(who).await?;
        let core = &self.0;
        let mut query = UserQuery {
            limit: 1000,
            ..UserQuery::default()
        };
        let (mut repaired, mut accounts) = (Vec::new(), Vec::new());
        loop {
            let page = core.store.users(&query).await?;
            for user in page.items {
                let account = AccountId::of(user.id);
                let unlimited = user.role == Role::Admin;
                let row = core.store.account(&account).await?;
                if row.map_or(unlimited, |row| row.unlimited != unlimited) {
                    repaired.push(Repaired {
                        before: core.billing.balance(&account, core.clock.now()).await?,
                        after: Balance::unlimited(),
                        user,
                    });
                    accounts.push(AccountChange {
                        id: account,
                        unlimited,
                    });
                }
            }
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        let details = json!({ "usersUpdated": repaired.len() });
        core.commit(Changes {
            accounts,
            documents: vec![core.did(who, Did::AdminBalancesFixed, details)],
            ..Changes::default()
        })
        .await?;
        for repaired in &mut repaired {
            let account = AccountId::of(repaired.user.id);
            repaired.after = core.billing.balance(&account, core.clock.now()).await?;
        }
        Ok(repaired)
    }

    pub(super) async fn administers(&self, who: &Identity) -> Result<()> {
        let auth = &self.0.auth;
        auth.authorize(who, Action::Administer, Owner::Platform)
            .await
    }

    /// A user who is no administrator, whom others administer.
    pub(super) async fn client(&self, id: UserId) -> Result<User> {
        let user = self.user(id).await?;
        match (user.standing, user.role) {
            (Standing::Deleting, _) => Err(Error::not_found("user", id)),
            (_, Role::Admin) => Err(Error::invalid(
                "/userId",
                "This user is an administrator; take that role away first.",
            )),
            _ => Ok(user),
        }
    }
}

/// Whether a write was refused because somebody else was first.
pub(super) fn is_race(refused: &Error) -> bool {
    matches!(
        refused.kind(),
        ErrorKind::Conflict | ErrorKind::Condition(_)
    )
}

#[cfg(all(test, feature = "testing"))]
mod tests;
