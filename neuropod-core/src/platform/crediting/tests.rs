//! Money that is told again, or by two who took the same id.

use super::*;
use crate::Store;
use crate::event::Event;
use crate::scene::Scene;
use crate::store::EventQuery;

fn payment(amount: i64) -> Credit {
    Credit {
        id: "payment 4711".to_owned(),
        account: AccountId::of(UserId::from_bytes([7; 12])),
        from: AccountId::from("funding"),
        amount: Money::from_micros(amount),
        memo: "by card".to_owned(),
        actor: None,
        at: crate::fixture::NOW,
    }
}

async fn told(scene: &Scene) -> Vec<Event> {
    let page = scene.store.events(&EventQuery {
        after: None,
        limit: 100,
    });
    let mut events = page.await.unwrap().events;
    events.retain(|event| event.event.kind == EventKind::BalanceUpdate);
    events
}

#[tokio::test(start_paused = true)]
async fn a_payment_that_is_told_again_is_booked_and_told_once() {
    let scene = Scene::new().await;
    for _ in 0..3 {
        let balance = scene.platform.book(&payment(25)).await.unwrap();
        assert_eq!(balance.available, Money::from_micros(25));
    }
    let told = told(&scene).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].event.owner, Some(UserId::from_bytes([7; 12])));
    assert_eq!(
        told[0].event.body["newBalance"],
        json!(Money::from_micros(25))
    );
}

#[tokio::test(start_paused = true)]
async fn another_payment_under_the_same_id_is_refused() {
    let scene = Scene::new().await;
    scene.platform.book(&payment(25)).await.unwrap();
    let refused = scene.platform.book(&payment(26)).await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::IdempotencyConflict);
    let balance = scene.platform.book(&payment(25)).await.unwrap();
    assert_eq!(balance.available, Money::from_micros(25));
}

#[tokio::test(start_paused = true)]
async fn the_money_and_who_did_it_are_one_write() {
    let scene = Scene::new().await;
    let admin = Identity::local();
    let user = crate::user::User {
        id: UserId::from_bytes([7; 12]),
        role: Role::Client,
        version: 0,
        ..admin.user.clone()
    };
    let users = Changes {
        users: vec![user.clone()],
        ..Changes::default()
    };
    scene.core().commit(users).await.unwrap();
    scene.calls();
    let amount = Money::from_micros(25);
    let credit = scene.platform.credit(&admin, "1", user.id, amount, "");
    credit.await.unwrap();
    let commits = scene.calls().into_iter().filter(|call| *call == "commit");
    assert_eq!(commits.count(), 1);
    let did = scene.platform.activity(&admin, &Default::default()).await;
    assert_eq!(did.unwrap().items.len(), 1);
}
