//! What is made on a real cluster is as it should be, and what a cluster alone has: evidence, terminals, names.

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use kube::ResourceExt;
use kube::api::DeleteParams;
use neuropod_core::Orchestrator;
use neuropod_core::conformance::orchestrator::{Fixture, Program, workload};
use neuropod_core::orchestrator::{Ensured, Fence, PortMap, State, Workload};
use neuropod_core::pod::Proto;
use neuropod_k8s::{Config, Exposure, KubernetesOrchestrator};

use support::cluster_is_there;
use support::fixture::OnCluster;

async fn backend(config: Config) -> KubernetesOrchestrator {
    KubernetesOrchestrator::connect(config)
        .await
        .expect("the cluster answers")
}

fn sleeps(on: &Arc<OnCluster>) -> Workload {
    let program = on.program(Program::Sleeps);
    let ports = [(8888, Proto::Http), (22, Proto::Tcp)];
    Workload {
        ports: ports
            .map(|(container, proto)| PortMap {
                container,
                host: None,
                proto,
            })
            .into(),
        ..workload(program.expect("it can sleep"))
    }
}

async fn run(backend: &KubernetesOrchestrator, w: &Workload) {
    let ensured = backend.ensure(w, &Fence::open()).await;
    assert_eq!(ensured.expect("ensure"), Ensured::Present);
}

async fn state(backend: &KubernetesOrchestrator, w: &Workload) -> State {
    let seen = backend.observe(w.run.pod).await.expect("an answer");
    seen.instances[0].state.clone()
}

#[tokio::test]
async fn a_pod_has_no_more_rights_than_it_needs() {
    if !cluster_is_there() {
        return;
    }
    let on = OnCluster::new().await;
    let (backend, w) = (backend(on.config()).await, sleeps(&on));
    run(&backend, &w).await;
    let pod: Pod = on.of_run(w.run).await;
    let spec = pod.spec.clone().unwrap();
    assert_eq!(spec.automount_service_account_token, Some(false));
    assert_eq!(
        spec.volumes.unwrap_or_default().len(),
        0,
        "no token is mounted"
    );
    assert_eq!(spec.restart_policy.as_deref(), Some("Never"));
    assert_eq!(
        (spec.host_network, spec.host_pid, spec.host_ipc),
        (None, None, None)
    );
    let seccomp = spec.security_context.unwrap().seccomp_profile.unwrap();
    assert_eq!(seccomp.type_, "RuntimeDefault");
    let container = &spec.containers[0];
    let security = container.security_context.as_ref().unwrap();
    assert_eq!(security.allow_privilege_escalation, Some(false));
    let capabilities = security.capabilities.as_ref().unwrap();
    assert_eq!(capabilities.drop, Some(vec!["ALL".to_owned()]));
    assert!(
        !capabilities
            .add
            .as_ref()
            .unwrap()
            .contains(&"NET_RAW".to_owned())
    );
    let limits = container
        .resources
        .as_ref()
        .unwrap()
        .limits
        .clone()
        .unwrap();
    assert_eq!(
        (&*limits["cpu"].0, &*limits["memory"].0),
        ("500m", "67108864")
    );
    assert_eq!(pod.finalizers(), ["neuropod.io/evidence"]);

    let policy = on
        .api::<NetworkPolicy>()
        .get(&format!("np-{}", w.run.pod))
        .await
        .unwrap();
    let policy = policy.spec.unwrap();
    let rules = policy.ingress.unwrap();
    let from = rules[0].from.as_ref().unwrap()[0]
        .pod_selector
        .as_ref()
        .unwrap();
    let network = from.match_labels.as_ref().unwrap()["neuropod.io/network"].clone();
    assert_eq!(
        pod.labels()["neuropod.io/network"],
        network,
        "its owner's other pods"
    );
    assert_eq!(
        rules[1].ports.as_ref().unwrap().len(),
        2,
        "what it publishes"
    );
    on.clear().await;
}

#[tokio::test]
async fn http_goes_by_names_where_there_is_a_domain() {
    if !cluster_is_there() {
        return;
    }
    let on = OnCluster::new().await;
    let exposure = Exposure::Ingress {
        class: "neuropod-nginx".to_owned(),
        tls_secret: Some("neuropod-tls".to_owned()),
        domain: "pods.example.com".to_owned(),
        from_namespace: Some("ingress".to_owned()),
    };
    let backend = backend(Config {
        exposure,
        ..on.config()
    })
    .await;
    let w = sleeps(&on);
    run(&backend, &w).await;
    let State::Running { endpoints, .. } = state(&backend, &w).await else {
        panic!("it runs")
    };
    let name = format!("{}-8888.pods.example.com", w.run.pod);
    assert_eq!(
        (
            endpoints[1].host.as_str(),
            endpoints[1].port,
            endpoints[1].tls
        ),
        (&*name, 443, true)
    );
    assert_eq!(
        (endpoints[0].container, endpoints[0].tls),
        (22, false),
        "what is not HTTP has no name"
    );
    let ingress = on
        .api::<Ingress>()
        .get(&format!("np-{}", w.run.pod))
        .await
        .unwrap()
        .spec
        .unwrap();
    assert_eq!(
        ingress.ingress_class_name.as_deref(),
        Some("neuropod-nginx")
    );
    assert_eq!(ingress.rules.unwrap()[0].host.as_ref(), Some(&name));
    assert_eq!(
        ingress.tls.unwrap()[0].secret_name.as_deref(),
        Some("neuropod-tls")
    );
    let service = on
        .api::<Service>()
        .get(&format!("np-{}", w.run.pod))
        .await
        .unwrap();
    let node_port = service.spec.unwrap().ports.unwrap()[1].node_port;
    assert_eq!(node_port, Some(i32::from(endpoints[0].port)));
    backend.purge(w.run.pod).await.unwrap();
    assert_eq!(on.left(w.run.pod).await, [""; 0]);
    on.clear().await;
}

#[tokio::test]
async fn what_somebody_deletes_leaves_its_evidence() {
    if !cluster_is_there() {
        return;
    }
    let on = OnCluster::new().await;
    let (backend, w) = (backend(on.config()).await, sleeps(&on));
    run(&backend, &w).await;
    let State::Running { started_at, .. } = state(&backend, &w).await else {
        panic!("it runs")
    };
    let name = on.of_run(w.run).await.name_any();
    on.api::<Pod>()
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let ended = loop {
        match state(&backend, &w).await {
            State::Running { .. } => {}
            other => break other,
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "it should have ended"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let State::Exited {
        started_at: Some(since),
        finished_at: Some(_),
        ..
    } = ended
    else {
        panic!("its times are known: {ended:?}");
    };
    assert_eq!(since, started_at);
    backend.remove(w.run).await.unwrap();
    assert_eq!(backend.observe(w.run.pod).await.unwrap().instances, []);
    on.clear().await;
}

#[tokio::test]
async fn a_terminal_takes_what_is_typed_and_tells_the_code() {
    if !cluster_is_there() {
        return;
    }
    let on = OnCluster::new().await;
    let (backend, w) = (backend(on.config()).await, sleeps(&on));
    run(&backend, &w).await;
    let terminal = backend.interactive().expect("a terminal");
    let command = ["sh", "-c", "read line; echo got $line; exit 7"].map(str::to_owned);
    let exec = terminal
        .exec(w.run, command.to_vec(), false)
        .await
        .expect("it runs");
    exec.input
        .send(b"hello\n".to_vec())
        .await
        .expect("it is typed");
    let (output, code) = tokio::join!(exec.output.try_collect::<Vec<_>>(), exec.code);
    assert_eq!(
        String::from_utf8(output.unwrap().concat()).unwrap(),
        "got hello\n"
    );
    assert_eq!(code.unwrap(), 7);
    let unknown = terminal
        .exec(w.run, vec!["nothing-like-it".to_owned()], false)
        .await
        .expect("it is asked");
    let (_, code) = tokio::join!(unknown.output.collect::<Vec<_>>(), unknown.code);
    assert_eq!(code.unwrap(), 127);
    on.clear().await;
}
