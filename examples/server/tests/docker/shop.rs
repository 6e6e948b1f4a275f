//! A server that is paid for what runs, at prices at which money runs out in seconds, and what its rows and its ledger
//! say.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use neuropod::id::{AccountId, PodId, UserId};
use neuropod::money::{Money, price};
use neuropod::pod::{Pod, Run};
use neuropod::pricing::PriceList;
use neuropod::sql::SqlStore;
use neuropod::store::{
    Changes, DocChange, Document, Meter, PodFilter, StoreExt, Transfer, TransferQuery,
};
use neuropod::time::SystemClock;
use neuropod::{Clock, Store, Time, ledger};
use serde_json::{Value, json};

use crate::http::Request;
use crate::program::Program;
use crate::{a_pod, settings, sign_in};

pub(crate) const WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What a new user has.
pub(crate) const GRANT: Money = Money::from_micros(10_000_000);
/// Of a run, per hour: a little more than one a second, and nothing that an hour can be divided into.
const RUN: Money = Money::from_micros(3_601_234_567);
/// Of a volume of one GB, per hour.
const VOLUME: Money = Money::from_micros(7_654_321);

pub(crate) struct Shop {
    pub(crate) store: SqlStore,
    folder: PathBuf,
    settings: Vec<(&'static str, String)>,
    program: Option<Program>,
    admin: String,
}

/// Somebody who pays.
pub(crate) struct Customer {
    token: String,
    pub(crate) account: AccountId,
}

/// What was booked for a meter.
#[derive(Debug, PartialEq)]
pub(crate) struct Charged {
    pub(crate) amount: Money,
    pub(crate) from: Time,
    pub(crate) to: Time,
}

impl Charged {
    /// What `run` costs until `to`.
    pub(crate) fn of(run: &Run, to: Time) -> Self {
        let from = run.charged_from.unwrap();
        let amount = price(run.terms.run_rate, to.since(from));
        Self { amount, from, to }
    }
}

pub(crate) fn now() -> Time {
    SystemClock::new().now()
}

impl Shop {
    /// Over this engine and a new database, whose pods get these host ports.
    pub(crate) async fn open(folder: &Path, docker: &str, database: &str, ports: &str) -> Self {
        let store = SqlStore::open(database).await.unwrap();
        let mut prices = PriceList::seed();
        prices.gpus.get_mut(&"cpu".into()).unwrap().price = RUN;
        prices.container_disk.price = Money::ZERO;
        prices.volume_disk.price = VOLUME;
        let list = Document {
            kind: "prices".to_owned(),
            key: "current".to_owned(),
            body: serde_json::to_value(prices).unwrap(),
            index: [None, None, None],
            expires_at: None,
            version: 0,
        };
        let changes = Changes {
            documents: vec![DocChange::Put(list)],
            ..Changes::default()
        };
        store.commit(&changes).await.unwrap();
        let mut settings = settings(docker, database, ports);
        settings.extend([
            ("NEUROPOD_BILLING", "prepaid".to_owned()),
            ("NEUROPOD_HOLD", "1s".to_owned()),
            ("ADMIN_EMAILS", "admin@example.com".to_owned()),
        ]);
        let program = Program::start(folder, &settings).await;
        let admin = sign_in(program.address, "admin@example.com").await;
        Self {
            store,
            folder: folder.to_owned(),
            settings,
            program: Some(program),
            admin,
        }
    }

    /// One over a file of SQLite in this folder, and one over PostgreSQL, both over this engine.
    pub(crate) async fn open_both(
        folder: &Path,
        docker: &str,
        postgres: &str,
        ports: [&str; 2],
    ) -> [Self; 2] {
        let sqlite = format!("sqlite://{}/shop.db", folder.display());
        let (one, other) = futures::join!(
            Self::open(folder, docker, &sqlite, ports[0]),
            Self::open(folder, docker, postgres, ports[1]),
        );
        [one, other]
    }

    fn program(&self) -> &Program {
        self.program.as_ref().expect("the server is up")
    }

    /// `SIGKILL`.
    pub(crate) async fn kill(&mut self) {
        self.program.take().unwrap().kill().await;
    }

    pub(crate) async fn start(&mut self) {
        self.program = Some(Program::start(&self.folder, &self.settings).await);
    }

    pub(crate) async fn ask(&self, token: &str, method: &str, path: &str, body: &Value) -> Value {
        let request = Request::new(self.program().address, method, path).bearer(token);
        let answer = request.json(body).send().await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
        answer.json()["data"].clone()
    }

    /// A new one, with as much as everybody has.
    pub(crate) async fn customer(&self, name: &str) -> Customer {
        let address = self.program().address;
        let token = sign_in(address, &format!("{name}@example.com")).await;
        let me = self.ask(&token, "GET", "/api/auth/me", &json!({})).await;
        let user: UserId = me["id"].as_str().unwrap().parse().unwrap();
        let account = AccountId::of(user);
        Customer { token, account }
    }

    /// One whose money lasts.
    pub(crate) async fn rich(&self, name: &str) -> Customer {
        let customer = self.customer(name).await;
        let credit = json!({
            "id": format!("for {name}"),
            "userId": customer.account.user().unwrap(),
            "amount": "100000",
            "memo": "",
        });
        let path = "/api/billing/credit";
        self.ask(&self.admin, "POST", path, &credit).await;
        customer
    }

    /// Launches a pod with a volume. `more` goes into the body.
    pub(crate) async fn launch(&self, customer: &Customer, more: &Value) -> PodId {
        let mut body = a_pod("billed");
        for (field, value) in more.as_object().unwrap() {
            body[field] = value.clone();
        }
        let launched = self.ask(&customer.token, "POST", "/api/pods", &body).await;
        launched["podId"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) async fn stop(&self, customer: &Customer, pod: PodId) {
        let path = format!("/api/pods/{pod}/stop");
        self.ask(&customer.token, "POST", &path, &json!({})).await;
    }

    pub(crate) async fn delete(&self, customer: &Customer, pod: PodId) {
        let path = format!("/api/pods/{pod}");
        self.ask(&customer.token, "DELETE", &path, &json!({})).await;
    }

    /// By the administrator.
    pub(crate) async fn delete_user(&self, customer: &Customer) -> Value {
        let user = customer.account.user().unwrap();
        let path = format!("/api/auth/users/{user}");
        self.ask(&self.admin, "DELETE", &path, &json!({})).await
    }

    /// The status of a look at one's own pods.
    pub(crate) async fn look(&self, customer: &Customer) -> u16 {
        let request = Request::new(self.program().address, "GET", "/api/pods");
        request.bearer(&customer.token).send().await.status
    }

    /// The row, once it is like that.
    pub(crate) async fn until(&self, pod: PodId, holds: impl Fn(&Pod) -> bool) -> Pod {
        let deadline = Instant::now() + WITHIN;
        loop {
            let row = self.store.pod(pod).await.unwrap().unwrap();
            if holds(&row) {
                return row;
            }
            let said = self.program.as_ref().map(Program::said);
            let in_time = Instant::now() < deadline;
            assert!(in_time, "{row:?}\n{}", said.unwrap_or_default());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The open run, once it is charged for.
    pub(crate) async fn running(&self, pod: PodId) -> Run {
        let is_charged = |run: &Run| run.charged_from.is_some();
        let row = self.until(pod, |pod| pod.run.as_ref().is_some_and(is_charged));
        row.await.run.unwrap()
    }

    /// What was booked for a meter, in one piece.
    pub(crate) async fn charged(&self, customer: &Customer, meter: Meter) -> Charged {
        let of_meter = |t: &Transfer| t.charge.as_ref().is_some_and(|c| c.meter == meter);
        let mut booked = self.transfers(customer).await;
        booked.retain(of_meter);
        let [transfer] = &booked[..] else {
            panic!("{meter} was booked otherwise than once: {booked:?}");
        };
        assert_eq!(transfer.debit, customer.account);
        let used = &transfer.charge.as_ref().unwrap().used;
        Charged {
            amount: transfer.amount,
            from: used.from,
            to: used.to,
        }
    }

    async fn transfers(&self, customer: &Customer) -> Vec<Transfer> {
        let query = TransferQuery {
            account: customer.account.clone(),
            after: None,
            limit: 1000,
        };
        let page = self.store.transfers(&query).await.unwrap();
        assert_eq!(page.next, None);
        page.items
    }

    pub(crate) async fn posted(&self, customer: &Customer) -> Money {
        let account = self.store.account(&customer.account).await.unwrap();
        account.unwrap().posted
    }

    /// Deletes what these have, and lets the ledger prove itself before and after that.
    pub(crate) async fn close(self, customers: &[&Customer]) {
        let report = ledger::verify(&self.store, None).await.unwrap();
        assert!(report.findings.is_empty(), "{report}");
        for customer in customers {
            let mine = PodFilter::OwnedBy(customer.account.user().unwrap());
            for pod in self.store.all_pods(mine).await.unwrap() {
                self.delete(customer, pod.id).await;
            }
        }
        let deadline = Instant::now() + WITHIN;
        while !self
            .store
            .all_pods(PodFilter::Alive)
            .await
            .unwrap()
            .is_empty()
        {
            assert!(Instant::now() < deadline, "{}", self.program().said());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let report = ledger::verify(&self.store, None).await.unwrap();
        assert!(report.findings.is_empty(), "{report}");
        self.program.unwrap().kill().await;
    }
}

/// That `dry` is the last instant at which `money` covers this run and the volume of `pod`.
pub(crate) fn assert_last_funded(money: Money, run: &Run, pod: &Pod, dry: Time) {
    let volume = pod.volume.as_ref().unwrap();
    let since = volume.opened_at.unwrap();
    let cost = |at: Time| Charged::of(run, at).amount + price(volume.rate, at.since(since));
    let next = dry + Duration::from_micros(1);
    assert!(cost(dry) <= money, "{} by {dry}", cost(dry));
    assert!(cost(next) > money, "{} by {next}", cost(next));
}

/// That it counts no more since `dry`, and is kept for the time that is promised.
pub(crate) fn assert_kept(pod: &Pod, dry: Time) {
    let volume = pod.volume.as_ref().unwrap();
    let grace = Duration::from_secs(7 * 24 * 3600);
    let kept = volume.kept_until.expect("it is kept");
    assert!(kept >= dry + grace && kept <= now() + grace, "{volume:?}");
    assert_eq!(volume.counting_since, None, "{volume:?}");
    let counted = dry.since(volume.opened_at.unwrap());
    assert_eq!(volume.elapsed(now()), counted, "{volume:?}");
    assert!(!volume.closed, "{volume:?}");
}
