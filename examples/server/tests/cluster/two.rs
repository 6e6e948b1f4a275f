//! Two installations in one namespace, and somebody's own Pod between them.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::there::There;
use crate::user::User;
use crate::{a_pod, alone, cluster};

#[tokio::test]
async fn installations_and_what_is_not_theirs_are_left_alone() {
    let Some(kubeconfig) = cluster() else { return };
    let _alone = alone().await;
    let one = User::new("one", &kubeconfig).await;
    let two = User::new("two", &kubeconfig).await;
    let foreign: Pod = serde_json::from_value(json!({
        "metadata": {"generateName": "somebodys-own-", "labels": {"neuropod.io/pod-id": "0123456789abcdef"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": "docker.io/neuropod/demo",
            "imagePullPolicy": "IfNotPresent"}]},
    }))
    .unwrap();
    let foreign = two
        .cluster
        .pods()
        .create(&PostParams::default(), &foreign)
        .await
        .unwrap();
    let (first, second) = (
        one.launch(&a_pod("first")).await,
        two.launch(&a_pod("second")).await,
    );
    one.ready(&first).await;
    two.ready(&second).await;
    let of_two = two.cluster.there().await;
    one.of("DELETE", &first, "").await;
    one.until_there_is(&There::default()).await;
    assert_eq!(two.cluster.there().await, of_two);
    two.of("DELETE", &second, "").await;
    two.until_there_is(&There::default()).await;
    let still = two.cluster.pods().get(&foreign.name_any()).await.unwrap();
    assert_eq!(still.uid(), foreign.uid());
    let now = DeleteParams::default().grace_period(0);
    two.cluster
        .pods()
        .delete(&foreign.name_any(), &now)
        .await
        .unwrap();
    one.end().await;
    two.end().await;
}
