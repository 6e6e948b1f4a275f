//! The store and the backend as they really are, with somebody watching: every commit and every creation is checked
//! at the instant it takes effect, before any delay or loss on the way back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use neuropod::id::{AccountId, PodId, RunId, UserId};
use neuropod::memory::MemoryOrchestrator;
use neuropod::money::Money;
use neuropod::orchestrator::*;
use neuropod::pod::{Pod, Reason, Run};
use neuropod::store::*;
use neuropod::user::User;
use neuropod::{ErrorKind, Result, Time};
use tokio::sync::Notify;

use crate::oracle::{price, run_price};

/// What happened in a history, and what should not have.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) trace: Vec<String>,
    pub(crate) violations: Vec<String>,
    /// How many calls the replicas made.
    calls: u64,
    /// Runs whose start was written down.
    pub(crate) recorded: BTreeSet<RunId>,
    /// Runs as they were when they were closed.
    pub(crate) closed: BTreeMap<RunId, Closed>,
    /// The earliest cutoff that was ever written for a run.
    pub(crate) cutoffs: BTreeMap<RunId, Time>,
    /// Runs that somebody outside has touched, and how.
    pub(crate) disturbed: BTreeMap<RunId, Disturbance>,
}

/// A closed run.
#[derive(Debug, Clone)]
pub(crate) struct Closed {
    pub(crate) run: Run,
    pub(crate) reason: Option<Reason>,
    pub(crate) current: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// Ended by somebody else; its evidence stays.
    Killed,
    /// Gone without evidence, or with an end that nobody observed.
    Vanished,
    /// Started again by somebody else.
    Restarted,
}

impl Record {
    pub(crate) fn wrong(&mut self, what: String) {
        self.trace.push(format!("VIOLATION {what}"));
        self.violations.push(what);
    }
}

/// A history makes a few thousand calls; one that makes so many goes round in circles while no time passes.
const MOST_CALLS: u64 = 100_000;

#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    pub(crate) record: Arc<Mutex<Record>>,
    restless: Arc<Notify>,
}

impl Watch {
    /// Counts a call of a replica.
    pub(crate) fn called(&self) {
        let mut record = self.record.lock().unwrap();
        record.calls += 1;
        if record.calls == MOST_CALLS {
            record.wrong(format!("{MOST_CALLS} calls, and still no rest"));
            self.restless.notify_one();
        }
    }
    /// Returns once there have been too many calls.
    pub(crate) async fn restless(&self) {
        self.restless.notified().await;
    }
    pub(crate) fn note(&self, what: impl FnOnce() -> String) {
        let text = what();
        self.record.lock().unwrap().trace.push(text);
    }
    pub(crate) fn wrong(&self, what: String) {
        self.record.lock().unwrap().wrong(what);
    }
}

/// A store that is watched.
#[derive(Debug, Clone)]
pub(crate) struct WatchedStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) backend: Arc<MemoryOrchestrator>,
    pub(crate) watch: Watch,
}

impl WatchedStore {
    async fn before(&self, changes: &Changes) -> Vec<Option<Pod>> {
        let mut rows = Vec::new();
        for pod in &changes.pods {
            rows.push(self.inner.pod(pod.id).await.unwrap());
        }
        rows
    }

    fn check(&self, before: &[Option<Pod>], changes: &Changes) {
        let mut record = self.watch.record.lock().unwrap();
        for (before, after) in before.iter().zip(&changes.pods) {
            let id = after.id;
            if let Some(before) = before {
                if before.version != after.version {
                    record.wrong(format!(
                        "{id}: version {} was replaced by one read at {}",
                        before.version, after.version
                    ));
                }
                if after.generation < before.generation || after.last_run < before.last_run {
                    record.wrong(format!("{id}: generation or run number went back"));
                }
                self.check_run(&mut record, before, after);
            }
            if after.is_tombstone() {
                self.check_tombstone(&mut record, after);
            }
            record.trace.push(format!(
                "commit {id} v{} {:?} gen {} {:?} run {:?} devices {:?}",
                after.version + 1,
                after.desired,
                after.generation,
                after.phase(),
                after
                    .run
                    .as_ref()
                    .map(|r| (r.n, r.started_at.is_some(), r.cutoff)),
                after.devices
            ));
        }
    }

    fn check_run(&self, record: &mut Record, before: &Pod, after: &Pod) {
        if let Some(run) = &after.run {
            let id = after.run_id(run);
            if run.started_at.is_some() {
                record.recorded.insert(id);
            }
            if let Some(cutoff) = run.cutoff {
                let earliest = record.cutoffs.entry(id).or_insert(cutoff);
                *earliest = cutoff.min(*earliest);
            }
        }
        let Some(run) = &before.run else { return };
        let id = before.run_id(run);
        if after.run.as_ref().is_some_and(|r| after.run_id(r) == id) {
            return;
        }
        let current = before.is_current(run);
        let reason = after.reason;
        record.closed.insert(
            id,
            Closed {
                run: run.clone(),
                reason,
                current,
            },
        );
    }

    fn check_tombstone(&self, record: &mut Record, after: &Pod) {
        let left = self.backend.inventory();
        let volume = after.volume.as_ref().and_then(|v| v.id.clone());
        if volume.is_some()
            && left
                .volumes
                .iter()
                .any(|(pod, id)| *pod == after.id && Some(id) == volume.as_ref())
        {
            record.wrong(format!(
                "{}: the row became a tombstone before its volume was gone",
                after.id
            ));
        }
    }

    /// The refusal of a hold, or its acceptance, judged again by the plainest sum there is.
    async fn check_holds(&self, changes: &Changes, result: &Result<()>, affordable: &[bool]) {
        let holds = changes
            .conditions
            .iter()
            .filter(|c| matches!(c, Condition::Hold { .. }));
        for (condition, affordable) in holds.zip(affordable) {
            let refused = matches!(result, Err(e) if matches!(e.kind(), ErrorKind::Condition(c) if **c == *condition));
            if refused && *affordable {
                self.watch.wrong(format!(
                    "a hold was refused that could be afforded: {condition:?}"
                ));
            }
            if result.is_ok() && !affordable {
                self.watch.wrong(format!(
                    "a hold was taken that could not be afforded: {condition:?}"
                ));
            }
        }
    }

    async fn affordable(&self, changes: &Changes) -> Vec<bool> {
        let mut answers = Vec::new();
        for condition in &changes.conditions {
            if let Condition::Hold {
                payer,
                pod,
                amount,
                at,
            } = condition
            {
                let posted = self
                    .inner
                    .account(payer)
                    .await
                    .unwrap()
                    .map_or(0, |a| a.posted.as_micros());
                let mut free = posted;
                for p in self
                    .inner
                    .all_pods(PodFilter::PaidBy(payer.clone()))
                    .await
                    .unwrap()
                {
                    free -= self.owed(&p, payer, *at).await;
                    if p.id != *pod {
                        let used = p.run.as_ref().filter(|r| {
                            p.hold
                                .as_ref()
                                .is_some_and(|h| h.generation == r.generation)
                        });
                        let used = used.map_or(0, |r| run_price(r, *at).as_micros());
                        free -= p
                            .hold
                            .as_ref()
                            .map_or(0, |h| (h.amount.as_micros() - used).max(0));
                    }
                }
                answers.push(free >= amount.as_micros());
            }
        }
        answers
    }

    /// Nobody is metered past nothing.
    async fn check_debts(&self, changes: &Changes) {
        for payer in changes.meters.iter().map(|total| &total.payer) {
            let account = self.inner.account(payer).await.unwrap();
            let posted = account.filter(|a| a.id.is_customer()).map(|a| a.posted);
            if let Some(owes) = posted.filter(|posted| *posted < Money::ZERO) {
                self.watch
                    .wrong(format!("{payer}: owes {owes}: metered past nothing"));
            }
        }
    }

    /// Whom a write stops because nothing is left, and what really is left at the instant it names, and right after it.
    async fn dry(&self, before: &[Option<Pod>], changes: &Changes) -> Option<String> {
        let stopped = before.iter().flatten().zip(&changes.pods);
        let mut stopped = stopped.filter_map(|(before, after)| {
            let was = before.volume.as_ref()?;
            let volume = after.volume.as_ref()?;
            (was.counting_since.is_some() && volume.kept_until.is_some()).then_some((was, volume))
        });
        let (was, volume) = stopped.next()?;
        let counted = Duration::from_micros(volume.counted_micros - was.counted_micros);
        let since = was.counting_since?;
        // One that began to count after that instant does not tell it.
        let dry = (counted > Duration::ZERO).then(|| since + counted)?;
        let payer = volume.payer.clone();
        let posted = self
            .inner
            .account(&payer)
            .await
            .unwrap()?
            .posted
            .as_micros();
        let pods = PodFilter::PaidBy(payer.clone());
        let pods = self.inner.all_pods(pods).await.unwrap();
        let mut left = [posted; 2];
        for pod in &pods {
            left[0] -= self.owed(pod, &payer, dry).await;
            left[1] -= self.owed(pod, &payer, dry + Duration::from_micros(1)).await;
        }
        let exact = left[0] >= 0 && left[1] < 0;
        (!exact).then(|| format!("{payer}: ran dry at {dry} with {left:?} left then and after"))
    }

    async fn owed(&self, pod: &Pod, payer: &AccountId, at: Time) -> i64 {
        let mut owed = 0;
        let run = pod.run.as_ref().filter(|r| r.terms.payer == *payer);
        let run = run.map(|r| (Meter::Run(pod.id, r.n), run_price(r, at)));
        let volume = pod.volume.as_ref().filter(|v| v.payer == *payer);
        let volume = volume.map(|v| (Meter::Volume(pod.id), price(v.rate, v.elapsed(at))));
        for (meter, total) in run.into_iter().chain(volume) {
            let posted = self.inner.meters(&[meter]).await.unwrap()[0];
            owed += match posted {
                Some(p) if p.closed => 0,
                Some(p) => (total.as_micros() - p.total.as_micros()).max(0),
                None => total.as_micros(),
            };
        }
        owed
    }
}

#[async_trait]
impl Store for WatchedStore {
    async fn commit(&self, changes: &Changes) -> Result<()> {
        // No store of the histories ever waits, so nothing comes between these lines.
        let before = self.before(changes).await;
        let affordable = self.affordable(changes).await;
        let dry = self.dry(&before, changes).await;
        let result = self.inner.commit(changes).await;
        if let (Ok(()), Some(wrong)) = (&result, dry) {
            self.watch.wrong(wrong);
        }
        self.check_holds(changes, &result, &affordable).await;
        if result.is_ok() {
            self.check(&before, changes);
            self.check_debts(changes).await;
        }
        result
    }
    async fn pod(&self, id: PodId) -> Result<Option<Pod>> {
        self.inner.pod(id).await
    }
    async fn pods(&self, query: &PodQuery) -> Result<Page<Pod>> {
        self.inner.pods(query).await
    }
    async fn user(&self, id: UserId) -> Result<Option<User>> {
        self.inner.user(id).await
    }
    async fn users(&self, query: &UserQuery) -> Result<Page<User>> {
        self.inner.users(query).await
    }
    async fn account(&self, id: &AccountId) -> Result<Option<Account>> {
        self.inner.account(id).await
    }
    async fn transfers(&self, query: &TransferQuery) -> Result<Page<Transfer>> {
        self.inner.transfers(query).await
    }
    async fn meters(&self, meters: &[Meter]) -> Result<Vec<Option<Posted>>> {
        self.inner.meters(meters).await
    }
    async fn ledger(&self, query: &LedgerQuery) -> Result<Page<LedgerRow>> {
        self.inner.ledger(query).await
    }
    async fn leases(&self, prefix: &str) -> Result<Vec<Lease>> {
        self.inner.leases(prefix).await
    }
    async fn documents(&self, query: &DocQuery) -> Result<Page<Document>> {
        self.inner.documents(query).await
    }
    async fn claim(&self, claim: &Claim) -> Result<Vec<Work>> {
        self.inner.claim(claim).await
    }
    async fn events(&self, query: &EventQuery) -> Result<EventPage> {
        self.inner.events(query).await
    }
    async fn newest(&self) -> Result<String> {
        self.inner.newest().await
    }
    async fn changed(&self) -> Result<BoxStream<'static, ()>> {
        self.inner.changed().await
    }
    async fn installation(&self) -> Result<String> {
        self.inner.installation().await
    }
}

/// A backend that is watched.
#[derive(Debug, Clone)]
pub(crate) struct WatchedBackend {
    pub(crate) inner: Arc<MemoryOrchestrator>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) watch: Watch,
}

#[async_trait]
impl Orchestrator for WatchedBackend {
    async fn ensure(&self, workload: &Workload, fence: &Fence) -> Result<Ensured> {
        let run = workload.run;
        let row = self.store.pod(run.pod).await?;
        if row.is_none_or(|pod| pod.last_run < run.n) {
            self.watch
                .wrong(format!("{run}: asked for before it was written down"));
        }
        let result = self.inner.ensure(workload, fence).await;
        self.watch.note(|| format!("ensure {run} {result:?}"));
        result
    }
    async fn stop(&self, run: RunId, grace: Duration) -> Result<()> {
        self.watch.note(|| format!("stop {run}"));
        self.inner.stop(run, grace).await
    }
    async fn remove(&self, run: RunId) -> Result<()> {
        self.watch.note(|| format!("remove {run}"));
        self.inner.remove(run).await
    }
    async fn purge(&self, pod: PodId) -> Result<()> {
        self.watch.note(|| format!("purge {pod}"));
        self.inner.purge(pod).await
    }
    async fn observe(&self, pod: PodId) -> Result<Seen> {
        self.inner.observe(pod).await
    }
    async fn list(&self) -> Result<BoxStream<'static, Result<Found>>> {
        self.inner.list().await
    }
    async fn watch(&self) -> Result<BoxStream<'static, PodId>> {
        self.inner.watch().await
    }
    async fn logs(
        &self,
        run: RunId,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine>>> {
        self.inner.logs(run, query).await
    }
    async fn usage(&self, run: RunId) -> Result<Usage> {
        self.inner.usage(run).await
    }
    async fn capacity(&self) -> Result<Capacity> {
        self.inner.capacity().await
    }
}
