//! An old SQLite file put back over an installation that has gone on: nothing that runs is adopted, nobody pays for what
//! the file does not know, and an administrator is told of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use neuropod::auth::Identity;
use neuropod::billing::{Billing, Credit, Prepaid};
use neuropod::docker::{Config, DockerOrchestrator};
use neuropod::event::EventKind;
use neuropod::funds;
use neuropod::id::{AccountId, PodId};
use neuropod::orchestrator::Seen;
use neuropod::pod::{Phase, Pod};
use neuropod::sql::SqlStore;
use neuropod::store::{EventQuery, Transfer, TransferQuery};
use neuropod::user::Role;
use neuropod::{Clock, Launch, Orchestrator, Platform, Store};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use tokio::task::JoinHandle;

use crate::given::given;
use crate::{alone, folder};

const WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn an_old_file_adopts_nothing_and_charges_nothing() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let folder = folder("restored");
    let url = |name: &str| format!("sqlite://{}/{name}.db", folder.display());

    let before = Installed::open(&docker, &url("kept")).await;
    before.credit().await;
    let known = before.launch().await;
    let old = format!("VACUUM INTO '{}/old.db'", folder.display());
    let mut other = AnyConnection::connect(&url("kept")).await.unwrap();
    let backup = sqlx::raw_sql(AssertSqlSafe(old));
    backup.execute(&mut other).await.unwrap();
    let backup_at = before.platform.clock().now();
    // What the old file does not tell: a second run of the pod that it knows, and another pod.
    before.stop(known.id).await;
    before.start(known.id).await;
    let unknown = before.launch().await;
    let runs_on = before.seen(unknown.id).await;
    drop(before);

    let after = Installed::open(&docker, &url("old")).await;
    let lost = after.until(known.id, |pod| pod.run.is_none()).await;
    assert_eq!((lost.last_run, lost.phase()), (1, Phase::Error), "{lost:?}");
    after.until_told_of(unknown.id).await;
    after
        .until_seen(known.id, |seen| seen.instances.is_empty())
        .await;
    let seen = after.seen(known.id).await;
    assert!(seen.volume.is_some(), "its volume is the one it had");
    let now = after.seen(unknown.id).await;
    assert_eq!(
        (now.instances, now.volume),
        (runs_on.instances, runs_on.volume)
    );

    // Only the run that the file knows is charged, and no later than the file knows it.
    let paid = after.paid().await;
    let run = known.run.as_ref().expect("it ran");
    let at_most = funds::run_total(run, backup_at);
    let memo = format!("Run 1 of pod {}", known.id);
    assert!(paid.iter().all(|t| t.memo == memo), "{paid:?}");
    let total = paid.iter().map(|t| t.amount).sum();
    assert!(at_most >= total, "{at_most} of {paid:?}");

    // Its next run is a new one, under a number that another run had, which the file does not know.
    after.start(known.id).await;
    after.delete(known.id).await;
    // An administrator may take away by hand what is left alone.
    after.engine.purge(unknown.id).await.unwrap();
    drop(after);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Somebody who pays.
fn customer() -> Identity {
    let mut customer = Identity::local();
    customer.user.role = Role::Client;
    customer
}

/// A platform over one file, with its loops.
struct Installed {
    platform: Platform,
    engine: DockerOrchestrator,
    billing: Prepaid,
    loops: JoinHandle<()>,
}

impl Installed {
    async fn open(docker: &str, database: &str) -> Self {
        let store: Arc<dyn Store> = Arc::new(SqlStore::open(database).await.unwrap());
        let config = Config {
            host: Some(docker.to_owned()),
            ..Config::new(store.installation().await.unwrap())
        };
        let engine = DockerOrchestrator::connect(config).await.unwrap();
        let billing = Prepaid::new(Arc::clone(&store));
        let platform = Platform::builder()
            .orchestrator(engine.clone())
            .store(store)
            .billing(billing.clone())
            .build();
        let platform = platform.await.unwrap();
        let running = platform.clone();
        let loops = tokio::spawn(async move { running.run(std::future::pending()).await });
        Self {
            platform,
            engine,
            billing,
            loops,
        }
    }

    fn account() -> AccountId {
        AccountId::of(customer().user.id)
    }

    async fn credit(&self) {
        let credit = Credit {
            id: "payment".to_owned(),
            account: Self::account(),
            from: AccountId::from("funding"),
            amount: "100".parse().unwrap(),
            memo: "in cash".to_owned(),
            actor: None,
            at: self.platform.clock().now(),
        };
        self.platform.book(&credit).await.unwrap();
    }

    /// All that the user has paid.
    async fn paid(&self) -> Vec<Transfer> {
        let query = TransferQuery {
            account: Self::account(),
            after: None,
            limit: 100,
        };
        let page = self.billing.statement(&query).await.unwrap();
        let paid = |t: &Transfer| t.debit == Self::account();
        page.items.into_iter().filter(paid).collect()
    }

    async fn launch(&self) -> Pod {
        let launch = Launch::image("neuropod/demo")
            .gpu("cpu")
            .port(8080)
            .disks(1, 1);
        let pod = self.platform.launch(&customer(), &launch).await;
        let pod = pod.unwrap().id;
        self.until(pod, |pod| pod.phase() == Phase::Running).await
    }

    async fn stop(&self, pod: PodId) {
        let stopped = self.platform.stop(&customer(), pod).await;
        stopped.unwrap();
        self.until(pod, |pod| pod.phase() == Phase::Stopped).await;
    }

    async fn start(&self, pod: PodId) {
        let started = self.platform.start(&customer(), pod).await;
        started.unwrap();
        self.until(pod, |pod| pod.phase() == Phase::Running).await;
    }

    async fn delete(&self, pod: PodId) {
        let deleted = self.platform.delete(&customer(), pod).await;
        deleted.unwrap();
        self.until(pod, Pod::is_tombstone).await;
    }

    async fn until(&self, pod: PodId, holds: impl Fn(&Pod) -> bool) -> Pod {
        let deadline = Instant::now() + WITHIN;
        loop {
            let row = self.platform.store().pod(pod).await.unwrap();
            match row {
                Some(row) if holds(&row) => return row,
                _ => assert!(Instant::now() < deadline, "{row:?}"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn seen(&self, pod: PodId) -> Seen {
        self.engine.observe(pod).await.unwrap()
    }

    async fn until_seen(&self, pod: PodId, holds: impl Fn(&Seen) -> bool) {
        let deadline = Instant::now() + WITHIN;
        while !holds(&self.seen(pod).await) {
            assert!(Instant::now() < deadline, "{:?}", self.seen(pod).await);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn until_told_of(&self, pod: PodId) {
        let deadline = Instant::now() + WITHIN;
        let all = EventQuery {
            after: None,
            limit: 1000,
        };
        loop {
            let page = self.platform.store().events(&all).await.unwrap();
            let mut events = page.events.iter().map(|event| &event.event);
            if events.any(|e| e.kind == EventKind::AdminNotice && e.pod == Some(pod)) {
                return;
            }
            assert!(Instant::now() < deadline, "nobody is told of {pod}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        self.loops.abort();
    }
}
