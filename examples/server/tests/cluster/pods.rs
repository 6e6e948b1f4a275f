//! What a user has of a pod: a page at the address that `/connections` names, the log, and a volume that outlives stop
//! and start and goes with the pod. What others do to it on the cluster leaves nothing behind.

use kube::api::DeleteParams;

use crate::there::There;
use crate::user::{User, get};
use crate::{a_pod, alone, cluster};

#[tokio::test]
async fn a_pod_is_reached_stopped_started_and_deleted() {
    let Some(kubeconfig) = cluster() else { return };
    let _alone = alone().await;
    let user = User::new("pods", &kubeconfig).await;
    let id = user.launch(&a_pod("reached")).await;
    let url = user.ready(&id).await;
    assert!(
        url.starts_with("http://10.250.0.1:3"),
        "a port of the nodes: {url}"
    );
    let page = user.page(&url).await;
    assert!(page.contains("Hello from pod"), "{page}");
    assert!(page.contains("Starts counted on its volume: 1"), "{page}");
    let log = user.of("GET", &id, "/logs").await["logs"].to_string();
    assert!(log.contains("demo: serving HTTP on port 8080"), "{log}");

    user.of("POST", &id, "/stop").await;
    let kept = There {
        claims: [id.clone()].into(),
        routes: [id.clone()].into(),
        ..There::default()
    };
    user.until_there_is(&kept).await;
    assert_eq!(get(&url).await, None, "a stopped pod serves nothing");
    assert_eq!(user.of("GET", &id, "").await["phase"], "STOPPED");
    let log = user.of("GET", &id, "/logs").await["logs"].to_string();
    assert!(log.contains("demo: told to stop"), "{log}");

    user.of("POST", &id, "/start").await;
    assert_eq!(user.ready(&id).await, url, "a pod keeps its address");
    let page = user.page(&url).await;
    assert!(page.contains("Starts counted on its volume: 2"), "{page}");

    user.of("DELETE", &id, "").await;
    user.until_there_is(&There::default()).await;
    user.end().await;
}

#[tokio::test]
async fn a_pod_that_is_deleted_by_hand_has_ended_and_leaves_nothing() {
    let Some(kubeconfig) = cluster() else { return };
    let _alone = alone().await;
    let user = User::new("by-hand", &kubeconfig).await;
    let id = user.launch(&a_pod("deleted-by-hand")).await;
    user.ready(&id).await;
    let there = user.cluster.there().await;
    let deleted = user
        .cluster
        .pods()
        .delete(&there.alive[&id][0], &DeleteParams::default())
        .await;
    deleted.unwrap();
    user.until(&id, "", |pod| (pod["phase"] == "EXITED").then_some(()))
        .await;
    let kept = There {
        claims: [id.clone()].into(),
        routes: [id.clone()].into(),
        ..There::default()
    };
    user.until_there_is(&kept).await;
    user.of("DELETE", &id, "").await;
    user.until_there_is(&There::default()).await;
    user.end().await;
}

#[tokio::test]
async fn an_image_that_is_not_there_is_told() {
    let Some(kubeconfig) = cluster() else { return };
    let _alone = alone().await;
    let user = User::new("no-image", &kubeconfig).await;
    let mut body = a_pod("no-image");
    body["dockerImage"] = "127.0.0.1:5000/missing".into();
    let id = user.launch(&body).await;
    let pod = user
        .until(&id, "", |pod| {
            (pod["phase"] == "ERROR").then(|| pod.clone())
        })
        .await;
    assert_eq!(pod["statusReason"], "IMAGE_PULL", "{pod}");
    user.of("DELETE", &id, "").await;
    user.until_there_is(&There::default()).await;
    user.end().await;
}
