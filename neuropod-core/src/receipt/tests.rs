use super::*;
use crate::Launch;
use crate::auth::Identity;
use crate::fault::{Fault, Reply};
use crate::pod::Pod;
use crate::scene::Scene;
use crate::store::PodFilter;

fn receipt(key: &str) -> Receipt {
    Receipt::new(Identity::local().user.id, key, "launch").unwrap()
}

async fn launch(scene: &Scene, key: &str) -> Result<Done<Pod>> {
    let ask = Launch::image("there");
    let me = Identity::local();
    scene.platform.launch_once(&me, &ask, &receipt(key)).await
}

async fn pods(scene: &Scene) -> usize {
    scene.store.all_pods(PodFilter::Alive).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_after_the_commit_is_given_to_who_asks_again() {
    let scene = Scene::new().await;
    let mut lost = false;
    scene.plan(move |operation| {
        // The launch's own commit, and every read that would tell what became of it.
        lost |= operation == "commit";
        Fault {
            reply: if operation == "commit" {
                Reply::Lost
            } else {
                Reply::Given
            },
            refuse: lost && operation == "documents",
            ..Fault::default()
        }
    });
    assert!(launch(&scene, "one").await.is_err());
    assert_eq!(pods(&scene).await, 1);
    scene.plan(|_| Fault::default());
    for _ in 0..5 {
        let done = launch(&scene, "one").await.unwrap();
        assert!(done.replayed);
        assert_eq!(done.outcome.version, 1, "as it was");
    }
    assert_eq!(pods(&scene).await, 1);
    assert!(!launch(&scene, "two").await.unwrap().replayed);
    assert_eq!(pods(&scene).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_is_kept_for_a_day_and_names_what_was_asked() {
    let scene = Scene::new().await;
    launch(&scene, "one").await.unwrap();
    let other = Receipt::new(Identity::local().user.id, "one", "something else").unwrap();
    let refused = other.done::<Pod>(scene.core()).await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::IdempotencyConflict);
    let of_another_kind = other.done::<Vec<u8>>(scene.core()).await.unwrap_err();
    assert_eq!(*of_another_kind.kind(), ErrorKind::IdempotencyConflict);
    tokio::time::advance(KEPT - Duration::from_secs(1)).await;
    assert!(
        receipt("one")
            .done::<Pod>(scene.core())
            .await
            .unwrap()
            .is_some()
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(
        receipt("one")
            .done::<Pod>(scene.core())
            .await
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_key_is_short_and_visible_and_what_was_asked_is_not_shown() {
    let id = Identity::local().user.id;
    for bad in [
        String::new(),
        "ä".to_owned(),
        "a\nb".to_owned(),
        "x".repeat(256),
    ] {
        assert!(Receipt::new(id, &bad, "").is_err(), "{bad:?}");
    }
    let receipt = Receipt::new(id, &"x".repeat(255), "a secret").unwrap();
    assert!(!format!("{receipt:?}").contains("secret"));
}
