//! The rows that a write is judged on, and what is written if it may happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Account, Booked, Document, Lease, Meter, PodFilter, Posted, Work, WorkKey};
use crate::event::NewEvent;
use crate::id::{AccountId, PodId, Token, UserId};
use crate::pod::Pod;
use crate::rule::{Rule, broken};
use crate::time::Time;
use crate::user::User;

/// Rows of a store: all of them, or (in a store that keeps them elsewhere) those that a write needs.
#[derive(Debug, Default)]
pub struct Tables {
    /// Pods by id.
    pub pods: BTreeMap<PodId, Arc<Pod>>,
    /// Users by id.
    pub users: BTreeMap<UserId, User>,
    /// Customers' accounts by id.
    pub accounts: BTreeMap<AccountId, Account>,
    /// Documents by kind and key, expired ones too.
    pub documents: BTreeMap<(String, String), Document>,
    /// Transfers by id.
    pub transfers: BTreeMap<String, Arc<Booked>>,
    /// What is posted of meters.
    pub meters: BTreeMap<Meter, Posted>,
    /// Leases by resource.
    pub leases: BTreeMap<String, Lease>,
    /// Work by key.
    pub wishes: BTreeMap<WorkKey, Wish>,
    /// How many pods answer a filter beside those in here.
    pub elsewhere: BTreeMap<PodFilter, u64>,
    /// Every place of the pods in here.
    places: BTreeMap<PodFilter, BTreeSet<(i64, PodId)>>,
}

/// What a commit writes: whole rows as they are afterwards, `None` for those that go.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Writes {
    /// Pods.
    pub pods: Vec<Pod>,
    /// Users.
    pub users: BTreeMap<UserId, Option<User>>,
    /// Customers' accounts.
    pub accounts: BTreeMap<AccountId, Account>,
    /// Documents by kind and key.
    pub documents: BTreeMap<(String, String), Option<Document>>,
    /// New transfers, in order.
    pub transfers: Vec<Booked>,
    /// Totals of meters.
    pub meters: BTreeMap<Meter, Posted>,
    /// Leases by resource.
    pub leases: BTreeMap<String, Option<Lease>>,
    /// Work by key.
    pub wishes: BTreeMap<WorkKey, Option<Wish>>,
    /// New events, in order.
    pub events: Vec<NewEvent>,
}

/// A piece of work as a row: it stays while it is leased, until it is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// When it can be claimed: its due time, or the end of its lease.
    pub ready: Time,
    /// How often it has been woken.
    pub wake: u64,
    /// The lease, if there is one.
    pub token: Option<Token>,
    /// The earliest due time of the wakes since it was leased.
    pub woken: Option<Time>,
}

impl Wish {
    /// Work that is due at `at`, after one more wake.
    pub(super) fn woken(before: Option<Self>, at: Time) -> Self {
        match before {
            None => Self {
                ready: at,
                wake: 1,
                token: None,
                woken: None,
            },
            Some(w) if w.token.is_some() => Self {
                wake: w.wake + 1,
                woken: Some(w.woken.map_or(at, |earlier| earlier.min(at))),
                ..w
            },
            Some(w) => Self {
                wake: w.wake + 1,
                ready: w.ready.min(at),
                ..w
            },
        }
    }

    /// What is left of it when the lease that `work` proves is finished. `next` is when to look again in any case.
    pub(super) fn finished(self, work: &Work, next: Option<Time>) -> Option<Self> {
        let woken = self
            .woken
            .filter(|_| self.wake != work.wake && !broken(Rule::FinishComparesWake));
        let ready = woken.into_iter().chain(next).min()?;
        Some(Self {
            ready,
            token: None,
            woken: None,
            ..self
        })
    }

    /// The work, leased until `until`.
    pub fn leased(self, token: Token, until: Time) -> Self {
        Self {
            ready: until,
            token: Some(token),
            woken: None,
            ..self
        }
    }
}

impl Tables {
    /// Writes what [`judge`](Self::judge) has allowed. Events are the store's own business.
    pub fn apply(&mut self, writes: Writes) {
        for pod in writes.pods {
            self.put_pod(pod);
        }
        put_all(&mut self.users, writes.users);
        self.accounts.extend(writes.accounts);
        put_all(&mut self.documents, writes.documents);
        self.transfers.extend(
            writes
                .transfers
                .into_iter()
                .map(|t| (t.transfer.id.clone(), Arc::new(t))),
        );
        self.meters.extend(writes.meters);
        put_all(&mut self.leases, writes.leases);
        put_all(&mut self.wishes, writes.wishes);
    }

    /// Adds or replaces a pod, and its places.
    pub fn put_pod(&mut self, pod: Pod) {
        let (id, new) = (pod.id, pod.places());
        let old = match self.pods.insert(id, Arc::new(pod)) {
            Some(before) => before.places(),
            None => Vec::new(),
        };
        for (filter, position) in old.iter().filter(|place| !new.contains(place)) {
            if let Some(set) = self.places.get_mut(filter) {
                set.remove(&(*position, id));
                if set.is_empty() {
                    self.places.remove(filter);
                }
            }
        }
        for (filter, position) in new {
            self.places
                .entry(filter)
                .or_default()
                .insert((position, id));
        }
    }

    /// The pods in here that answer `filter`, in its order, after a position and id.
    pub fn pods_in<'a>(
        &'a self,
        filter: &PodFilter,
        after: Option<(i64, PodId)>,
    ) -> impl Iterator<Item = &'a Arc<Pod>> + Clone + use<'a> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.places
            .get(filter)
            .into_iter()
            .flat_map(move |set| set.range((after.map_or(Unbounded, Excluded), Unbounded)))
            .map(|(_, id)| &self.pods[id])
    }

    /// How many pods answer `filter`, here and elsewhere.
    pub fn count(&self, filter: &PodFilter) -> u64 {
        self.places.get(filter).map_or(0, |set| set.len() as u64)
            + self.elsewhere.get(filter).copied().unwrap_or(0)
    }
}

fn put_all<K: Ord, V>(table: &mut BTreeMap<K, V>, rows: BTreeMap<K, Option<V>>) {
    for (key, row) in rows {
        match row {
            Some(row) => table.insert(key, row),
            None => table.remove(&key),
        };
    }
}
