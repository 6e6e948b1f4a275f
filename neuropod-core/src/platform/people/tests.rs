//! Users in lists, and balances that are set.

use futures::FutureExt;

use super::*;
use crate::fault::Fault;
use crate::id::PodId;
use crate::pod::Pod;
use crate::scene::Scene;
use crate::store::{Transfer, TransferQuery};
use crate::{Launch, Store};

async fn user(scene: &Scene, n: u8, role: Role) -> Identity {
    let user = User {
        id: UserId::from_bytes([n; 12]),
        email: format!("user{n}@example.com"),
        role,
        version: 0,
        ..Identity::local().user
    };
    let changes = Changes {
        users: vec![user.clone()],
        accounts: vec![AccountChange {
            id: AccountId::of(user.id),
            unlimited: role == Role::Admin,
        }],
        ..Changes::default()
    };
    scene.core().commit(changes).await.unwrap();
    Identity {
        user: User { version: 1, ..user },
        session: None,
    }
}

async fn transfers(scene: &Scene, user: UserId) -> Vec<Transfer> {
    let query = TransferQuery {
        account: AccountId::of(user),
        after: None,
        limit: 100,
    };
    scene.store.transfers(&query).await.unwrap().items
}

fn euros(n: i64) -> Money {
    Money::from_micros(n * 1_000_000)
}

#[tokio::test(start_paused = true)]
async fn a_balance_is_set_by_one_transfer_of_the_difference() {
    let scene = Scene::new().await;
    let (admin, ana) = (Identity::local(), user(&scene, 1, Role::Client).await);
    let id = ana.user.id;
    let set = async |amount| scene.platform.set_balance(&admin, id, amount).await;
    let has = async || scene.platform.balance(&admin, id).await.unwrap().available;
    for (amount, moved) in [
        (euros(10), euros(10)),
        (euros(4), euros(6)),
        (euros(4), Money::ZERO),
    ] {
        let before = transfers(&scene, id).await.len();
        set(amount).await.unwrap();
        assert_eq!(has().await, amount);
        let after = transfers(&scene, id).await;
        assert_eq!(after.len() - before, usize::from(moved > Money::ZERO));
        if moved > Money::ZERO {
            assert_eq!(
                (after[0].amount, after[0].actor),
                (moved, Some(admin.user.id))
            );
        }
    }
    for wrong in [Money::from_micros(-1), MOST + Money::from_micros(1)] {
        assert_eq!(*set(wrong).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(has().await, euros(4));
}

#[tokio::test(start_paused = true)]
async fn what_a_launch_sets_aside_meanwhile_is_not_taken_from_it() {
    let scene = Scene::new().await;
    let (admin, ana) = (Identity::local(), user(&scene, 1, Role::Client).await);
    let id = ana.user.id;
    let set = async |amount| {
        scene
            .platform
            .set_balance(&admin, id, amount)
            .await
            .unwrap()
    };
    set(euros(10)).await;
    let ask = Launch::image("there").gpu("cpu");
    let pod = scene.platform.launch(&ana, &ask).await.unwrap();
    let hold = pod.hold.clone().unwrap().amount;
    // Another one, between what the setting reads and what it writes.
    let mut other = Some(Changes {
        touch: vec![AccountId::of(id)],
        pods: vec![Pod {
            id: PodId::from_bytes([9; 8]),
            version: 0,
            ..pod
        }],
        ..Changes::default()
    });
    let store = scene.store.clone();
    scene.plan(move |operation| {
        if operation == "commit"
            && let Some(other) = other.take()
        {
            store.commit(&other).now_or_never().unwrap().unwrap();
        }
        Fault::default()
    });
    set(Money::ZERO).await;
    let balance = scene.platform.balance(&admin, id).await.unwrap();
    assert_eq!(
        (balance.available, balance.held),
        (Money::ZERO, hold + hold)
    );
}

#[tokio::test(start_paused = true)]
async fn a_repeated_setting_moves_money_once() {
    let scene = Scene::new().await;
    let (admin, ana) = (Identity::local(), user(&scene, 1, Role::Client).await);
    let receipt = Receipt::new(admin.user.id, "one", "set").unwrap();
    for n in 0..3 {
        let set = scene
            .platform
            .set_balance_once(&admin, ana.user.id, euros(10), &receipt);
        assert_eq!(set.await.unwrap().replayed, n > 0);
        // What she spends in between does not come back.
        if n == 0 {
            scene
                .platform
                .set_balance(&admin, ana.user.id, euros(3))
                .await
                .unwrap();
        }
    }
    let balance = scene.platform.balance(&admin, ana.user.id).await.unwrap();
    assert_eq!(balance.available, euros(3));
}

#[tokio::test(start_paused = true)]
async fn only_accounts_that_are_not_as_the_role_wants_them_are_repaired() {
    let scene = Scene::new().await;
    let admin = Identity::local();
    let people = [
        user(&scene, 1, Role::Client).await,
        user(&scene, 2, Role::Admin).await,
        user(&scene, 3, Role::Client).await,
    ];
    scene
        .platform
        .set_balance(&admin, people[0].user.id, euros(7))
        .await
        .unwrap();
    assert_eq!(scene.platform.fix_balances(&admin).await.unwrap(), []);
    let wrong = |n: usize, unlimited| AccountChange {
        id: AccountId::of(people[n].user.id),
        unlimited,
    };
    let changes = Changes {
        accounts: vec![wrong(0, true), wrong(1, false)],
        ..Changes::default()
    };
    scene.core().commit(changes).await.unwrap();
    let repaired = scene.platform.fix_balances(&admin).await.unwrap();
    let seen: Vec<_> = repaired
        .iter()
        .map(|r| (r.user.id, r.before.unlimited, r.after.unlimited))
        .collect();
    let [client, administrator, _] = &people;
    assert_eq!(
        seen,
        [
            (client.user.id, true, false),
            (administrator.user.id, false, true)
        ]
    );
    assert_eq!(repaired[0].after.available, euros(7));
}

#[tokio::test(start_paused = true)]
async fn people_are_listed_with_what_they_have() {
    let scene = Scene::new().await;
    let (admin, ana) = (Identity::local(), user(&scene, 1, Role::Client).await);
    user(&scene, 2, Role::Client).await;
    scene
        .platform
        .set_balance(&admin, ana.user.id, euros(100))
        .await
        .unwrap();
    let ask = Launch::image("there").gpu("cpu");
    for _ in 0..2 {
        scene.platform.launch(&ana, &ask).await.unwrap();
    }
    let stopped = scene.platform.launch(&ana, &ask).await.unwrap().id;
    scene.platform.stop(&ana, stopped).await.unwrap();
    let list = async |search: Option<&str>| {
        let search = search.map(str::to_owned);
        scene
            .platform
            .users(&admin, search, None, 10)
            .await
            .unwrap()
            .items
    };
    assert_eq!(list(None).await.len(), 2);
    let found = list(Some("USER1@")).await;
    let [found] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(
        (found.active_pods, found.total_pods, found.online),
        (2, 3, false)
    );
    assert!(found.balance.available < euros(100));
}
