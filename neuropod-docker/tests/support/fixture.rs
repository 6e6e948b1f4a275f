//! The fixture of a real engine.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bollard::Docker;
use bollard::models::{ContainerCreateBody, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, KillContainerOptions,
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder, RemoveVolumeOptions,
    StartContainerOptions,
};
use neuropod_core::conformance::orchestrator::{
    Able, Fixture, Has, Image, Outside, Own, Program, Subject, Unable,
};
use neuropod_core::id::{DeviceId, PodId, RunId};
use neuropod_docker::{Config, DockerOrchestrator};

use super::cis;
use super::hook::Records;
use super::jupyter;
use super::proxy::Proxy;
use super::registry::Registry;
use super::{IMAGE, docker, unique};

/// An installation of its own on the engine of the tests, and everybody else there.
#[derive(Debug)]
pub struct OnDocker {
    docker: Docker,
    installation: String,
    proxy: Proxy,
    registry: Registry,
    ports: Mutex<Vec<TcpListener>>,
    foreign_containers: Mutex<Vec<String>>,
    foreign_volumes: Mutex<Vec<String>>,
}

impl OnDocker {
    pub async fn new() -> Arc<Self> {
        let docker = docker();
        let host = super::engine().expect(super::NO_ENGINE);
        Arc::new(Self {
            registry: Registry::start(&docker).await,
            docker,
            installation: unique("conformance"),
            proxy: Proxy::to(&host),
            ports: Mutex::default(),
            foreign_containers: Mutex::default(),
            foreign_volumes: Mutex::default(),
        })
    }

    /// A backend of this installation.
    pub async fn subject(self: Arc<Self>) -> Arc<Subject> {
        let config = Config {
            host: Some(self.proxy.host()),
            ..Config::new(&self.installation)
        };
        let backend = DockerOrchestrator::connect(config).await;
        Subject::new(Arc::new(backend.expect("the engine answers")), self)
    }

    /// Looks at whatever a case has left, and removes it.
    pub async fn clear(&self) {
        let ours = format!("neuropod.io/instance={}", self.installation);
        let foreign = self.foreign_containers.lock().unwrap().clone();
        let ours_there = self.containers(&ours).await;
        let mut broken = Vec::new();
        for id in &ours_there {
            let none = None::<InspectContainerOptions>;
            if let Ok(seen) = self.docker.inspect_container(id, none).await {
                broken.extend(cis::broken(&seen));
            }
        }
        for id in ours_there.into_iter().chain(foreign) {
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true);
            let _ = self
                .docker
                .remove_container(&id, Some(options.build()))
                .await;
        }
        let foreign = self.foreign_volumes.lock().unwrap().clone();
        for name in self.volumes(&ours).await.into_iter().chain(foreign) {
            let none = None::<RemoveVolumeOptions>;
            let _ = self.docker.remove_volume(&name, none).await;
        }
        for id in self.networks(&ours).await {
            let _ = self.docker.remove_network(&id).await;
        }
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        let image = self.registry.image("pulled");
        let _ = self.docker.remove_image(&image, Some(options), None).await;
        assert_eq!(broken, [""; 0], "a container that a case has left");
    }

    /// The containers that carry this label.
    async fn containers(&self, label: &str) -> Vec<String> {
        let options = ListContainersOptionsBuilder::new().all(true);
        let options = options.filters(&labelled(label)).build();
        let all = self.docker.list_containers(Some(options)).await;
        let all = all.expect("a list of containers");
        all.into_iter().filter_map(|c| c.id).collect()
    }

    /// The volumes that carry this label.
    async fn volumes(&self, label: &str) -> Vec<String> {
        let options = ListVolumesOptionsBuilder::new().filters(&labelled(label));
        let all = self.docker.list_volumes(Some(options.build())).await;
        let all = all.expect("a list of volumes").volumes.unwrap_or_default();
        all.into_iter().map(|v| v.name).collect()
    }

    /// The networks that carry this label.
    async fn networks(&self, label: &str) -> Vec<String> {
        let options = ListNetworksOptionsBuilder::new().filters(&labelled(label));
        let all = self.docker.list_networks(Some(options.build())).await;
        let all = all.expect("a list of networks");
        all.into_iter().filter_map(|n| n.id).collect()
    }

    /// The one container of a run.
    async fn of_run(&self, run: RunId) -> String {
        let label = format!("neuropod.io/run-key={}", run.key);
        let found = self.containers(&label).await;
        found.into_iter().next().expect("its container is there")
    }

    async fn make_foreign(&self, run: RunId) {
        let name = format!("np-{}-{}", run.pod, run.n);
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let body = ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            cmd: Some(vec!["sleep".to_owned(), "1000000".to_owned()]),
            ..ContainerCreateBody::default()
        };
        let made = self.docker.create_container(Some(options), body).await;
        let id = made.expect("a foreign container").id;
        let none = None::<StartContainerOptions>;
        let started = self.docker.start_container(&id, none).await;
        started.expect("a foreign container");
        self.foreign_containers.lock().unwrap().push(id);
    }

    async fn make_foreign_volume(&self, pod: PodId) {
        let name = format!("np-{pod}");
        let volume = VolumeCreateRequest {
            name: Some(name.clone()),
            ..VolumeCreateRequest::default()
        };
        let made = self.docker.create_volume(volume).await;
        made.expect("a foreign volume");
        self.foreign_volumes.lock().unwrap().push(name);
    }
}

fn labelled(label: &str) -> HashMap<String, Vec<String>> {
    [("label".to_owned(), vec![label.to_owned()])].into()
}

fn records() -> Able<Records> {
    Records::named().ok_or(Unable(
        "NEUROPOD_TEST_GPU_RECORDS names no records of a hook that plays NVIDIA's.",
    ))
}

/// What a shell does to be that program; `None` for those that come from the registry.
fn script(program: Program) -> Option<&'static str> {
    Some(match program {
        Program::Sleeps => "trap 'exit 0' TERM; sleep 1000000 & wait",
        // The first process of a container gets no signal that it has not asked for.
        Program::IgnoresTerm => "exec sleep 1000000",
        Program::EndsLate => "trap 'sleep 0.3; exit 0' TERM; echo ready; sleep 1000000 & wait",
        Program::Succeeds => "exit 0",
        Program::Fails => "exit 3",
        Program::EatsMemory => "exec dd if=/dev/zero of=/dev/null bs=512M count=1",
        Program::Serves => "sleep 1; exec httpd -f -p 8080 -h /www",
        Program::Computes => "while :; do :; done",
        Program::Prints => "trap 'exit 0' TERM; seq 0 99 | sed 's/^/line /'; sleep 1000000 & wait",
        Program::PrintsAndEnds => "seq 0 99 | sed 's/^/line /'",
        Program::PrintsOn => "i=0; while :; do echo line $i; i=$((i + 1)); sleep 0.1; done",
        Program::PrintsUnfinished => "printf 'one\\ntwo'",
        Program::PrintsLongLine => "head -c 1048576 /dev/zero | tr '\\0' x; echo; echo after",
        // More than three files of 10 MB, which is what a container may keep.
        Program::PrintsMuch => {
            "awk 'BEGIN { x = sprintf(\"%0190d\", 0); for (i = 0; i < 150000; i++) print i, x; print \"end\" }'"
        }
        Program::PrintsToBoth => "echo out; sleep 0.1; echo err >&2",
        Program::PrintsProbe => "echo \"$PROBE\"",
        // Writes in another second than the volume was made in: an engine's times of volumes are no finer.
        Program::CountsStarts => {
            "sleep 1; echo start >>/workspace/starts; wc -l </workspace/starts"
        }
        Program::Pulled | Program::Missing | Program::Denied => return None,
    })
}

#[async_trait]
impl Fixture for OnDocker {
    fn program(&self, program: Program) -> Able<Image> {
        let name = format!("{program:?}").to_lowercase();
        Ok(match script(program) {
            Some(script) => Image {
                name: IMAGE.to_owned(),
                args: ["sh", "-c", script].map(str::to_owned).to_vec(),
            },
            None => Image {
                name: self.registry.image(&name),
                args: Vec::new(),
            },
        })
    }

    async fn with_jupyter(&self, has: Has, own: Own) -> Able<Image> {
        let word = |thing: &dyn std::fmt::Debug| format!("{thing:?}").to_lowercase();
        let name = jupyter::image(&self.docker, &word(&has), &word(&own)).await;
        let args = Vec::new();
        Ok(Image { name, args })
    }

    async fn outside(&self, deed: Outside) -> Able {
        let docker = &self.docker;
        match deed {
            Outside::Kill(run) => {
                let none = None::<KillContainerOptions>;
                let killed = docker.kill_container(&self.of_run(run).await, none).await;
                killed.expect("killed");
            }
            Outside::Vanish(run) => {
                let options = RemoveContainerOptionsBuilder::new().force(true).build();
                let id = self.of_run(run).await;
                let removed = docker.remove_container(&id, Some(options)).await;
                removed.expect("removed");
            }
            Outside::Restart(run) => {
                let none = None::<StartContainerOptions>;
                let started = docker.start_container(&self.of_run(run).await, none).await;
                started.expect("started again");
            }
            Outside::VanishVolume(pod) => {
                let none = None::<RemoveVolumeOptions>;
                let removed = docker.remove_volume(&format!("np-{pod}"), none).await;
                removed.expect("its volume is removed");
            }
            Outside::Occupy(port) => {
                let listener = TcpListener::bind(("127.0.0.1", port)).expect("it is free");
                self.ports.lock().unwrap().push(listener);
            }
            Outside::Foreign(run) => self.make_foreign(run).await,
            Outside::ForeignVolume(pod) => self.make_foreign_volume(pod).await,
            Outside::Cut => self.proxy.cut(true),
            Outside::Mend => self.proxy.cut(false),
        }
        Ok(())
    }

    fn free_port(&self) -> Able<u16> {
        static NEXT: AtomicU16 = AtomicU16::new(21_000);
        loop {
            let port = NEXT.fetch_add(1, Ordering::Relaxed);
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return Ok(port);
            }
        }
    }

    fn free_devices(&self) -> Able<[DeviceId; 2]> {
        records()?;
        Ok([1, 2].map(|n| DeviceId::new(format!("GPU-{}-{n}", self.installation))))
    }

    async fn given(&self, run: RunId) -> Able<Vec<DeviceId>> {
        let given = records()?.given(&self.of_run(run).await);
        Ok(given.into_iter().map(DeviceId::new).collect())
    }

    async fn foreign(&self) -> usize {
        let containers = self.foreign_containers.lock().unwrap().clone();
        let mut there = 0;
        for id in containers {
            let none = None::<InspectContainerOptions>;
            let seen = self.docker.inspect_container(&id, none).await;
            let state = seen.ok().and_then(|seen| seen.state);
            there += usize::from(state.and_then(|s| s.running) == Some(true));
        }
        let volumes = self.foreign_volumes.lock().unwrap().clone();
        for name in volumes {
            there += usize::from(self.docker.inspect_volume(&name).await.is_ok());
        }
        there
    }

    async fn left(&self, pod: PodId) -> Vec<String> {
        let label = format!("neuropod.io/pod-id={pod}");
        let mut left = self.containers(&label).await;
        left.extend(self.volumes(&label).await);
        left.extend(self.networks(&label).await);
        left
    }
}
