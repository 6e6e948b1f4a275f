//! A pod with a GPU lands on the node that has the product it paid for; one too many waits, and says why.

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::there::There;
use crate::user::User;
use crate::{a_pod, alone, cluster};

/// As nodes are labelled with it, and as the price list's entry `rtx-4050` has it.
const PRODUCT: &str = "NVIDIA-GeForce-RTX-4050";

#[tokio::test]
async fn a_gpu_is_the_product_that_was_paid_for_and_one_too_many_waits() {
    let Some(kubeconfig) = cluster() else { return };
    let _alone = alone().await;
    let user = User::new("gpus", &kubeconfig).await;
    let nodes: Api<Node> = Api::all(user.cluster.client.clone());
    let has = |product: &'static str| {
        Patch::Merge(json!({"metadata": {"labels": {"nvidia.com/gpu.product": product}}}))
    };
    let offers = Patch::Merge(
        json!({"status": {"capacity": {"nvidia.com/gpu": "1"}, "allocatable": {"nvidia.com/gpu": "1"}}}),
    );
    let params = PatchParams::default();
    for (node, product) in [("n1", "NVIDIA-H200"), ("n2", PRODUCT)] {
        nodes.patch(node, &params, &has(product)).await.unwrap();
        nodes.patch_status(node, &params, &offers).await.unwrap();
    }
    let mut body = a_pod("on-a-gpu");
    body["gpu"] = "rtx-4050".into();
    let first = user.launch(&body).await;
    user.ready(&first).await;
    let pod = user.cluster.pod(&first).await.unwrap();
    let spec = pod.spec.unwrap();
    assert_eq!(spec.node_name.as_deref(), Some("n2"));
    let limits = spec.containers[0]
        .resources
        .as_ref()
        .unwrap()
        .limits
        .as_ref()
        .unwrap();
    assert_eq!(limits["nvidia.com/gpu"].0, "1");

    body["name"] = "one-too-many".into();
    let second = user.launch(&body).await;
    let waits = |pod: &serde_json::Value| {
        let said = pod["statusMessage"].as_str().unwrap_or_default().to_owned();
        (pod["statusReason"] == "NO_CAPACITY" && !said.is_empty()).then_some(said)
    };
    let said = user.until(&second, "", waits).await;
    assert!(said.contains("nvidia.com/gpu"), "{said}");

    user.of("DELETE", &first, "").await;
    user.ready(&second).await;
    user.of("DELETE", &second, "").await;
    user.until_there_is(&There::default()).await;
    for node in ["n1", "n2"] {
        let none = Patch::Merge(
            json!({"status": {"capacity": {"nvidia.com/gpu": null}, "allocatable": {"nvidia.com/gpu": null}}}),
        );
        nodes.patch_status(node, &params, &none).await.unwrap();
    }
    user.end().await;
}
