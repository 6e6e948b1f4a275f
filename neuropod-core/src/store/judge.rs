//! What a commit does, decided without doing it: every version and condition is checked on the rows as they are, and
//! the answer is the rows as they will be.

use std::collections::BTreeSet;
use std::fmt;

use super::{
    Account, Booked, Changes, Condition, DocChange, Document, Finish, Lease, LeaseChange, Meter,
    MeterTotal, PodFilter, Posted, Tables, Transfer, Wish, WorkKey, Writes,
};
use crate::error::{Error, Result};
use crate::funds;
use crate::id::AccountId;
use crate::money::Money;
use crate::pod::Pod;
use crate::rule::{Rule, broken};
use crate::time::Time;

impl Tables {
    /// What `changes` writes, if it may happen: first its sense, then versions, tokens and unique keys, then its
    /// conditions in their order.
    ///
    /// # Errors
    /// As [`Store::commit`](super::Store::commit), and `Invalid` for what makes no sense.
    pub fn judge(&self, changes: &Changes) -> Result<Writes> {
        changes.check()?;
        let mut writes = self.rows(changes)?;
        for condition in &changes.conditions {
            if !self.holds(condition) {
                return Err(unmet(condition));
            }
        }
        for id in changes.touch.iter().filter(|id| id.is_customer()) {
            self.account_in(&mut writes, id);
        }
        for change in &changes.accounts {
            self.account_in(&mut writes, &change.id).unlimited = change.unlimited;
        }
        for transfer in &changes.transfers {
            self.transfer(&mut writes, transfer)?;
        }
        for total in &changes.meters {
            self.meter(&mut writes, total)?;
        }
        for change in &changes.leases {
            self.lease(&mut writes, change)?;
        }
        for wake in &changes.wakes {
            let wish = Wish::woken(self.wish_in(&writes, &wake.key), wake.at);
            writes.wishes.insert(wake.key.clone(), Some(wish));
        }
        writes.pods = changes.pods.clone();
        for pod in &mut writes.pods {
            pod.version = self.pods.get(&pod.id).map_or(0, |p| p.version) + 1;
        }
        writes.events = changes.events.clone();
        Ok(writes)
    }

    /// Checks versions and the token; answers the rows that are replaced as they stand in `changes`.
    fn rows(&self, changes: &Changes) -> Result<Writes> {
        let mut writes = Writes::default();
        for pod in &changes.pods {
            let stored = self.pods.get(&pod.id).map_or(0, |p| p.version);
            if stored != pod.version && !broken(Rule::VersionCheck) {
                return Err(changed("pod", pod.id));
            }
        }
        for user in &changes.users {
            if self.users.get(&user.id).map_or(0, |u| u.version) != user.version {
                return Err(changed("user", user.id));
            }
            let mut user = user.clone();
            user.version += 1;
            writes.users.insert(user.id, Some(user));
        }
        writes
            .users
            .extend(changes.forget_users.iter().map(|id| (*id, None)));
        for change in &changes.documents {
            let (kind, key, version) = change.names();
            let id = (kind.to_owned(), key.to_owned());
            let live = self
                .documents
                .get(&id)
                .filter(|d| d.is_live(changes.now))
                .map_or(0, |d| d.version);
            if live != version {
                return Err(changed("document", format_args!("{kind}/{key}")));
            }
            let row = match change {
                DocChange::Put(document) => Some(Document {
                    version: version + 1,
                    ..document.clone()
                }),
                DocChange::Remove { .. } => None,
            };
            writes.documents.insert(id, row);
        }
        if let Some(Finish { work, next }) = &changes.finish {
            let row = match self.wishes.get(&work.key) {
                Some(wish) if wish.token == Some(work.token) => wish.finished(work, *next),
                // Where a claim has cleared the wish, there is nothing to compare.
                None if broken(Rule::ClaimKeepsWish) => next.map(|at| Wish::woken(None, at)),
                _ => return Err(changed("lease of the work", &work.key)),
            };
            writes.wishes.insert(work.key.clone(), row);
        }
        Ok(writes)
    }

    /// Whether `condition` holds on the rows as they are.
    fn holds(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Hold {
                payer,
                pod,
                amount,
                at,
            } => self.funded(payer, |account| {
                let except = (!broken(Rule::OwnHoldIsExcluded)).then_some(*pod);
                funds::available(account, self.paid_by(payer), self.posted(), except, *at)
                    >= *amount
            }),
            Condition::Funded { payer, at } => self.funded(payer, |account| {
                funds::balance(account, self.paid_by(payer), self.posted(), *at) >= Money::ZERO
            }),
            Condition::NobodyQueued { product, except } => {
                let filter = PodFilter::QueuedFor(product.clone());
                let excepted = self
                    .pods
                    .get(except)
                    .is_some_and(|pod| pod.places().iter().any(|(place, _)| *place == filter));
                self.count(&filter) == u64::from(excepted)
            }
            Condition::FewerPods { owner, max } => {
                self.count(&PodFilter::OwnedBy(*owner)) < u64::from(*max)
            }
            Condition::UserAt { user, version } => {
                self.users.get(user).is_some_and(|u| u.version == *version)
            }
            Condition::AccountAt { account, version } => {
                let row = self.accounts.get(account);
                row.is_some_and(|row| row.version == *version)
            }
            Condition::LeaseFree { resource } => !self.leases.contains_key(resource),
        }
    }

    fn funded(&self, payer: &AccountId, enough: impl FnOnce(&Account) -> bool) -> bool {
        let account = self.account_or_new(payer);
        account.unlimited || !payer.is_customer() || enough(&account)
    }

    fn paid_by(&self, payer: &AccountId) -> impl Iterator<Item = &Pod> + Clone {
        self.pods_in(&PodFilter::PaidBy(payer.clone()), None)
            .map(|pod| &**pod)
    }

    fn posted(&self) -> impl Fn(Meter) -> Option<Posted> {
        |meter| self.meters.get(&meter).copied()
    }

    fn account_or_new(&self, id: &AccountId) -> Account {
        let there = self.accounts.get(id).cloned();
        there.unwrap_or_else(|| Account::new(id.clone()))
    }

    /// The account as it will be, its version raised once.
    fn account_in<'w>(&self, writes: &'w mut Writes, id: &AccountId) -> &'w mut Account {
        writes.accounts.entry(id.clone()).or_insert_with(|| {
            let account = self.account_or_new(id);
            Account {
                version: account.version + 1,
                ..account
            }
        })
    }

    fn wish_in(&self, writes: &Writes, key: &WorkKey) -> Option<Wish> {
        match writes.wishes.get(key) {
            Some(wish) => *wish,
            None => self.wishes.get(key).copied(),
        }
    }

    fn transfer(&self, writes: &mut Writes, transfer: &Transfer) -> Result<()> {
        let before = self.transfers.get(&transfer.id).map(|t| &**t).or_else(|| {
            let mut writes = writes.transfers.iter();
            writes.find(|t| t.transfer.id == transfer.id)
        });
        match before.map(|t| &t.transfer) {
            Some(before) if before.is_same(transfer) => Ok(()),
            Some(_) => Err(
                Error::conflict("There is another transfer with this id already.")
                    .with("transfer", &transfer.id),
            ),
            None => self.book(writes, transfer.clone()),
        }
    }

    /// Moves money between accounts, and chains it there; those of the platform itself are not kept.
    fn book(&self, writes: &mut Writes, transfer: Transfer) -> Result<()> {
        let mut chained = |id: &AccountId| {
            if !id.is_customer() {
                return Ok(None);
            }
            let account = self.account_in(writes, id);
            account.head = account.head.next(id, account.posted, &transfer);
            let amount = transfer.amount_for(id);
            account.posted = account.posted.checked_add(amount).ok_or_else(|| {
                Error::invalid("/transfers", "The account can't hold so much.").with("account", id)
            })?;
            Ok(Some(account.head))
        };
        let (debit, credit) = (chained(&transfer.debit)?, chained(&transfer.credit)?);
        writes.transfers.push(Booked {
            transfer,
            debit,
            credit,
        });
        Ok(())
    }

    fn meter(&self, writes: &mut Writes, change: &MeterTotal) -> Result<()> {
        let before = writes.meters.get(&change.meter);
        let before = before.or_else(|| self.meters.get(&change.meter)).copied();
        let Some(after) = change.on(before) else {
            return Ok(());
        };
        writes.meters.insert(change.meter, after);
        let due = after.total - before.map_or(Money::ZERO, |p| p.total);
        match change.transfer(before, after, due) {
            Some(transfer) => self.book(writes, transfer),
            None => Ok(()),
        }
    }

    fn lease(&self, writes: &mut Writes, change: &LeaseChange) -> Result<()> {
        let resource = change.resource();
        let before = match writes.leases.get(resource) {
            Some(row) => row.as_ref(),
            None => self.leases.get(resource),
        };
        if let Some(after) = change.on(before)? {
            writes.leases.insert(resource.to_owned(), after);
        }
        Ok(())
    }
}

impl MeterTotal {
    /// What is posted after this, if it changes anything.
    fn on(&self, before: Option<Posted>) -> Option<Posted> {
        let before = before.unwrap_or(Posted {
            total: Money::ZERO,
            closed: false,
            until: None,
        });
        let total = if broken(Rule::ChargesAreSet) {
            before.total + self.total
        } else {
            self.total
        };
        (!before.closed && (self.last || total > before.total)).then_some(Posted {
            total,
            closed: self.last,
            until: Some(self.used.to),
        })
    }

    /// The transfer that books `due` more (or less), if it is anything.
    fn transfer(&self, before: Option<Posted>, after: Posted, due: Money) -> Option<Transfer> {
        let revenue = AccountId::from("revenue");
        let (debit, credit) = if due > Money::ZERO {
            (self.payer.clone(), revenue)
        } else {
            (revenue, self.payer.clone())
        };
        // An open total only rises, so no two readings have the same; the last one may go back to an earlier one.
        let id = match after.closed {
            true => format!("meter/{}/last", self.meter),
            false => format!("meter/{}/{}", self.meter, after.total.as_micros()),
        };
        let memo = match self.meter {
            Meter::Run(pod, n) => format!("Run {n} of pod {pod}"),
            Meter::Volume(pod) => format!("Volume of pod {pod}"),
        };
        (due != Money::ZERO).then(|| Transfer {
            id,
            debit,
            credit,
            amount: Money::from_micros(due.as_micros().abs()),
            memo,
            actor: None,
            at: self.at,
            charge: Some(self.charge(before)),
        })
    }
}

impl LeaseChange {
    /// Which resource it is about.
    pub fn resource(&self) -> &str {
        match self {
            Self::Take { resource, .. }
            | Self::Free { resource, .. }
            | Self::SetAside { resource, .. }
            | Self::Clear { resource } => resource,
        }
    }

    /// The lease after this: `None` if it changes nothing.
    fn on(&self, before: Option<&Lease>) -> Result<Option<Option<Lease>>> {
        let of = |pod| before.is_some_and(|lease| lease.pod == Some(pod));
        Ok(match self {
            Self::Take { pod, .. } if of(*pod) => None,
            Self::Take { resource, pod, at } => {
                let free = before.is_none_or(|lease| lease.is_free(*at));
                if !free {
                    return Err(unmet(&Condition::LeaseFree {
                        resource: resource.clone(),
                    }));
                }
                Some(Some(Lease {
                    resource: resource.clone(),
                    pod: Some(*pod),
                    until: None,
                }))
            }
            Self::Free { pod, .. } => of(*pod).then_some(None),
            Self::SetAside {
                resource,
                pod,
                until,
            } => of(*pod).then(|| {
                Some(Lease {
                    resource: resource.clone(),
                    pod: None,
                    until: *until,
                })
            }),
            Self::Clear { .. } => before.filter(|l| l.pod.is_none()).map(|_| None),
        })
    }
}

impl DocChange {
    /// Kind, key, and the version it is to be at.
    pub fn names(&self) -> (&str, &str, u64) {
        match self {
            Self::Put(d) => (&d.kind, &d.key, d.version),
            Self::Remove { kind, key, version } => (kind, key, *version),
        }
    }
}

impl Document {
    /// Whether it is there at `now`.
    pub fn is_live(&self, now: Time) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

impl Transfer {
    /// What this adds to an account; less than nothing if it takes.
    pub fn amount_for(&self, account: &AccountId) -> Money {
        if *account == self.credit {
            self.amount
        } else {
            Money::from_micros(-self.amount.as_micros())
        }
    }

    /// Whether it is the same but for its time. No caller's transfer has a charge.
    fn is_same(&self, other: &Self) -> bool {
        (
            &self.debit,
            &self.credit,
            self.amount,
            &self.memo,
            self.actor,
        ) == (
            &other.debit,
            &other.credit,
            other.amount,
            &other.memo,
            other.actor,
        )
    }
}

impl Changes {
    /// Whether this makes sense, whatever is stored.
    ///
    /// # Errors
    /// `Invalid` for a row that is named twice, money that does not move, and texts that no database takes.
    pub fn check(&self) -> Result<()> {
        let twice = |pointer| Error::invalid(pointer, "One write names the same row twice.");
        if !all_differ(self.pods.iter().map(|p| p.id)) {
            return Err(twice("/pods"));
        }
        let users = self.users.iter().map(|u| u.id);
        if !all_differ(users.chain(self.forget_users.iter().copied())) {
            return Err(twice("/users"));
        }
        let documents = self.documents.iter().map(DocChange::names);
        if !all_differ(documents.map(|(kind, key, _)| (kind, key))) {
            return Err(twice("/documents"));
        }
        for transfer in &self.transfers {
            if transfer.amount <= Money::ZERO || transfer.debit == transfer.credit {
                return Err(Error::invalid(
                    "/transfers",
                    "A transfer moves more than nothing from one account to another.",
                ));
            }
            if transfer.id.starts_with("meter/") {
                return Err(Error::invalid(
                    "/transfers",
                    "Ids that begin with meter/ are the store's own.",
                ));
            }
            if transfer.charge.is_some() {
                return Err(Error::invalid(
                    "/transfers",
                    "Only the store says what a meter's transfer is for.",
                ));
            }
        }
        if self.meters.iter().any(|m| m.total < Money::ZERO) {
            return Err(Error::invalid("/meters", "A total is nothing or more."));
        }
        if !self.accounts.iter().all(|a| a.id.is_customer()) {
            return Err(Error::invalid(
                "/accounts",
                "Only customers' accounts are kept as rows.",
            ));
        }
        if texts(self).any(|text| text.contains('\0')) || names(self).any(|n| n.len() > 800) {
            return Err(Error::invalid(
                "",
                "Keys and index values have at most 800 bytes; they, names and memos have no NUL.",
            ));
        }
        Ok(())
    }
}

/// The texts that stand in columns of their own: databases take no NUL in those.
fn texts(changes: &Changes) -> impl Iterator<Item = &str> {
    let users = changes.users.iter();
    let users = users.flat_map(|u| [u.email.as_str(), u.name.as_str()]);
    let memos = changes.transfers.iter().map(|t| t.memo.as_str());
    let products = changes.meters.iter().map(|m| m.used.product.as_str());
    names(changes).chain(users).chain(memos).chain(products)
}

/// The texts that rows are found by: databases take no long ones in an index.
fn names(changes: &Changes) -> impl Iterator<Item = &str> {
    let documents = changes.documents.iter().flat_map(|change| {
        let (kind, key, _) = change.names();
        let index = match change {
            DocChange::Put(d) => d.index.as_slice(),
            DocChange::Remove { .. } => &[],
        };
        let index = index.iter().flatten().map(String::as_str);
        [kind, key].into_iter().chain(index)
    });
    let transfers = changes.transfers.iter();
    let transfers = transfers.flat_map(|t| [t.id.as_str(), t.debit.as_str(), t.credit.as_str()]);
    let leases = changes.leases.iter().map(LeaseChange::resource);
    documents.chain(transfers).chain(leases)
}

fn all_differ<T: Ord>(mut keys: impl Iterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    keys.all(|key| seen.insert(key))
}

fn changed(what: &'static str, id: impl fmt::Display) -> Error {
    Error::conflict(format!(
        "The {what} was changed by somebody else meanwhile."
    ))
    .with("id", id)
}

/// The error of a condition that does not hold.
fn unmet(condition: &Condition) -> Error {
    let message = match condition {
        Condition::Hold { amount, .. } => format!("The available balance does not cover {amount}."),
        Condition::Funded { .. } => "The balance has run out.".to_owned(),
        Condition::NobodyQueued { product, .. } => format!("Others wait for {product} already."),
        Condition::FewerPods { max, .. } => format!("There are {max} pods already."),
        Condition::UserAt { .. } => "The user has changed meanwhile.".to_owned(),
        Condition::AccountAt { .. } => "The account has changed meanwhile.".to_owned(),
        Condition::LeaseFree { resource } => format!("Somebody else has {resource}."),
    };
    Error::condition(condition.clone(), message)
}
