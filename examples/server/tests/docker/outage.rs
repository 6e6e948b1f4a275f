//! The server is dead (`SIGKILL`) while a balance runs out and a deadline passes, and the containers run on. Once there
//! is one again each is charged to the instant that was missed, to the micro-unit, and ends.

use std::time::Duration;

use neuropod::pod::Reason;
use neuropod::store::Meter;
use serde_json::json;

use crate::given::{Schema, given};
use crate::shop::{Charged, GRANT, Shop, assert_kept, assert_last_funded, now};
use crate::{alone, folder};

/// Longer than a new balance lasts at the prices of the shop.
const DEAD_FOR: Duration = Duration::from_secs(11);

#[tokio::test]
async fn what_passed_while_no_server_was_up_is_charged_to_its_instant_on_sqlite() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let folder = folder("outage-sqlite");
    let database = format!("sqlite://{}/outage.db", folder.display());
    let shop = Shop::open(&folder, &docker, &database, "28000-28499").await;
    survive(shop).await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn what_passed_while_no_server_was_up_is_charged_to_its_instant_on_postgres() {
    let (Some(docker), Some(server)) = (
        given("NEUROPOD_TEST_DOCKER"),
        given("NEUROPOD_TEST_POSTGRES"),
    ) else {
        return;
    };
    let _alone = alone().await;
    let folder = folder("outage-postgres");
    let schema = Schema::make(&server, "outage").await;
    let shop = Shop::open(&folder, &docker, &schema.url, "28500-28999").await;
    survive(shop).await;
    schema.remove().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

async fn survive(mut shop: Shop) {
    let planner = shop.rich("planner").await;
    let poor = shop.customer("poor").await;
    let timed = shop.launch(&planner, &json!({ "stopAfter": "12s" })).await;
    let of_timed = shop.running(timed).await;
    let row = shop.until(timed, |_| true).await;
    let deadline = row.deadlines.stop_after.unwrap();
    let dry = shop.launch(&poor, &json!({})).await;
    let of_dry = shop.running(dry).await;

    shop.kill().await;
    assert!(now() < deadline, "it was killed too late to miss that");
    tokio::time::sleep(DEAD_FOR.max(deadline.since(now()) + Duration::from_secs(1))).await;
    let restarted = now();
    shop.start().await;

    let row = shop.until(timed, |pod| pod.run.is_none()).await;
    assert_eq!(row.reason, Some(Reason::Deadline));
    let charged = shop.charged(&planner, Meter::Run(timed, of_timed.n)).await;
    assert_eq!(charged, Charged::of(&of_timed, deadline));

    let row = shop.until(dry, |pod| pod.run.is_none()).await;
    assert_eq!(row.reason, Some(Reason::LowBalance));
    let charged = shop.charged(&poor, Meter::Run(dry, of_dry.n)).await;
    let at = charged.to;
    assert!(at < restarted, "dry at {at}, missed until {restarted}");
    assert_last_funded(GRANT, &of_dry, &row, at);
    assert_eq!(charged, Charged::of(&of_dry, at));
    let volume = shop.charged(&poor, Meter::Volume(dry)).await;
    assert_eq!(volume.to, at);
    let left = GRANT - charged.amount - volume.amount;
    assert_eq!(shop.posted(&poor).await, left);
    assert_kept(&row, at);
    shop.close(&[&planner, &poor]).await;
}
