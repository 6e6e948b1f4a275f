//! The engine, its shims and its containers are all killed (`SIGKILL`), and the engine is started again later. Nobody saw
//! the ends of what ran: each run is charged to the instant at which it was last seen, and the platform loses the rest.

use std::time::Duration;

use neuropod::decide::Swept;
use neuropod::pod::{Phase, Reason};
use neuropod::store::{Meter, StoreExt};
use serde_json::json;

use crate::given::given;
use crate::own_engine::OwnEngine;
use crate::shop::{Charged, Shop, now};
use crate::{alone, space};

/// A list that is so much younger than the record of a run vouches for it.
const VOUCHED_AFTER: Duration = Duration::from_secs(30);
/// Long enough to see that the time without an engine is not charged.
const DEAD_FOR: Duration = Duration::from_secs(3);

#[tokio::test]
async fn what_nobody_saw_end_is_charged_to_where_it_was_last_seen() {
    let Some(image_from) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let test = "all_killed::what_nobody_saw_end_is_charged_to_where_it_was_last_seen";
    let Some(folder) = space::enter(test).await else {
        return;
    };
    let mut own = OwnEngine::start(&folder, false, &image_from).await;
    let database = format!("sqlite://{}/killed.db", folder.display());
    let host = format!("unix://{}", own.socket().display());
    let mut shop = Shop::open(&folder, &host, &database, "23000-23999").await;
    let ana = shop.rich("ana").await;
    let old = shop.launch(&ana, &json!({})).await;
    let of_old = shop.running(old).await;
    let vouched = of_old.recorded_at.unwrap() + VOUCHED_AFTER;
    tokio::time::sleep(vouched.since(now()) + Duration::from_secs(1)).await;
    // A server that starts lists what is there.
    shop.kill().await;
    shop.start().await;
    while swept(&shop).await.rows_at <= vouched {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let young = shop.launch(&ana, &json!({})).await;
    let of_young = shop.running(young).await;

    own.kill_all().await;
    let killed = now();
    let last_list = swept(&shop).await.listed_at;
    tokio::time::sleep(DEAD_FOR).await;
    own.start_again().await;

    for (pod, run, seen) in [
        (old, of_old, last_list),
        (young, of_young.clone(), of_young.seen_first.unwrap()),
    ] {
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

/// What the last list of the engine vouches for.
async fn swept(shop: &Shop) -> Swept {
    let document = shop
        .store
        .document("sweep", "default", now())
        .await
        .unwrap();
    document.map_or_else(Swept::default, |d| serde_json::from_value(d.body).unwrap())
}
