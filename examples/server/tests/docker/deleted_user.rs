//! A user is deleted while the engine does not answer: he is out at once, and forgotten once his container and his volume are
//! gone, not before.

use std::time::{Duration, Instant};

use neuropod::Store;
use neuropod::id::AccountId;
use neuropod::money::Money;
use serde_json::json;

use crate::engine::Engine;
use crate::given::given;
use crate::own_engine::OwnEngine;
use crate::shop::{Shop, WITHIN};
use crate::{alone, space};

#[tokio::test]
async fn a_deleted_users_containers_go_before_he_is_forgotten() {
    let Some(image_from) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let test = "deleted_user::a_deleted_users_containers_go_before_he_is_forgotten";
    let Some(folder) = space::enter(test).await else {
        return;
    };
    let own = OwnEngine::start(&folder, false, &image_from).await;
    let database = format!("sqlite://{}/deleted.db", folder.display());
    let host = format!("unix://{}", own.socket().display());
    let shop = Shop::open(&folder, &host, &database, "24000-24999").await;
    let leaver = shop.rich("leaver").await;
    let user = leaver.account.user().unwrap();
    let pod = shop.launch(&leaver, &json!({})).await;
    shop.running(pod).await;

    own.freeze();
    let deleted = shop.delete_user(&leaver).await;
    assert_eq!(deleted["podsDeleted"], 1);
    assert_eq!(deleted["activePods"], 1);
    assert_eq!(shop.look(&leaver).await, 401);
    // The engine may not have begun with anything yet.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(shop.store.user(user).await.unwrap().is_some());
    assert!(!shop.store.pod(pod).await.unwrap().unwrap().is_tombstone());
    own.go_on();

    let deadline = Instant::now() + WITHIN;
    while shop.store.user(user).await.unwrap().is_some() {
        assert!(Instant::now() < deadline, "he is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(shop.store.pod(pod).await.unwrap().unwrap().is_tombstone());
    let installation = shop.store.installation().await.unwrap();
    let there = Engine::unwatched(own.docker.clone(), &installation)
        .there()
        .await;
    assert!(
        there.alive.is_empty() && there.ended.is_empty(),
        "{there:?}"
    );
    assert!(there.volumes.is_empty(), "{there:?}");
    assert_eq!(shop.posted(&leaver).await, Money::ZERO);
    let account = AccountId::of(user);
    assert!(shop.store.account(&account).await.unwrap().is_some());
    shop.close(&[]).await;
}
