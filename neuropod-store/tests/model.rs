//! The same random operations on the store in memory and on a database: every answer is the same. `NEUROPOD_SEED=n`
//! plays one sequence again.

mod dice;
mod support;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use dice::Dice;
use futures::future::join_all;
use neuropod_core::conformance::store::samples::*;
use neuropod_core::event::NewEvent;
use neuropod_core::id::AccountId;
use neuropod_core::ledger::{heads, verify};
use neuropod_core::memory::MemoryStore;
use neuropod_core::store::*;
use neuropod_core::{ErrorKind, Result};

#[tokio::test]
async fn sqlite_answers_as_memory_does() {
    let folder = support::Folder::new();
    // One task writes what waits in the order it came, so several commits may be under way at once.
    compare(support::open(&folder.url()).await, 5).await;
}

#[tokio::test]
async fn postgres_answers_as_memory_does() {
    let Some(server) = support::postgres_or_say_why() else {
        return;
    };
    let schema = support::new_schema(&server).await;
    compare(support::open(&schema.url).await, 1).await;
    schema.remove().await;
}

/// Plays one sequence, with up to `at_once` commits under way.
async fn compare(database: Arc<dyn Store>, at_once: u64) {
    let (seed, operations) = (support::seed(), support::effort("MODEL", 300));
    let mut pair = Pair {
        model: MemoryStore::new(),
        database,
        dice: Dice::new(seed),
        claimed: Vec::new(),
        accepted: 0,
        trace: String::new(),
    };
    let mut step = 0;
    while step < operations {
        pair.trace = format!("NEUROPOD_SEED={seed}, operation {step}");
        let commits = pair.dice.below(at_once) + 1;
        pair.commit(step..step + commits).await;
        pair.claim().await;
        pair.read(step % 40 < commits).await;
        step += commits;
    }
    pair.events().await;
    pair.proof().await;
    // Refusals alone would compare little.
    let accepted = pair.accepted;
    println!("{step} commits, {accepted} of them accepted");
    assert!(accepted > step / 5, "{accepted} of {step}");
}

/// Both stores, and what was claimed from both.
struct Pair {
    model: MemoryStore,
    database: Arc<dyn Store>,
    dice: Dice,
    claimed: Vec<(Work, Work)>,
    accepted: u64,
    trace: String,
}

fn kind<T>(result: &Result<T>) -> Option<&ErrorKind> {
    result.as_ref().err().map(|error| error.kind())
}

impl Pair {
    fn same<T: PartialEq + std::fmt::Debug>(&self, what: &str, model: T, database: T) {
        assert_eq!(
            model, database,
            "{what}: memory, and then the database; {}",
            self.trace
        );
    }

    /// Some commits, made up one after another on what the model then has.
    async fn commit(&mut self, steps: Range<u64>) {
        let mut commits = Vec::new();
        for step in steps {
            let (ours, theirs) = self.changes(step).await;
            let answer = self.model.commit(&ours).await;
            self.accepted += u64::from(answer.is_ok());
            commits.push((theirs, answer));
        }
        let theirs = commits
            .iter()
            .map(|(changes, _)| self.database.commit(changes));
        for (theirs, (changes, ours)) in join_all(theirs).await.iter().zip(&commits) {
            self.same(&format!("{changes:#?}"), kind(ours), kind(theirs));
        }
    }

    /// A random commit, for the model and for the database: their proofs of a lease differ.
    async fn changes(&self, step: u64) -> (Changes, Changes) {
        let dice = &self.dice;
        let mut ours = Changes {
            now: dice.time(),
            ..Changes::default()
        };
        for _ in 0..dice.below(4) + 1 {
            dice.add_change(&mut ours, &self.model, step).await;
        }
        if dice.one_in(2) {
            ours.conditions.push(dice.condition());
        }
        let mut theirs = ours.clone();
        if dice.one_in(3) && !self.claimed.is_empty() {
            let at = dice.below(self.claimed.len() as u64) as usize;
            let (our_work, their_work) = self.claimed[at].clone();
            let next = dice.one_in(2).then(|| dice.time());
            let finish = |work| Some(Finish { work, next });
            (ours.finish, theirs.finish) = (finish(our_work), finish(their_work));
        }
        (ours, theirs)
    }

    async fn claim(&mut self) {
        if !self.dice.one_in(4) {
            return;
        }
        let claim = Claim {
            limit: self.dice.below(4) as u32 + 1,
            now: self.dice.time(),
            lease: Duration::from_secs(self.dice.below(30)),
        };
        let mut model = self.model.claim(&claim).await.unwrap();
        let mut database = self.database.claim(&claim).await.unwrap();
        model.sort_by(|a, b| a.key.cmp(&b.key));
        database.sort_by(|a, b| a.key.cmp(&b.key));
        let plain = |works: &[Work]| -> Vec<(WorkKey, u64)> {
            works.iter().map(|w| (w.key.clone(), w.wake)).collect()
        };
        self.same(&format!("{claim:?}"), plain(&model), plain(&database));
        self.claimed.extend(model.into_iter().zip(database));
    }

    /// Asks both some questions, or all.
    async fn read(&self, all: bool) {
        let ask = || all || self.dice.one_in(6);
        for n in (0..dice::PODS).filter(|_| ask()) {
            let id = pod_id(n);
            let model = self.model.pod(id).await.unwrap();
            self.same("a pod", model, self.database.pod(id).await.unwrap());
        }
        for filter in dice::filters().into_iter().filter(|_| ask()) {
            self.pods(filter).await;
        }
        for n in (0..dice::USERS).filter(|_| ask()) {
            let model = self.model.user(user_id(n)).await.unwrap();
            self.same(
                "a user",
                model,
                self.database.user(user_id(n)).await.unwrap(),
            );
        }
        if ask() {
            self.users(None).await;
            self.users(Some("USER1@".to_owned())).await;
        }
        for account in dice::accounts().into_iter().filter(|_| ask()) {
            let model = self.model.account(&account).await.unwrap();
            self.same(
                "an account",
                model,
                self.database.account(&account).await.unwrap(),
            );
            self.transfers(account).await;
        }
        if ask() {
            let meters = dice::meters();
            let model = self.model.meters(&meters).await.unwrap();
            self.same(
                "meters",
                model,
                self.database.meters(&meters).await.unwrap(),
            );
            let model = self.model.leases("port/").await.unwrap();
            self.same(
                "leases",
                model,
                self.database.leases("port/").await.unwrap(),
            );
        }
        for query in self.dice.documents().into_iter().filter(|_| ask()) {
            self.documents(query).await;
        }
    }

    async fn pods(&self, filter: PodFilter) {
        let mut query = PodQuery {
            filter,
            after: None,
            limit: self.dice.below(4) as u32 + 1,
        };
        loop {
            let model = self.model.pods(&query).await.unwrap();
            let database = self.database.pods(&query).await.unwrap();
            query.after = model.next.clone();
            self.same(&format!("{query:?}"), model, database);
            if query.after.is_none() {
                return;
            }
        }
    }

    async fn users(&self, contains: Option<String>) {
        let mut query = UserQuery {
            contains,
            after: None,
            limit: 2,
        };
        loop {
            let model = self.model.users(&query).await.unwrap();
            let database = self.database.users(&query).await.unwrap();
            query.after = model.next.clone();
            self.same(&format!("{query:?}"), model, database);
            if query.after.is_none() {
                return;
            }
        }
    }

    /// Where a page of transfers ended is each store's own affair.
    async fn transfers(&self, account: AccountId) {
        let query = |after| TransferQuery {
            account: account.clone(),
            after,
            limit: 7,
        };
        let mut after = (None, None);
        loop {
            let model = self.model.transfers(&query(after.0)).await.unwrap();
            let database = self.database.transfers(&query(after.1)).await.unwrap();
            self.same(account.as_str(), model.items, database.items);
            self.same("more", model.next.is_some(), database.next.is_some());
            after = (model.next, database.next);
            if after.0.is_none() {
                return;
            }
        }
    }

    async fn documents(&self, mut query: DocQuery) {
        loop {
            let model = self.model.documents(&query).await.unwrap();
            let database = self.database.documents(&query).await.unwrap();
            query.after = model.next.clone();
            self.same(&format!("{query:?}"), model, database);
            if query.after.is_none() {
                return;
            }
        }
    }

    /// Both ledgers prove themselves, with the same chains.
    async fn proof(&self) {
        let model = heads(&self.model).await.unwrap();
        assert!(!model.0.is_empty(), "no transfer; {}", self.trace);
        self.same(
            "heads",
            model.clone(),
            heads(&*self.database).await.unwrap(),
        );
        let ours = verify(&self.model, Some(&model)).await.unwrap();
        let theirs = verify(&*self.database, Some(&model)).await.unwrap();
        // Random pods know nothing of their meters, and a random meter has any payer.
        let made_up = |message: &str| message.contains("pod") || message.contains("another payer");
        let wrong = ours.findings.iter().find(|f| !made_up(&f.message));
        assert!(wrong.is_none(), "{ours}; {}", self.trace);
        self.same("proof", ours, theirs);
    }

    /// All events there are. PostgreSQL shows one a little later than its commit returns.
    async fn events(&self) {
        let model = all_events(&self.model).await;
        let patience = Duration::from_secs(30);
        let shown = async {
            while all_events(&*self.database).await.len() < model.len() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(patience, shown).await;
        self.same("events", model, all_events(&*self.database).await);
    }
}

async fn all_events(store: &dyn Store) -> Vec<NewEvent> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let query = EventQuery { after, limit: 100 };
        let page = store.events(&query).await.unwrap();
        if page.events.is_empty() {
            return all;
        }
        all.extend(page.events.into_iter().map(|event| event.event));
        after = Some(page.cursor);
    }
}
