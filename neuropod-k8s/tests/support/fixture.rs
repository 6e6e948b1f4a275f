//! The fixture of a real cluster.

use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use neuropod_core::conformance::orchestrator::{
    Able, Fixture, Image, Outside, Program, Subject, Unable,
};
use neuropod_core::id::{PodId, RunId};
use neuropod_k8s::{Config, KubernetesOrchestrator};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::proxy::Proxy;
use super::{IMAGE, NAMESPACE, client, containerds, unique};

/// An installation of its own on the cluster of the tests, and everybody else there.
pub struct OnCluster {
    client: Client,
    installation: String,
    proxy: Proxy,
    /// By what kind it is and what it is called.
    foreign: Mutex<Vec<(&'static str, String)>>,
}

impl std::fmt::Debug for OnCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.installation)
    }
}

impl OnCluster {
    pub async fn new() -> Arc<Self> {
        let kubeconfig = super::server_kubeconfig().expect(super::NO_CLUSTER);
        Arc::new(Self {
            client: client().await,
            installation: unique("conformance"),
            proxy: Proxy::to(&kubeconfig).await,
            foreign: Mutex::default(),
        })
    }

    /// The settings of this installation.
    pub fn config(&self) -> Config {
        Config {
            kubeconfig: Some(self.proxy.kubeconfig()),
            namespace: NAMESPACE.to_owned(),
            public_host: "10.250.0.1".to_owned(),
            // Many at once have room on a small machine.
            cpu_request_milli: Some(10),
            memory_request_bytes: Some(16 << 20),
            // A busy machine is slow.
            start_within: Duration::from_secs(40),
            ..Config::new(&self.installation)
        }
    }

    /// A backend of this installation.
    pub async fn subject(self: Arc<Self>) -> Arc<Subject> {
        let backend = KubernetesOrchestrator::connect(self.config()).await;
        Subject::new(Arc::new(backend.expect("the cluster answers")), self)
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Removes whatever a case has left.
    pub async fn clear(&self) {
        self.proxy.cut(false);
        let ours =
            ListParams::default().labels(&format!("neuropod.io/instance={}", self.installation));
        let now = DeleteParams::default().grace_period(0);
        let pods: Api<Pod> = self.api();
        let _ = pods.delete_collection(&now, &ours).await;
        for pod in pods.list(&ours).await.expect("a list") {
            self.release(&pod.name_any()).await;
        }
        let _ = self
            .api::<PersistentVolumeClaim>()
            .delete_collection(&now, &ours)
            .await;
        let _ = self.api::<Service>().delete_collection(&now, &ours).await;
        let _ = self.api::<Ingress>().delete_collection(&now, &ours).await;
        let _ = self
            .api::<NetworkPolicy>()
            .delete_collection(&now, &ours)
            .await;
        let foreign = std::mem::take(&mut *self.foreign.lock().unwrap());
        for (kind, name) in foreign {
            let _ = match kind {
                "pod" => pods.delete(&name, &now).await.map(drop),
                "claim" => self
                    .api::<PersistentVolumeClaim>()
                    .delete(&name, &now)
                    .await
                    .map(drop),
                _ => self.api::<Service>().delete(&name, &now).await.map(drop),
            };
        }
    }

    /// Takes the finalizer away.
    async fn release(&self, pod: &str) {
        let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        let _ = self
            .api::<Pod>()
            .patch(pod, &PatchParams::default(), &patch)
            .await;
    }

    /// The Pod of a run.
    pub async fn of_run(&self, run: RunId) -> Pod {
        let labelled = ListParams::default().labels(&format!("neuropod.io/run-key={}", run.key));
        let found = self.api::<Pod>().list(&labelled).await.expect("a list");
        found.items.into_iter().next().expect("its Pod is there")
    }

    async fn names<K>(&self, pod: PodId) -> Vec<String>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let labelled = ListParams::default().labels(&format!("neuropod.io/pod-id={pod}"));
        let found = self.api::<K>().list(&labelled).await.expect("a list");
        found.iter().map(ResourceExt::name_any).collect()
    }

    async fn make<K>(&self, kind: &'static str, object: serde_json::Value)
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + serde::Serialize
            + std::fmt::Debug,
    {
        let object: K = serde_json::from_value(object).expect("an object");
        let made = self
            .api::<K>()
            .create(&PostParams::default(), &object)
            .await;
        let name = made.expect("it is made").name_any();
        self.foreign.lock().unwrap().push((kind, name));
    }
}

/// What a shell does to be that program; `None` for those that come from a registry.
fn script(program: Program) -> Able<Option<&'static str>> {
    Ok(Some(match program {
        Program::Sleeps => "trap 'exit 0' TERM; sleep 1000000 & wait",
        // The first process of a container gets no signal that it has not asked for.
        Program::IgnoresTerm => "exec sleep 1000000",
        Program::EndsLate => "trap 'sleep 0.3; exit 0' TERM; echo ready; sleep 1000000 & wait",
        Program::Succeeds => "exit 0",
        Program::Fails => "exit 3",
        Program::EatsMemory => "exec dd if=/dev/zero of=/dev/null bs=512M count=1",
        Program::Serves => "sleep 3; exec httpd -f -p 8080 -h /www",
        Program::Computes => "while :; do :; done",
        Program::Prints => "trap 'exit 0' TERM; seq 0 99 | sed 's/^/line /'; sleep 1000000 & wait",
        Program::PrintsAndEnds => "seq 0 99 | sed 's/^/line /'",
        Program::PrintsOn => "i=0; while :; do echo line $i; i=$((i + 1)); sleep 0.1; done",
        Program::PrintsUnfinished => "printf 'one\\ntwo'",
        Program::PrintsLongLine => "head -c 1048576 /dev/zero | tr '\\0' x; echo; echo after",
        // More than the 10 MB after which a kubelet begins another file; it looks every ten seconds.
        Program::PrintsMuch => {
            "awk 'BEGIN { x = sprintf(\"%0190d\", 0); for (i = 0; i < 100000; i++) print i, x }'; sleep 12; \
             awk 'BEGIN { x = sprintf(\"%0190d\", 0); for (i = 100000; i < 101000; i++) print i, x; print \"end\" }'"
        }
        Program::PrintsProbe => "echo \"$PROBE\"",
        Program::CountsStarts => "echo start >>/workspace/starts; wc -l </workspace/starts",
        Program::PrintsToBoth => {
            return Err(Unable(
                "A cluster's log does not tell standard error apart.",
            ));
        }
        Program::Pulled => {
            return Err(Unable(
                "A node pulls for a Pod that it has been given: there is no pull before a Pod.",
            ));
        }
        Program::Missing | Program::Denied => return Ok(None),
    }))
}

const NOT_OURS: Unable =
    Unable("NEUROPOD_TEST_CONTAINERDS names no nodes: this is somebody's own cluster.");

#[async_trait]
impl Fixture for OnCluster {
    fn program(&self, program: Program) -> Able<Image> {
        Ok(match script(program)? {
            Some(script) => Image {
                name: IMAGE.to_owned(),
                args: ["sh", "-c", script].map(str::to_owned).to_vec(),
            },
            None if containerds().is_none() => return Err(NOT_OURS),
            // The nodes' own registry has nothing, and asks who wants one thing of it.
            None => Image {
                name: format!("127.0.0.1:5000/{}", format!("{program:?}").to_lowercase()),
                args: Vec::new(),
            },
        })
    }

    async fn outside(&self, deed: Outside) -> Able {
        match deed {
            Outside::Kill(run) => {
                let pod = self.of_run(run).await;
                let containers = pod
                    .status
                    .and_then(|s| s.container_statuses)
                    .unwrap_or_default();
                let id = containers[0].container_id.clone().expect("it has started");
                let id = id.trim_start_matches("containerd://");
                let killed = containerds().ok_or(NOT_OURS)?.iter().any(|socket| {
                    let mut ctr = Command::new("ctr");
                    ctr.args([
                        "--address",
                        socket,
                        "--namespace",
                        "k8s.io",
                        "task",
                        "kill",
                        "--signal",
                        "KILL",
                        id,
                    ]);
                    ctr.output().is_ok_and(|output| output.status.success())
                });
                assert!(killed, "killed");
            }
            Outside::Vanish(run) => {
                let name = self.of_run(run).await.name_any();
                self.release(&name).await;
                let now = DeleteParams::default().grace_period(0);
                self.api::<Pod>()
                    .delete(&name, &now)
                    .await
                    .expect("removed");
            }
            Outside::Restart(_) => {
                return Err(Unable("Nobody can start a Pod again that has ended."));
            }
            Outside::VanishVolume(pod) => {
                let (api, name) = (self.api::<PersistentVolumeClaim>(), format!("np-{pod}"));
                api.delete(&name, &DeleteParams::default())
                    .await
                    .expect("its claim is removed");
                while api.get_opt(&name).await.expect("an answer").is_some() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Outside::Occupy(port) => {
                let ports = json!([{"port": 80, "nodePort": port}]);
                let name = format!("taken-{port}-{}", self.installation);
                let spec =
                    json!({"type": "NodePort", "ports": ports, "selector": {"nobody": "at-all"}});
                self.make::<Service>("service", json!({"metadata": {"name": name}, "spec": spec}))
                    .await;
            }
            Outside::Foreign(run) => {
                let name = format!("np-{}-{}", run.pod, run.n);
                let container = json!({"name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "args": ["sleep", "1000000"]});
                let spec = json!({"containers": [container], "terminationGracePeriodSeconds": 0});
                self.make::<Pod>("pod", json!({"metadata": {"name": name}, "spec": spec}))
                    .await;
                let api = self.api::<Pod>();
                while !runs(&api, &name).await {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Outside::ForeignVolume(pod) => {
                let resources = json!({"requests": {"storage": "1Mi"}});
                let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": resources});
                let claim = json!({"metadata": {"name": format!("np-{pod}")}, "spec": spec});
                self.make::<PersistentVolumeClaim>("claim", claim).await;
            }
            Outside::Cut => self.proxy.cut(true),
            Outside::Mend => self.proxy.cut(false),
        }
        Ok(())
    }

    fn free_port(&self) -> Able<u16> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Clusters give ports from the upper part of this range to who does not ask.
        let own = u16::try_from(std::process::id() % 16).expect("small") * 4;
        Ok(30_000 + own + NEXT.fetch_add(1, Ordering::Relaxed))
    }

    async fn foreign(&self) -> usize {
        let made = self.foreign.lock().unwrap().clone();
        let mut there = 0;
        for (kind, name) in made {
            there += usize::from(match kind {
                "pod" => runs(&self.api(), &name).await,
                "claim" => {
                    let found = self.api::<PersistentVolumeClaim>().get_opt(&name).await;
                    found.expect("an answer").is_some()
                }
                _ => false,
            });
        }
        there
    }

    async fn left(&self, pod: PodId) -> Vec<String> {
        let mut left = self.names::<Pod>(pod).await;
        left.extend(self.names::<PersistentVolumeClaim>(pod).await);
        left.extend(self.names::<Service>(pod).await);
        left.extend(self.names::<Ingress>(pod).await);
        left.extend(self.names::<NetworkPolicy>(pod).await);
        left
    }
}

async fn runs(api: &Api<Pod>, name: &str) -> bool {
    let found = api.get_opt(name).await.expect("an answer");
    let phase = found
        .and_then(|pod| pod.status)
        .and_then(|status| status.phase);
    phase.as_deref() == Some("Running")
}
