//! Who may sign in, and what is written about whoever does: a new user, or what has changed since the last time.

use serde_json::json;

use super::{ATTEMPTS, EMAIL, IDENTITY, SESSION, Sessions, about, in_good_standing, not_signed_in};
use crate::activity::Did;
use crate::auth::Person;
use crate::error::{Error, ErrorKind, Result};
use crate::event::NewEvent;
use crate::id::{AccountId, UserId};
use crate::money::Money;
use crate::platform::prices_in;
use crate::store::{AccountChange, Changes, DocChange, StoreExt, Transfer, TransferQuery};
use crate::time::Time;
use crate::user::{Role, Standing, User};

impl Sessions {
    /// The user that `person` is, with what has to be written for that: all of it for a new one, what has changed since
    /// the last time, or nothing.
    pub(super) async fn known(&self, person: &Person, now: Time) -> Result<(User, Changes)> {
        let is_admin = self.rules.admins.contains(&person.email);
        let allowed = self.rules.allowed.as_ref();
        if !is_admin && allowed.is_some_and(|list| !list.contains(&person.email)) {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "This e-mail address is not on the list of those who may sign in.",
            ));
        }
        let role = if is_admin { Role::Admin } else { Role::Client };
        let mut changes = Changes {
            now,
            ..Changes::default()
        };
        // In this order: both are written at once, so an address that is taken while its identity is not there
        // is somebody else's.
        let address = self.store.document(EMAIL, &person.email, now).await?;
        let identity = self.store.document(IDENTITY, &person.identity, now).await?;
        let before = match identity {
            Some(identity) => self.user_of(&identity).await?.ok_or_else(not_signed_in)?,
            None => self.newcomer(person, role, now),
        };
        in_good_standing(&before)?;
        let is_new = before.version == 0;
        if is_new || before.email != person.email {
            if address.is_some() {
                return Err(Error::new(
                    ErrorKind::Forbidden,
                    "This e-mail address belongs to another account.",
                ));
            }
            changes
                .documents
                .push(about(before.id, EMAIL, &person.email, None));
        }
        if is_new {
            let identity = about(before.id, IDENTITY, &person.identity, None);
            changes.documents.push(identity);
        } else if before.email != person.email {
            let old = self.store.document(EMAIL, &before.email, now).await?;
            changes
                .documents
                .extend(old.as_ref().map(DocChange::remove));
        }
        let user = User {
            role,
            email: person.email.clone(),
            name: person.name.clone(),
            avatar: person.avatar.clone(),
            ..before.clone()
        };
        if is_new || user != before {
            changes.users.push(user.clone());
        }
        if !is_new && before.role != role {
            let event = NewEvent::access_changed(user.id, now);
            changes.events.push(event);
        }
        if is_new || before.role != role {
            let account = AccountId::of(user.id);
            let unlimited = role == Role::Admin;
            if !unlimited {
                changes.transfers.extend(self.gift(&account, now).await?);
            }
            changes.accounts.push(AccountChange {
                id: account,
                unlimited,
            });
        }
        Ok((user, changes))
    }

    /// What the price list gives to whoever has never had anything.
    async fn gift(&self, account: &AccountId, now: Time) -> Result<Option<Transfer>> {
        let Some((_, prices)) = prices_in(&*self.store, now).await? else {
            return Ok(None);
        };
        let amount = prices.free_tier.initial_balance;
        if !prices.free_tier.enabled || amount <= Money::ZERO {
            return Ok(None);
        }
        let any = TransferQuery {
            account: account.clone(),
            after: None,
            limit: 1,
        };
        let has_had = !self.store.transfers(&any).await?.items.is_empty();
        Ok((!has_had).then(|| Transfer {
            id: format!("gift/{account}"),
            debit: AccountId::from("grants"),
            credit: account.clone(),
            amount,
            memo: "Welcome".to_owned(),
            actor: None,
            at: now,
            charge: None,
        }))
    }

    fn newcomer(&self, person: &Person, role: Role, now: Time) -> User {
        User {
            id: UserId::random(&self.entropy),
            identity: person.identity.clone(),
            email: person.email.clone(),
            name: person.name.clone(),
            avatar: person.avatar.clone(),
            role,
            standing: Standing::Active,
            plan: "free".to_owned(),
            created_at: now,
            version: 0,
        }
    }

    /// Writes what makes `person` a user, and a session if its key is given. Answers since when.
    pub(super) async fn admit(
        &self,
        person: &Person,
        session: Option<&str>,
    ) -> Result<(User, Time)> {
        for _ in 0..ATTEMPTS {
            let now = self.clock.now();
            let (mut user, mut changes) = self.known(person, now).await?;
            if let Some(key) = session {
                let until = Some(now + self.rules.lifetime);
                changes.documents.push(about(user.id, SESSION, key, until));
            }
            // Who vouches, and not who he is there.
            let issuer = person.identity.split('#').next().unwrap_or_default();
            let by = json!({ "provider": issuer });
            let signed_up = (user.version == 0).then_some(Did::Signup);
            let signed_in = session.map(|_| Did::Login);
            let done = signed_up.into_iter().chain(signed_in);
            let noted: Vec<DocChange> = done
                .map(|did| self.did(now, user.id, did, by.clone()))
                .collect();
            changes.documents.extend(noted);
            if changes.users.is_empty() && changes.documents.is_empty() {
                return Ok((user, now));
            }
            user.version += changes.users.len() as u64;
            let written = self.store.commit(&changes).await;
            if !changes.users.is_empty() {
                self.believed.forget(|_, who| who.user.id == user.id);
            }
            match written {
                Err(e) if *e.kind() == ErrorKind::Conflict => {}
                done => return done.map(|()| (user, now)),
            }
        }
        Err(Error::conflict(
            "Others signed in as the same person at the same time; try again.",
        ))
    }
}
