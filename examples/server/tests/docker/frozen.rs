//! The engine is frozen (`SIGSTOP`) while a balance runs out, a deadline passes and a user stops a pod, and its containers
//! run on. Once it goes on, each is charged to its cutoff, to the micro-unit, and for nothing after that.

use std::time::Duration;

use neuropod::pod::{Desired, Reason};
use neuropod::store::Meter;
use serde_json::json;

use crate::given::given;
use crate::own_engine::OwnEngine;
use crate::shop::{Charged, GRANT, Shop, assert_kept, assert_last_funded, now};
use crate::{alone, space};

/// How long a program may take to end after its user's stop, at his cost.
const GRACE: Duration = Duration::from_secs(10);
/// Of a balance that has run out, until its pods are told to stop.
const STOPPED_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test]
async fn nothing_past_the_cutoff_is_charged_while_the_engine_is_frozen() {
    let Some(image_from) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let test = "frozen::nothing_past_the_cutoff_is_charged_while_the_engine_is_frozen";
    let Some(folder) = space::enter(test).await else {
        return;
    };
    let own = OwnEngine::start(&folder, false, &image_from).await;
    let database = format!("sqlite://{}/frozen.db", folder.display());
    let host = format!("unix://{}", own.socket().display());
    let shop = Shop::open(&folder, &host, &database, "24000-24999").await;
    let (stopper, planner) = (shop.rich("stopper").await, shop.rich("planner").await);
    let poor = shop.customer("poor").await;
    let stopped = shop.launch(&stopper, &json!({})).await;
    let timed = shop.launch(&planner, &json!({ "stopAfter": "20s" })).await;
    shop.running(stopped).await;
    let deadline = shop.until(timed, |pod| pod.volume.is_some()).await;
    let deadline = deadline.deadlines.stop_after.unwrap();
    let dry = shop.launch(&poor, &json!({})).await;
    let funded = shop.running(dry).await;

    own.freeze();
    let before = now();
    shop.stop(&stopper, stopped).await;
    let after = now();
    let wishes_none = |pod: &neuropod::pod::Pod| pod.desired == Desired::Stopped;
    let stopped_row = shop.until(stopped, wishes_none).await;
    let dry_row = shop.until(dry, wishes_none).await;
    let timed_row = shop.until(timed, wishes_none).await;
    let runs = [&stopped_row, &dry_row, &timed_row].map(|row| row.run.clone().unwrap());
    let [of_stopped, of_dry, of_timed] = &runs;
    let cutoffs = runs.each_ref().map(|run| run.cutoff.unwrap());
    assert!(cutoffs[0] >= before + GRACE && cutoffs[0] <= after + GRACE);
    assert_last_funded(GRANT, &funded, &dry_row, cutoffs[1]);
    assert!(dry_row.updated_at <= cutoffs[1] + STOPPED_WITHIN);
    assert_eq!(cutoffs[2], deadline);
    assert_kept(&dry_row, cutoffs[1]);
    // All run on past that.
    let last = cutoffs.into_iter().max().unwrap();
    tokio::time::sleep(last.since(now()) + Duration::from_secs(1)).await;
    own.go_on();

    for (customer, pod, run, reason) in [
        (&stopper, stopped, of_stopped, Reason::User),
        (&poor, dry, of_dry, Reason::LowBalance),
        (&planner, timed, of_timed, Reason::Deadline),
    ] {
        let row = shop.until(pod, |pod| pod.run.is_none()).await;
        assert_eq!(row.reason, Some(reason));
        let charged = shop.charged(customer, Meter::Run(pod, run.n)).await;
        assert_eq!(charged, Charged::of(run, run.cutoff.unwrap()));
    }
    let volume = shop.charged(&poor, Meter::Volume(dry)).await;
    assert_eq!(volume.to, cutoffs[1]);
    let run = Charged::of(of_dry, cutoffs[1]).amount;
    assert_eq!(shop.posted(&poor).await, GRANT - run - volume.amount);
    let row = shop.until(dry, |pod| pod.run.is_none()).await;
    assert_kept(&row, cutoffs[1]);
    shop.close(&[&stopper, &planner, &poor]).await;
}
