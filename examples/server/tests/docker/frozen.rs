//! The engine is frozen (`SIGSTOP`) while balances run out, deadlines pass and users stop pods, and its containers run on.
//! Once it goes on, each is charged to its cutoff, to the micro-unit, and for nothing after that.

use std::time::Duration;

use futures::future::join_all;
use neuropod::Time;
use neuropod::id::PodId;
use neuropod::pod::{Desired, Pod, Reason, Run};
use neuropod::store::Meter;
use serde_json::json;

use crate::given::given;
use crate::own_engine::OwnEngine;
use crate::own_postgres::OwnPostgres;
use crate::shop::{Charged, Customer, GRANT, Shop, assert_kept, assert_last_funded, now};
use crate::{alone, space};

/// How long a program may take to end after its user's stop, at his cost.
const GRACE: Duration = Duration::from_secs(10);
/// Of a balance that has run out, until its pods are told to stop.
const STOPPED_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test]
async fn nothing_past_the_cutoff_is_charged_while_the_engine_is_frozen() {
    let (Some(image_from), Some(_)) = (
        given("NEUROPOD_TEST_DOCKER"),
        given("NEUROPOD_TEST_POSTGRES"),
    ) else {
        return;
    };
    let _alone = alone().await;
    let test = "frozen::nothing_past_the_cutoff_is_charged_while_the_engine_is_frozen";
    let Some(folder) = space::enter(test).await else {
        return;
    };
    // In here nobody reaches that of the other tests.
    let postgres = OwnPostgres::start(&folder.join("postgres"));
    let own = OwnEngine::start(&folder, false, &image_from).await;
    let ports = ["24000-24499", "24500-24999"];
    let shops = Shop::open_both(&folder, &own.host(), &postgres.url(), ports).await;
    let trials = join_all(shops.map(Trial::begin)).await;

    own.freeze();
    let frozen = join_all(trials.into_iter().map(Trial::cut_off)).await;
    // All run on past that.
    let last = frozen.iter().flat_map(|trial| trial.cutoffs()).max();
    let left = last.unwrap().since(now());
    tokio::time::sleep(left + Duration::from_secs(1)).await;
    own.go_on();
    join_all(frozen.into_iter().map(Frozen::settle)).await;
}

/// A pod that is stopped, one whose balance runs out, and one that has a deadline.
struct Trial {
    shop: Shop,
    stopper: Customer,
    poor: Customer,
    planner: Customer,
    pods: [PodId; 3],
    funded: Run,
    deadline: Time,
}

impl Trial {
    async fn begin(shop: Shop) -> Self {
        let (stopper, planner) = (shop.rich("stopper").await, shop.rich("planner").await);
        let poor = shop.customer("poor").await;
        let stopped = shop.launch(&stopper, &json!({})).await;
        let timed = shop.launch(&planner, &json!({ "stopAfter": "20s" })).await;
        shop.running(stopped).await;
        let row = shop.until(timed, |pod| pod.volume.is_some()).await;
        let dry = shop.launch(&poor, &json!({})).await;
        let funded = shop.running(dry).await;
        Self {
            shop,
            stopper,
            poor,
            planner,
            pods: [stopped, dry, timed],
            funded,
            deadline: row.deadlines.stop_after.unwrap(),
        }
    }

    /// All three, without an engine that does anything.
    async fn cut_off(self) -> Frozen {
        let shop = &self.shop;
        let [stopped, dry, timed] = self.pods;
        let before = now();
        shop.stop(&self.stopper, stopped).await;
        let after = now();
        let wishes_none = |pod: &Pod| pod.desired == Desired::Stopped;
        let stopped_row = shop.until(stopped, wishes_none).await;
        let dry_row = shop.until(dry, wishes_none).await;
        let timed_row = shop.until(timed, wishes_none).await;
        let runs = [&stopped_row, &dry_row, &timed_row].map(|row| row.run.clone().unwrap());
        let frozen = Frozen { trial: self, runs };
        let cutoffs = frozen.cutoffs();
        assert!(cutoffs[0] >= before + GRACE && cutoffs[0] <= after + GRACE);
        assert_last_funded(GRANT, &frozen.trial.funded, &dry_row, cutoffs[1]);
        assert!(dry_row.updated_at <= cutoffs[1] + STOPPED_WITHIN);
        assert_eq!(cutoffs[2], frozen.trial.deadline);
        assert_kept(&dry_row, cutoffs[1]);
        frozen
    }
}

struct Frozen {
    trial: Trial,
    runs: [Run; 3],
}

impl Frozen {
    fn cutoffs(&self) -> [Time; 3] {
        self.runs.each_ref().map(|run| run.cutoff.unwrap())
    }

    async fn settle(self) {
        let [_, dry_at, _] = self.cutoffs();
        let Trial {
            shop,
            stopper,
            poor,
            planner,
            pods,
            ..
        } = self.trial;
        let customers = [&stopper, &poor, &planner];
        let reasons = [Reason::User, Reason::LowBalance, Reason::Deadline];
        let mut charges = Vec::new();
        for n in 0..3 {
            let (pod, run) = (pods[n], &self.runs[n]);
            let row = shop.until(pod, |pod| pod.run.is_none()).await;
            assert_eq!(row.reason, Some(reasons[n]));
            let charged = shop.charged(customers[n], Meter::Run(pod, run.n)).await;
            assert_eq!(charged, Charged::of(run, run.cutoff.unwrap()));
            charges.push(charged);
        }
        let dry = pods[1];
        let volume = shop.charged(&poor, Meter::Volume(dry)).await;
        assert_eq!(volume.to, dry_at);
        let left = GRANT - charges[1].amount - volume.amount;
        assert_eq!(shop.posted(&poor).await, left);
        let row = shop.until(dry, |pod| pod.run.is_none()).await;
        assert_kept(&row, dry_at);
        shop.close(&customers).await;
    }
}
