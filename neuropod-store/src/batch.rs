//! A transaction that writes: load every row that its commits name, judge each commit on those, write what has changed.
//!
//! Whether a commit may happen, and what it does, is [`Tables::judge`]'s decision, the same as in memory.

use std::collections::{BTreeMap, BTreeSet};

use neuropod_core::event::NewEvent;
use neuropod_core::id::{AccountId, PodId, UserId};
use neuropod_core::pod::Pod;
use neuropod_core::store::{
    Booked, Changes, Condition, LeaseChange, Meter, PodFilter, Tables, WorkKey, Writes,
};
use neuropod_core::{Result, Time};
use serde_json::json;

use crate::dialect::Dialect;
use crate::documents::Id;
use crate::events::Position;
use crate::pods::Places;
use crate::table::Column::{Int, Text};
use crate::table::Db;
use crate::{documents, events, leases, ledger, pods, users, work};

/// Keys of rows that are written, and whether each was there before.
pub(crate) type Touched<K> = BTreeMap<K, bool>;

/// The rows that some commits need.
#[derive(Debug, Default)]
struct Needs {
    /// What several rows together decide, by name, and whether these commits may change it.
    questions: BTreeMap<String, bool>,
    accounts: BTreeSet<AccountId>,
    users: BTreeSet<UserId>,
    pods: BTreeSet<PodId>,
    /// Accounts whose pods are needed.
    payers: BTreeSet<AccountId>,
    counts: BTreeSet<PodFilter>,
    documents: BTreeSet<Id>,
    transfers: BTreeSet<String>,
    meters: BTreeSet<Meter>,
    /// Meters of the pods as they are written: what a commit writes counts for the payer that a later one asks about.
    written: BTreeSet<Meter>,
    leases: BTreeSet<String>,
    work: BTreeSet<WorkKey>,
}

impl Needs {
    fn of<'a>(commits: impl IntoIterator<Item = &'a Changes>) -> Self {
        let mut needs = Self::default();
        for changes in commits {
            changes.conditions.iter().for_each(|c| needs.condition(c));
            needs.changes(changes);
        }
        needs.accounts.retain(AccountId::is_customer);
        needs.payers.retain(AccountId::is_customer);
        needs
    }

    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::Hold { payer, .. } | Condition::Funded { payer, .. } => {
                self.accounts.insert(payer.clone());
                self.payers.insert(payer.clone());
            }
            Condition::NobodyQueued { product, except } => {
                let filter = PodFilter::QueuedFor(product.clone());
                self.questions.entry(filter.to_string()).or_insert(false);
                self.counts.insert(filter);
                self.pods.insert(*except);
            }
            Condition::FewerPods { owner, .. } => {
                let filter = PodFilter::OwnedBy(*owner);
                self.questions.insert(filter.to_string(), true);
                self.counts.insert(filter);
            }
            Condition::UserAt { user, .. } => {
                self.users.insert(*user);
            }
            Condition::AccountAt { account, .. } => {
                self.accounts.insert(account.clone());
            }
            Condition::LeaseFree { resource } => {
                self.leases.insert(resource.clone());
            }
        }
    }

    fn changes(&mut self, changes: &Changes) {
        for pod in &changes.pods {
            self.pods.insert(pod.id);
            self.written.extend(meters(pod));
            // To leave a count of others can't break their condition; to join one can.
            let mut joins = |filter: PodFilter| self.questions.insert(filter.to_string(), true);
            if pod.queued_at.is_some() {
                joins(PodFilter::QueuedFor(pod.spec.gpu.clone()));
            }
            if pod.version == 0 {
                joins(PodFilter::OwnedBy(pod.owner));
            }
        }
        let users = changes.users.iter().map(|u| u.id);
        self.users
            .extend(users.chain(changes.forget_users.iter().copied()));
        self.accounts.extend(changes.touch.iter().cloned());
        self.accounts
            .extend(changes.accounts.iter().map(|a| a.id.clone()));
        for transfer in &changes.transfers {
            self.transfers.insert(transfer.id.clone());
            self.accounts
                .extend([transfer.debit.clone(), transfer.credit.clone()]);
        }
        for total in &changes.meters {
            self.meters.insert(total.meter);
            self.accounts.insert(total.payer.clone());
        }
        for change in &changes.documents {
            let (kind, key, _) = change.names();
            self.documents.insert((kind.to_owned(), key.to_owned()));
        }
        let leases = changes.leases.iter().map(LeaseChange::resource);
        self.leases.extend(leases.map(str::to_owned));
        self.work
            .extend(changes.wakes.iter().map(|w| w.key.clone()));
        self.work
            .extend(changes.finish.iter().map(|f| f.work.key.clone()));
    }
}

/// The meters that count for whoever pays for this pod.
fn meters(pod: &Pod) -> impl Iterator<Item = Meter> + use<> {
    let run = pod.run.as_ref().map(|run| Meter::Run(pod.id, run.n));
    run.into_iter().chain([Meter::Volume(pod.id)])
}

/// The rows of a transaction under way.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    tables: Tables,
    places: Places,
    accounts: Touched<AccountId>,
    users: Touched<UserId>,
    pods: Touched<PodId>,
    documents: Touched<Id>,
    meters: Touched<Meter>,
    leases: Touched<String>,
    work: Touched<WorkKey>,
    transfers: Vec<Booked>,
    events: Vec<NewEvent>,
    /// The latest time that a commit has told.
    now: Time,
}

impl Batch {
    /// Loads what these commits need, locked in an order that all writers keep.
    pub(crate) async fn load<'a>(
        db: &mut Db<'_>,
        commits: impl IntoIterator<Item = &'a Changes>,
    ) -> sqlx::Result<Self> {
        let needs = Needs::of(commits);
        let mut batch = Self::default();
        let tables = &mut batch.tables;
        lock(db, needs.questions).await?;
        ledger::load_accounts(db, &needs.accounts, tables).await?;
        users::load(db, needs.users, tables).await?;
        pods::load(db, needs.pods, tables).await?;
        pods::load_paid(db, &needs.payers, tables).await?;
        batch.places = tables
            .pods
            .iter()
            .map(|(id, pod)| (*id, pod.places()))
            .collect();
        pods::count_elsewhere(db, &needs.counts, tables).await?;
        leases::load(db, &needs.leases, tables).await?;
        let mut all = needs.meters;
        for payer in &needs.payers {
            let pods = tables.pods_in(&PodFilter::PaidBy(payer.clone()), None);
            all.extend(pods.flat_map(|pod| meters(pod)));
        }
        if !needs.payers.is_empty() {
            all.extend(needs.written);
        }
        ledger::load_meters(db, all, tables).await?;
        ledger::load_transfers(db, &needs.transfers, tables).await?;
        documents::load(db, &needs.documents, tables).await?;
        work::load(db, &needs.work, tables).await?;
        Ok(batch)
    }

    /// Judges one commit on what is there, those before it in this transaction included.
    pub(crate) fn judge(&mut self, changes: &Changes) -> Result<()> {
        let mut writes = self.tables.judge(changes)?;
        self.note(&writes);
        self.transfers.extend(writes.transfers.iter().cloned());
        self.events.append(&mut writes.events);
        self.now = self.now.max(changes.now);
        self.tables.apply(writes);
        Ok(())
    }

    fn note(&mut self, writes: &Writes) {
        let tables = &self.tables;
        touch(
            &mut self.pods,
            &tables.pods,
            writes.pods.iter().map(|p| &p.id),
        );
        touch(&mut self.users, &tables.users, writes.users.keys());
        touch(&mut self.accounts, &tables.accounts, writes.accounts.keys());
        touch(
            &mut self.documents,
            &tables.documents,
            writes.documents.keys(),
        );
        touch(&mut self.meters, &tables.meters, writes.meters.keys());
        touch(&mut self.leases, &tables.leases, writes.leases.keys());
        touch(&mut self.work, &tables.wishes, writes.wishes.keys());
    }

    /// The latest time that a written event or commit tells, for what goes with age.
    pub(crate) fn times(&self) -> (Time, Time) {
        let newest = self.events.iter().map(|e| e.at).max();
        (newest.unwrap_or_default(), self.now)
    }

    /// Writes what the commits have changed.
    pub(crate) async fn write(&self, db: &mut Db<'_>) -> sqlx::Result<()> {
        let tables = &self.tables;
        ledger::save_accounts(db, &self.accounts, tables).await?;
        users::save(db, &self.users, tables).await?;
        pods::save(db, &self.pods, &self.places, tables).await?;
        leases::save(db, &self.leases, tables).await?;
        ledger::save_meters(db, &self.meters, tables).await?;
        documents::save(db, &self.documents, tables).await?;
        if !self.transfers.is_empty() || !self.events.is_empty() {
            let first = Position::first(db).await?;
            ledger::insert_transfers(db, first, &self.transfers).await?;
            events::append(db, first, &self.events).await?;
        }
        work::save(db, &self.work, tables).await
    }
}

fn touch<'k, K: Ord + Clone + 'k, V>(
    touched: &mut Touched<K>,
    table: &BTreeMap<K, V>,
    keys: impl Iterator<Item = &'k K>,
) {
    for key in keys {
        if !touched.contains_key(key) {
            touched.insert(key.clone(), table.contains_key(key));
        }
    }
}

/// Locks questions that no row answers alone: how many pods an owner has, whether somebody waits for a product. Who
/// only asks shares the lock with others who ask.
async fn lock(db: &mut Db<'_>, questions: BTreeMap<String, bool>) -> sqlx::Result<()> {
    if db.dialect == Dialect::Sqlite {
        return Ok(());
    }
    let sql = format!(
        "SELECT CASE WHEN changes = 1 \
         THEN CAST(pg_advisory_xact_lock(hashtextextended(name, 0)) AS TEXT) \
         ELSE CAST(pg_advisory_xact_lock_shared(hashtextextended(name, 0)) AS TEXT) END FROM {}",
        db.dialect.rows([Text("name"), Int("changes")].into_iter())
    );
    let rows = questions
        .into_iter()
        .map(|(name, changes)| json!({ "name": name, "changes": i64::from(changes) }));
    db.fetch(sql, rows.collect()).await?;
    Ok(())
}
