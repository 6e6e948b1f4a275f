//! The store in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::error::{Error, Result};
use crate::event::{Event, NewEvent};
use crate::id::{AccountId, Entropy, PodId, Token, UserId};
use crate::pod::Pod;
use crate::rule::{Rule, broken};
use crate::store::{
    Account, Booked, Changes, Claim, DocQuery, Document, EventPage, EventQuery, Lease,
    LedgerFilter, LedgerQuery, LedgerRow, Meter, Page, PodFilter, PodQuery, Posted, Store, Tables,
    Transfer, TransferQuery, UserQuery, Work, WorkKey, Writes, prefix_end,
};
use crate::time::Time;
use crate::user::User;

/// Events are kept for 7 days, and no more than this many.
const EVENTS_KEPT: usize = 100_000;
const EVENTS_KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// Keeps everything in memory, behind one mutex: as correct as the others, gone when it is dropped.
#[derive(Debug)]
pub struct MemoryStore {
    rows: Mutex<Rows>,
    entropy: Entropy,
    installation: String,
    /// Of a capacity of one: a hint that is still unread stands for all. Not tokio's `watch`, which wakes those who
    /// wait in random order, so that no simulated history would replay.
    changed: broadcast::Sender<()>,
}

#[derive(Debug, Default)]
struct Rows {
    tables: Tables,
    /// Work by the time it can be claimed.
    ready: BTreeSet<(Time, WorkKey)>,
    /// Ids of transfers by account, in the order they were written.
    statements: BTreeMap<AccountId, Vec<String>>,
    /// Keys of documents by kind, number and text of an index value.
    index: BTreeSet<(String, u8, String, String)>,
    /// Documents by the time they expire.
    expiring: BTreeSet<(Time, (String, String))>,
    events: VecDeque<NewEvent>,
    /// How many events went before the first of `events`.
    events_gone: u64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::with(Entropy::system())
    }

    /// An empty store whose tokens repeat with the seed.
    #[cfg(feature = "testing")]
    pub fn seeded(seed: u64) -> Self {
        Self::with(Entropy::seeded(seed))
    }

    fn with(entropy: Entropy) -> Self {
        Self {
            rows: Mutex::default(),
            installation: Token::random(&entropy).to_string(),
            entropy,
            changed: broadcast::Sender::new(1),
        }
    }

    /// When each piece of work can be claimed, the soonest first.
    #[cfg(all(test, feature = "testing"))]
    pub(crate) fn ready(&self) -> Vec<(Time, WorkKey)> {
        self.rows().ready.iter().cloned().collect()
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().expect("no panic while held")
    }

    fn cursor(&self, position: u64) -> String {
        format!("{}.{position}", self.installation)
    }
}

impl Rows {
    /// Writes, and keeps every index in step.
    fn apply(&mut self, mut writes: Writes, now: Time) {
        for (key, wish) in &writes.wishes {
            if let Some(before) = self.tables.wishes.get(key) {
                self.ready.remove(&(before.ready, key.clone()));
            }
            self.ready
                .extend(wish.iter().map(|w| (w.ready, key.clone())));
        }
        for Booked { transfer, .. } in &writes.transfers {
            for account in [&transfer.debit, &transfer.credit] {
                self.statements
                    .entry(account.clone())
                    .or_default()
                    .push(transfer.id.clone());
            }
        }
        for (id, document) in &writes.documents {
            if let Some(before) = self.tables.documents.get(id) {
                index_keys(before).for_each(|key| {
                    self.index.remove(&key);
                });
                if let Some(at) = before.expires_at {
                    self.expiring.remove(&(at, id.clone()));
                }
            }
            if let Some(document) = document {
                self.index.extend(index_keys(document));
                self.expiring
                    .extend(document.expires_at.map(|at| (at, id.clone())));
            }
        }
        self.append(std::mem::take(&mut writes.events));
        self.tables.apply(writes);
        self.forget_expired(now);
    }

    fn append(&mut self, events: Vec<NewEvent>) {
        self.events.extend(events);
        let newest = self.events.back().map_or(Time::EPOCH, |e| e.at);
        while let Some(oldest) = self.events.front() {
            if self.events.len() <= EVENTS_KEPT && oldest.at + EVENTS_KEPT_FOR >= newest {
                break;
            }
            self.events.pop_front();
            self.events_gone += 1;
        }
    }

    /// Drops what nobody can see any more, a day late: clocks of replicas differ.
    fn forget_expired(&mut self, now: Time) {
        let past = now - Duration::from_secs(24 * 3600);
        while let Some((at, _)) = self.expiring.first()
            && *at < past
            && let Some((_, id)) = self.expiring.pop_first()
            && let Some(document) = self.tables.documents.remove(&id)
        {
            index_keys(&document).for_each(|key| {
                self.index.remove(&key);
            });
        }
    }

    fn documents<'a>(&'a self, query: &'a DocQuery) -> Box<dyn Iterator<Item = &'a Document> + 'a> {
        let (low, high) = key_range(query);
        if high.as_ref().is_some_and(|high| low >= *high) {
            return Box::new(std::iter::empty());
        }
        let kind = || query.kind.clone();
        let live = |d: &&Document| d.is_live(query.now);
        let all = &self.tables.documents;
        if let Some((n, value)) = &query.index {
            let key = |key| (kind(), *n, value.clone(), key);
            let high = high.map_or((kind(), *n, after(value), String::new()), key);
            let found = self.index.range(key(low)..high);
            let found = found.map(|(kind, _, _, key)| &all[&(kind.clone(), key.clone())]);
            return in_order(found.filter(live), query.newest_first);
        }
        let high = high.map_or((after(&query.kind), String::new()), |key| (kind(), key));
        let found = all.range((kind(), low)..high).map(|(_, d)| d);
        in_order(found.filter(live), query.newest_first)
    }

    fn ledger(&self, query: &LedgerQuery, limit: usize) -> Result<Page<LedgerRow>> {
        let (tables, after) = (&self.tables, query.after.as_deref());
        // Each row with the place that the next page goes on from.
        let rows: Vec<(String, LedgerRow)> = match &query.filter {
            LedgerFilter::Accounts => {
                let after = after.map_or(Unbounded, |id| Excluded(AccountId::new(id)));
                let rows = tables.accounts.range((after, Unbounded)).take(limit + 1);
                rows.map(|(id, a)| (id.to_string(), LedgerRow::Account(a.clone())))
                    .collect()
            }
            LedgerFilter::Account(id) => {
                let there = after.map(parse_place).transpose()?.unwrap_or(0);
                let ids = self.statements.get(id).into_iter().flatten();
                let rows = (there + 1..).zip(ids.skip(there)).take(limit + 1);
                rows.map(|(n, id)| (n.to_string(), transfer_row(&tables.transfers[id])))
                    .collect()
            }
            LedgerFilter::Transfers => {
                let after = after.map_or(Unbounded, |id| Excluded(id.to_owned()));
                let rows = tables.transfers.range((after, Unbounded)).take(limit + 1);
                rows.map(|(id, booked)| (id.clone(), transfer_row(booked)))
                    .collect()
            }
            LedgerFilter::Meters => {
                let after = after.map(str::parse::<Meter>).transpose()?;
                let after = after.map_or(Unbounded, Excluded);
                let rows = tables.meters.range((after, Unbounded)).take(limit + 1);
                rows.map(|(m, posted)| (m.to_string(), LedgerRow::Meter(*m, *posted)))
                    .collect()
            }
        };
        Ok(Page::of(rows, limit, |(place, _)| place.clone()).map(|(_, row)| row))
    }

    fn claim(&mut self, claim: &Claim, token: Token) -> Vec<Work> {
        let due = self.ready.iter().take_while(|(at, _)| *at <= claim.now);
        let due: Vec<_> = due.take(claim.limit as usize).cloned().collect();
        due.into_iter()
            .map(|(at, key)| {
                let wish = self.tables.wishes[&key];
                self.ready.remove(&(at, key.clone()));
                if broken(Rule::ClaimKeepsWish) {
                    self.tables.wishes.remove(&key);
                } else {
                    let until = claim.now + claim.lease;
                    self.tables
                        .wishes
                        .insert(key.clone(), wish.leased(token, until));
                    self.ready.insert((until, key.clone()));
                }
                Work {
                    key,
                    token,
                    wake: wish.wake,
                }
            })
            .collect()
    }
}

fn transfer_row(booked: &Arc<Booked>) -> LedgerRow {
    LedgerRow::Transfer(Box::new(Booked::clone(booked)))
}

fn index_keys(d: &Document) -> impl Iterator<Item = (String, u8, String, String)> {
    (0..)
        .zip(&d.index)
        .filter_map(|(n, value)| Some((d.kind.clone(), n, value.clone()?, d.key.clone())))
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, changes: &Changes) -> Result<()> {
        {
            let mut rows = self.rows();
            let writes = rows.tables.judge(changes)?;
            rows.apply(writes, changes.now);
        }
        // Nobody listening is no error.
        let _ = self.changed.send(());
        Ok(())
    }

    async fn pod(&self, id: PodId) -> Result<Option<Pod>> {
        let pod = self.rows().tables.pods.get(&id).cloned();
        Ok(pod.map(Arc::unwrap_or_clone))
    }

    async fn pods(&self, query: &PodQuery) -> Result<Page<Pod>> {
        let limit = Page::<Pod>::limit(query.limit)?;
        let after = query.after.as_deref().map(PodFilter::parse_after);
        let after = after.transpose()?;
        let rows: Vec<_> = {
            let rows = self.rows();
            let pods = rows.tables.pods_in(&query.filter, after);
            pods.take(limit + 1).cloned().collect()
        };
        let rows = rows.into_iter().map(Arc::unwrap_or_clone).collect();
        Ok(query.filter.page(rows, limit))
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        Ok(self.rows().tables.users.get(&id).cloned())
    }

    async fn users(&self, query: &UserQuery) -> Result<Page<User>> {
        let limit = Page::<User>::limit(query.limit)?;
        let after = query.after.as_deref().map(str::parse::<UserId>);
        let after = after.transpose()?;
        let wanted = query.contains.as_ref().map(|text| text.to_lowercase());
        let fits = |user: &&User| {
            wanted.as_ref().is_none_or(|text| {
                user.email.to_lowercase().contains(text) || user.name.to_lowercase().contains(text)
            })
        };
        let rows = self.rows();
        let users = rows
            .tables
            .users
            .range((after.map_or(Unbounded, Excluded), Unbounded))
            .map(|(_, user)| user);
        let found = users.filter(fits).take(limit + 1).cloned().collect();
        Ok(Page::of(found, limit, |user| user.id.to_string()))
    }

    async fn account(&self, id: &AccountId) -> Result<Option<Account>> {
        let rows = self.rows();
        if id.is_customer() {
            return Ok(rows.tables.accounts.get(id).cloned());
        }
        Ok(rows.statements.get(id).map(|transfers| Account {
            posted: transfers
                .iter()
                .map(|t| rows.tables.transfers[t].transfer.amount_for(id))
                .sum(),
            unlimited: true,
            ..Account::new(id.clone())
        }))
    }

    async fn transfers(&self, query: &TransferQuery) -> Result<Page<Transfer>> {
        let limit = Page::<Transfer>::limit(query.limit)?;
        let rows = self.rows();
        let statement = rows
            .statements
            .get(&query.account)
            .map_or(&[][..], Vec::as_slice);
        let end = match &query.after {
            Some(after) => parse_place(after)?.min(statement.len()),
            None => statement.len(),
        };
        let start = end.saturating_sub(limit);
        let items = statement[start..end].iter().rev();
        Ok(Page {
            items: items
                .map(|id| rows.tables.transfers[id].transfer.clone())
                .collect(),
            next: (start > 0).then(|| start.to_string()),
        })
    }

    async fn meters(&self, meters: &[Meter]) -> Result<Vec<Option<Posted>>> {
        let rows = self.rows();
        let posted = meters.iter().map(|m| rows.tables.meters.get(m).copied());
        Ok(posted.collect())
    }

    async fn ledger(&self, query: &LedgerQuery) -> Result<Page<LedgerRow>> {
        let limit = Page::<LedgerRow>::limit(query.limit)?;
        self.rows().ledger(query, limit)
    }

    async fn leases(&self, prefix: &str) -> Result<Vec<Lease>> {
        let rows = self.rows();
        let leases = rows
            .tables
            .leases
            .range::<str, _>((Included(prefix), Unbounded));
        Ok(leases
            .take_while(|(resource, _)| resource.starts_with(prefix))
            .map(|(_, lease)| lease.clone())
            .collect())
    }

    async fn documents(&self, query: &DocQuery) -> Result<Page<Document>> {
        let limit = query.rows()?;
        let rows = self.rows();
        let found = rows.documents(query).take(limit + 1).cloned().collect();
        Ok(Page::of(found, limit, |d: &Document| d.key.clone()))
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Work>> {
        Ok(self.rows().claim(claim, Token::random(&self.entropy)))
    }

    async fn events(&self, query: &EventQuery) -> Result<EventPage> {
        let limit = Page::<Event>::limit(query.limit)?;
        let rows = self.rows();
        let oldest = rows.events_gone;
        let newest = oldest + rows.events.len() as u64;
        let asked = query.after.as_deref().map(|cursor| {
            let (life, position) = cursor.split_once('.')?;
            let position = position.parse().ok()?;
            (life == self.installation && (oldest..=newest).contains(&position)).then_some(position)
        });
        let from = asked.flatten().unwrap_or(oldest);
        let events = rows.events.iter().skip((from - oldest) as usize);
        let events: Vec<_> = (from + 1..)
            .zip(events.take(limit))
            .map(|(position, event)| Event {
                cursor: self.cursor(position),
                event: event.clone(),
            })
            .collect();
        Ok(EventPage {
            cursor: self.cursor(from + events.len() as u64),
            events,
            reset: asked == Some(None),
        })
    }

    async fn newest(&self) -> Result<String> {
        let rows = self.rows();
        Ok(self.cursor(rows.events_gone + rows.events.len() as u64))
    }

    async fn changed(&self) -> Result<BoxStream<'static, ()>> {
        let hints = self.changed.subscribe();
        Ok(stream::unfold(hints, |mut hints| async {
            match hints.recv().await {
                Ok(()) | Err(RecvError::Lagged(_)) => Some(((), hints)),
                Err(RecvError::Closed) => None,
            }
        })
        .boxed())
    }

    async fn installation(&self) -> Result<String> {
        Ok(self.installation.clone())
    }
}

fn in_order<'a, T>(
    rows: impl DoubleEndedIterator<Item = T> + 'a,
    newest_first: bool,
) -> Box<dyn Iterator<Item = T> + 'a> {
    if newest_first {
        Box::new(rows.rev())
    } else {
        Box::new(rows)
    }
}

/// Which keys come into question: from the first, up to but without the second.
fn key_range(query: &DocQuery) -> (String, Option<String>) {
    let end = prefix_end(&query.prefix);
    match &query.after {
        None => (query.prefix.clone(), end),
        Some(last) if query.newest_first => {
            let end = end.map_or(last.clone(), |end| end.min(last.clone()));
            (query.prefix.clone(), Some(end))
        }
        Some(last) => (after(last).max(query.prefix.clone()), end),
    }
}

/// The text that comes right after this one: none of ours has a NUL.
fn after(text: &str) -> String {
    format!("{text}\0")
}

fn parse_place(after: &str) -> Result<usize> {
    let bad = |_| Error::invalid("/after", "This is not where a page of transfers ended.");
    after.parse().map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Finish, Wake};

    #[tokio::test]
    async fn work_woken_during_its_lease_is_not_lost() {
        let store = MemoryStore::new();
        let at = |s| Time::EPOCH + Duration::from_secs(s);
        let key = WorkKey::Sweep("docker".to_owned());
        let wake = |at| Changes {
            wakes: vec![Wake {
                key: key.clone(),
                at,
            }],
            ..Changes::default()
        };
        store.commit(&wake(at(1))).await.unwrap();
        let claim = |now| Claim {
            limit: 10,
            now,
            lease: Duration::from_secs(60),
        };
        assert_eq!(store.claim(&claim(at(0))).await.unwrap(), []);
        let work = store.claim(&claim(at(1))).await.unwrap();
        assert_eq!(work.len(), 1);
        store.commit(&wake(at(5))).await.unwrap();
        assert_eq!(store.claim(&claim(at(6))).await.unwrap(), []);
        let finish = Changes {
            finish: Some(Finish {
                work: work[0].clone(),
                next: None,
            }),
            ..Changes::default()
        };
        store.commit(&finish).await.unwrap();
        assert!(store.commit(&finish).await.is_err());
        assert_eq!(store.claim(&claim(at(6))).await.unwrap().len(), 1);
    }
}
