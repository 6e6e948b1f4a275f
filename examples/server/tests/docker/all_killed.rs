//! The engine, its shims and its containers are all killed (`SIGKILL`), and the engine is started again later. Nobody saw
//! the ends of what ran: each run is charged to the instant at which it was last seen, and the platform loses the rest.

use std::time::Duration;

use futures::future::join_all;
use neuropod::Time;
use neuropod::decide::Swept;
use neuropod::id::PodId;
use neuropod::pod::{Phase, Reason, Run};
use neuropod::store::{Meter, StoreExt};
use serde_json::json;

use crate::given::given;
use crate::own_engine::OwnEngine;
use crate::own_postgres::OwnPostgres;
use crate::shop::{Charged, Customer, Shop, now};
use crate::{alone, space};

/// A list that is so much younger than the record of a run vouches for it.
const VOUCHED_AFTER: Duration = Duration::from_secs(30);
/// Long enough to see that the time without an engine is not charged.
const DEAD_FOR: Duration = Duration::from_secs(3);

#[tokio::test]
async fn what_nobody_saw_end_is_charged_to_where_it_was_last_seen() {
    let test = "all_killed::what_nobody_saw_end_is_charged_to_where_it_was_last_seen";
    charge_what_nobody_saw_end(test, false).await;
}

#[tokio::test]
async fn what_nobody_saw_end_is_charged_so_by_an_engine_that_restores() {
    let test = "all_killed::what_nobody_saw_end_is_charged_so_by_an_engine_that_restores";
    charge_what_nobody_saw_end(test, true).await;
}

async fn charge_what_nobody_saw_end(test: &str, live_restore: bool) {
    let (Some(image_from), Some(_)) = (
        given("NEUROPOD_TEST_DOCKER"),
        given("NEUROPOD_TEST_POSTGRES"),
    ) else {
        return;
    };
    let _alone = alone().await;
    let Some(folder) = space::enter(test).await else {
        return;
    };
    // In here nobody reaches that of the other tests.
    let postgres = OwnPostgres::start(&folder.join("postgres"));
    let mut own = OwnEngine::start(&folder, live_restore, &image_from).await;
    let ports = ["23000-23499", "23500-23999"];
    let shops = Shop::open_both(&folder, &own.host(), &postgres.url(), ports).await;
    // Whether they restore means nothing to lists, and to be on one takes long.
    let lists = !live_restore;
    let trials = join_all(shops.map(|shop| Trial::begin(shop, lists))).await;

    own.kill_all().await;
    let killed = now();
    let last_lists = join_all(trials.iter().map(|trial| swept(&trial.shop))).await;
    tokio::time::sleep(DEAD_FOR).await;
    own.start_again().await;
    let settled = trials.into_iter().zip(last_lists);
    join_all(settled.map(|(trial, list)| trial.settle(list.listed_at, killed))).await;
}

struct Trial {
    shop: Shop,
    ana: Customer,
    /// A pod that a list vouches for.
    listed: Option<(PodId, Run)>,
    /// One that is too young for that.
    young: (PodId, Run),
}

impl Trial {
    async fn begin(mut shop: Shop, lists: bool) -> Self {
        let ana = shop.rich("ana").await;
        let mut listed = None;
        if lists {
            let (old, of_old) = launch(&shop, &ana).await;
            let vouched = of_old.recorded_at.unwrap() + VOUCHED_AFTER;
            tokio::time::sleep(vouched.since(now()) + Duration::from_secs(1)).await;
            // A server that starts lists what is there.
            shop.kill().await;
            shop.start().await;
            while swept(&shop).await.rows_at <= vouched {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            listed = Some((old, of_old));
        }
        let young = launch(&shop, &ana).await;
        Self {
            shop,
            ana,
            listed,
            young,
        }
    }

    async fn settle(self, listed_at: Time, killed: Time) {
        let (shop, ana) = (self.shop, self.ana);
        let listed = self.listed.map(|(pod, run)| (pod, run, listed_at));
        let (pod, run) = self.young;
        let first = run.seen_first.unwrap();
        for (pod, run, seen) in listed.into_iter().chain([(pod, run, first)]) {
            let row = shop.until(pod, |pod| pod.run.is_none()).await;
            assert_eq!(
                (row.phase(), row.reason),
                (Phase::Error, Some(Reason::EngineRestart))
            );
            assert!(
                seen > run.charged_from.unwrap() && seen < killed,
                "seen at {seen}"
            );
            let charged = shop.charged(&ana, Meter::Run(pod, run.n)).await;
            assert_eq!(charged, Charged::of(&run, seen));
            let lost = killed.since(seen);
            println!("{} charged, {lost:.1?} lost", charged.amount);
        }
        shop.close(&[&ana]).await;
    }
}

/// A pod, and its run once that is charged for.
async fn launch(shop: &Shop, customer: &Customer) -> (PodId, Run) {
    let pod = shop.launch(customer, &json!({})).await;
    (pod, shop.running(pod).await)
}

/// What the last list of the engine vouches for.
async fn swept(shop: &Shop) -> Swept {
    let document = shop
        .store
        .document("sweep", "default", now())
        .await
        .unwrap();
    document.map_or_else(Swept::default, |d| serde_json::from_value(d.body).unwrap())
}
