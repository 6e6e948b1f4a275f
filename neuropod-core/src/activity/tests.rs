use serde_json::json;

use super::*;
use crate::Launch;
use crate::scene::Scene;

async fn log(scene: &Scene, query: ActivityQuery) -> Vec<(Did, Value)> {
    let query = ActivityQuery {
        limit: 100,
        ..query
    };
    let page = scene.platform.activity(&Identity::local(), &query).await;
    let items = page.unwrap().items.into_iter();
    items.map(|a| (a.did, a.details)).collect()
}

#[tokio::test(start_paused = true)]
async fn what_changes_a_pod_is_noted_with_the_change_and_a_look_a_little_later() {
    let scene = Scene::new().await;
    let me = Identity::local();
    let pod = scene.launch(Launch::image("there")).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    scene.platform.stop(&me, pod).await.unwrap();
    scene.platform.stop(&me, pod).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    scene.platform.note_look(&me, Did::GetPods, json!({}));
    let all = log(&scene, ActivityQuery::default()).await;
    let did: Vec<Did> = all.iter().map(|(did, _)| *did).collect();
    assert_eq!(did, [Did::GetPods, Did::StopPod, Did::CreatePod]);
    assert_eq!(all[2].1["podId"], json!(pod));

    tokio::time::advance(LOOKS_KEPT).await;
    let left = log(&scene, ActivityQuery::default()).await;
    assert_eq!(left.len(), 2, "looks are not kept for ever");
}

#[tokio::test(start_paused = true)]
async fn it_is_found_by_who_what_and_when() {
    let scene = Scene::new().await;
    let core = scene.core();
    let start = core.clock.now();
    let people = [1, 2].map(|n| UserId::from_bytes([n; 12]));
    for n in 0..40_u64 {
        let user = people[(n % 2) as usize];
        let what = if n % 4 < 2 { Did::Login } else { Did::Logout };
        let at = start + Duration::from_secs(n);
        let changes = Changes {
            documents: vec![did(&core.entropy, at, user, what, json!({ "n": n }))],
            ..Changes::default()
        };
        core.commit(changes).await.unwrap();
    }
    let numbers = async |query| {
        let found = log(&scene, query).await.into_iter();
        found
            .map(|(_, d)| d["n"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let of = |user: Option<UserId>, did: Option<Did>| ActivityQuery {
        user,
        did,
        ..ActivityQuery::default()
    };
    let expected = |keep: fn(&u64) -> bool| (0..40).rev().filter(keep).collect::<Vec<u64>>();
    assert_eq!(numbers(of(None, None)).await, expected(|_| true));
    assert_eq!(
        numbers(of(Some(people[0]), None)).await,
        expected(|n| n % 2 == 0)
    );
    assert_eq!(
        numbers(of(None, Some(Did::Login))).await,
        expected(|n| n % 4 < 2)
    );
    assert_eq!(
        numbers(of(Some(people[1]), Some(Did::Logout))).await,
        expected(|n| n % 4 == 3)
    );
    let between = ActivityQuery {
        from: Some(start + Duration::from_secs(5)),
        to: Some(start + Duration::from_secs(8)),
        ..ActivityQuery::default()
    };
    assert_eq!(numbers(between).await, [7, 6, 5]);

    // Page by page it is the same.
    let (mut after, mut paged) = (None, Vec::new());
    loop {
        let query = ActivityQuery {
            after,
            limit: 3,
            ..of(Some(people[0]), Some(Did::Login))
        };
        let page = scene
            .platform
            .activity(&Identity::local(), &query)
            .await
            .unwrap();
        paged.extend(page.items.iter().map(|a| a.details["n"].as_u64().unwrap()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, expected(|n| n % 4 == 0));
}
