//! When balances run out, asked again and again.

use super::*;
use crate::billing::Credit;
use crate::scene::Scene;
use crate::{Clock, Launch};

#[tokio::test(start_paused = true)]
async fn when_a_balance_runs_out_is_asked_once_and_anew_after_each_write_of_ours() {
    let scene = Scene::new().await;
    let mut ana = Identity::local();
    ana.user.id = UserId::from_bytes([7; 12]);
    ana.user.role = crate::user::Role::Client;
    let credit = |n: u8, amount: i64| Credit {
        id: format!("{n}"),
        account: AccountId::of(ana.user.id),
        from: AccountId::from("funding"),
        amount: Money::from_micros(amount),
        memo: String::new(),
        actor: None,
        at: scene.core().clock.now(),
    };
    let platform = &scene.platform;
    platform.book(&credit(1, 10_000_000)).await.unwrap();
    let ask = Launch::image("there").gpu("rtx-4050");
    let pod = platform.launch(&ana, &ask).await.unwrap().id;
    platform.run_until_idle().await.unwrap();
    let pod = scene.pod(pod).await;
    let dry = async || platform.runs_dry_at(&pod).await.unwrap().unwrap();

    let first = dry().await;
    scene.calls();
    assert_eq!(dry().await, first);
    assert!(scene.calls().is_empty(), "it was asked just now");

    platform.book(&credit(2, 10_000_000)).await.unwrap();
    assert!(dry().await > first);

    // What another replica has written is found half a second later.
    let elsewhere = Changes {
        transfers: scene
            .core()
            .billing
            .credit(&credit(3, 10_000_000))
            .await
            .unwrap(),
        ..Changes::default()
    };
    let second = dry().await;
    crate::Store::commit(&scene.store, &elsewhere)
        .await
        .unwrap();
    assert_eq!(dry().await, second);
    tokio::time::advance(BELIEVED_FOR).await;
    assert!(dry().await > second);
}
