//! [`DockerOrchestrator`]: the contract of [`Orchestrator`] over one engine.

use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error as DockerError;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, EventsOptionsBuilder, InspectContainerOptions,
    ListContainersOptionsBuilder, ListVolumesOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder, StatsOptionsBuilder,
    StopContainerOptionsBuilder,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use neuropod_core::id::{PodId, RunId};
use neuropod_core::orchestrator::{
    Capacity, Device, Ensured, ExitCause, Fence, Found, Instance, LogCursor, LogLine, LogQuery,
    Orchestrator, Seen, State, Usage, Workload,
};
use neuropod_core::time::Time;
use neuropod_core::{Error, ErrorKind, Refusal, Result, RetryCause};

use crate::convert::{self, HASH, INSTANCE, POD};
use crate::error::{start_cause, status, unreachable};
use crate::pull::Pulls;

/// How the engine is reached and used.
#[derive(Debug, Clone)]
pub struct Config {
    /// `unix://…` or `tcp://…`; `None` for `DOCKER_HOST` or the default socket.
    pub host: Option<String>,
    /// This installation's id: what carries another one is never touched.
    pub installation: String,
    /// The host of every endpoint.
    pub public_host: String,
    /// The address that ports are published on; loopback unless chosen otherwise.
    pub bind: String,
    /// The engine's GPUs.
    pub devices: Vec<Device>,
    /// How long one call may take.
    pub deadline: Duration,
}

impl Config {
    /// The default engine, on loopback, without GPUs.
    pub fn new(installation: impl Into<String>) -> Self {
        Self {
            host: None,
            installation: installation.into(),
            public_host: "localhost".to_owned(),
            bind: "127.0.0.1".to_owned(),
            devices: Vec::new(),
            deadline: Duration::from_secs(30),
        }
    }
}

/// Runs containers on one Docker engine.
#[derive(Debug, Clone)]
pub struct DockerOrchestrator {
    docker: Docker,
    config: Config,
    pulls: Pulls,
}

impl DockerOrchestrator {
    /// Connects, and asks the engine whether it is there.
    ///
    /// # Errors
    /// `Unreachable` if it does not answer.
    pub async fn connect(config: Config) -> Result<Self> {
        let docker = match &config.host {
            Some(host) => Docker::connect_with_host(host),
            None => Docker::connect_with_defaults(),
        };
        let docker = docker.map_err(|e| unreachable("docker connect", e))?;
        let pulls = Pulls::default();
        let engine = Self {
            docker,
            config,
            pulls,
        };
        engine.ping().await?;
        Ok(engine)
    }

    /// Whether the engine answers.
    ///
    /// # Errors
    /// `Unreachable` if not.
    pub async fn ping(&self) -> Result<()> {
        let answer = self.call("docker ping", self.docker.ping()).await?;
        answer.map(drop).map_err(|e| unreachable("docker ping", e))
    }

    async fn call<T>(&self, operation: &'static str, call: impl Future<Output = T>) -> Result<T> {
        tokio::time::timeout(self.config.deadline, call)
            .await
            .map_err(|_| Error::unreachable("The Docker engine took too long.").during(operation))
    }

    /// What is absent is `None`.
    async fn found<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, DockerError>>,
    ) -> Result<Option<T>> {
        match self.call(operation, call).await? {
            Ok(found) => Ok(Some(found)),
            Err(e) if status(&e) == Some(404) => Ok(None),
            Err(e) => Err(unreachable(operation, e)),
        }
    }

    async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>> {
        let call = self
            .docker
            .inspect_container(id, None::<InspectContainerOptions>);
        self.found("docker inspect", call).await
    }

    async fn containers(&self, pod: Option<PodId>) -> Result<Vec<ContainerInspectResponse>> {
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&self.filters(pod))
            .build();
        let call = self.call("docker ps", self.docker.list_containers(Some(options)));
        let listed = call.await?.map_err(|e| unreachable("docker ps", e))?;
        let mut all = Vec::new();
        for id in listed.into_iter().filter_map(|c| c.id) {
            all.extend(self.inspect(&id).await?);
        }
        Ok(all)
    }

    fn filters(&self, pod: Option<PodId>) -> HashMap<String, Vec<String>> {
        let mut labels = vec![format!("{INSTANCE}={}", self.config.installation)];
        labels.extend(pod.map(|pod| format!("{POD}={pod}")));
        HashMap::from([("label".to_owned(), labels)])
    }

    /// The container of exactly that run.
    async fn of_run(&self, run: RunId) -> Result<Option<(String, Instance)>> {
        for seen in self.containers(Some(run.pod)).await? {
            if let Some(instance) = convert::instance(&self.config, &seen)
                && instance.run == run
            {
                return Ok(seen.id.map(|id| (id, instance)));
            }
        }
        Ok(None)
    }

    async fn delete(&self, id: &str) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        let call = self.docker.remove_container(id, Some(options));
        match self.call("docker rm", call).await? {
            Ok(()) => Ok(()),
            // 409: another removal of it is under way.
            Err(e) if matches!(status(&e), Some(404 | 409)) => Ok(()),
            Err(e) => Err(unreachable("docker rm", e)),
        }
    }

    async fn volume(&self, pod: PodId) -> Result<Option<String>> {
        let name = convert::volume_name(pod);
        let found = self.found("docker volume inspect", self.docker.inspect_volume(&name));
        let ours = |labels: &convert::Labels| {
            labels
                .get(INSTANCE)
                .is_some_and(|i| *i == self.config.installation)
        };
        Ok(found
            .await?
            .filter(|v| ours(&v.labels))
            .and_then(|v| v.created_at))
    }

    /// The id of the container of this run: a new one, or the one that is there.
    async fn create(&self, w: &Workload) -> Result<String> {
        let name = format!("np-{}-{}", w.run.pod, w.run.n);
        let key = w.run.key.to_string();
        for name in [name.clone(), format!("{name}-{}", &key[..4])] {
            let options = CreateContainerOptionsBuilder::new().name(&name).build();
            let body = convert::create_body(&self.config, w);
            let call = self.docker.create_container(Some(options), body);
            match self.call("docker create", call).await? {
                Ok(created) => return Ok(created.id),
                Err(e) if status(&e) == Some(409) => {
                    let Some(there) = self.inspect(&name).await? else {
                        continue;
                    };
                    let labels = there.config.and_then(|c| c.labels).unwrap_or_default();
                    if convert::run_of(&labels) != Some(w.run) {
                        continue;
                    }
                    if labels.get(HASH) == Some(&w.spec_hash) {
                        return there
                            .id
                            .ok_or_else(|| Error::internal("A container without id."));
                    }
                }
                Err(e) if matches!(status(&e), Some(400 | 500)) => {
                    return Err(failed("docker create", &e));
                }
                Err(e) => return Err(unreachable("docker create", e)),
            }
        }
        let message = "The container's name is taken by something that is not this run.";
        Err(Error::new(ErrorKind::Retry(RetryCause::NameTaken), message))
    }
}

fn failed(operation: &'static str, error: &DockerError) -> Error {
    let message = "The Docker engine does not accept the container.";
    Error::new(start_cause(&error.to_string()), message).during(operation)
}

#[async_trait]
impl Orchestrator for DockerOrchestrator {
    async fn ensure(&self, workload: &Workload, fence: &Fence) -> Result<Ensured> {
        let run = workload.run;
        let image = self.docker.inspect_image(&workload.image);
        if self.found("docker image inspect", image).await?.is_none() {
            return match self.of_run(run).await? {
                Some(_) => Ok(Ensured::Present),
                None => self.pulls.join(&self.docker, run, &workload.image),
            };
        }
        if let Some(expected) = workload.volume.as_ref().and_then(|v| v.id.as_ref())
            && self.volume(run.pod).await?.as_ref() != Some(expected)
        {
            let message = "The pod's volume is gone, or is not the one it had.";
            return Err(Error::new(ErrorKind::Refused(Refusal::VolumeLost), message));
        }
        let id = self.create(workload).await?;
        let there = self.inspect(&id).await?;
        match there
            .and_then(|c| convert::instance(&self.config, &c))
            .map(|i| i.state)
        {
            None => return Ok(Ensured::Fenced),
            Some(State::Pending { .. }) => {}
            Some(State::Exited {
                started_at: None,
                cause,
                ..
            }) => {
                let kind = match cause {
                    ExitCause::Retry(cause) => ErrorKind::Retry(cause),
                    ExitCause::Refused(refusal) => ErrorKind::Refused(refusal),
                    _ => ErrorKind::Refused(Refusal::Spec),
                };
                return Err(Error::new(kind, "The container could not be started."));
            }
            Some(_) => return Ok(Ensured::Present),
        }
        if !fence.holds().await? {
            return Ok(Ensured::Fenced);
        }
        match self
            .call("docker start", self.docker.start_container(&id, None))
            .await?
        {
            Ok(()) => Ok(Ensured::Present),
            Err(e) if matches!(status(&e), Some(404 | 409)) => Ok(Ensured::Fenced),
            Err(e) if matches!(status(&e), Some(400 | 500)) => Err(failed("docker start", &e)),
            Err(e) => Err(unreachable("docker start", e)),
        }
    }

    async fn stop(&self, run: RunId, grace: Duration) -> Result<()> {
        self.pulls.leave(run);
        match self.of_run(run).await? {
            Some((
                id,
                Instance {
                    state: State::Running { .. },
                    ..
                },
            )) => {
                let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
                let options = StopContainerOptionsBuilder::new().t(seconds).build();
                let docker = self.docker.clone();
                // The engine goes on with it by itself; a lost answer is seen at the next observation.
                tokio::spawn(async move { docker.stop_container(&id, Some(options)).await });
                Ok(())
            }
            Some((
                _,
                Instance {
                    state:
                        State::Exited {
                            started_at: Some(_),
                            ..
                        },
                    ..
                },
            ))
            | None => Ok(()),
            Some((id, _)) => self.delete(&id).await,
        }
    }

    async fn remove(&self, run: RunId) -> Result<()> {
        self.pulls.leave(run);
        match self.of_run(run).await? {
            Some((id, _)) => self.delete(&id).await,
            None => Ok(()),
        }
    }

    async fn purge(&self, pod: PodId) -> Result<()> {
        self.pulls.leave_all(pod);
        for id in self
            .containers(Some(pod))
            .await?
            .into_iter()
            .filter_map(|c| c.id)
        {
            self.delete(&id).await?;
        }
        if self.volume(pod).await?.is_some() {
            let name = convert::volume_name(pod);
            let options = RemoveVolumeOptionsBuilder::new().build();
            let call = self.docker.remove_volume(&name, Some(options));
            self.found("docker volume rm", call).await?;
        }
        Ok(())
    }

    async fn observe(&self, pod: PodId) -> Result<Seen> {
        let mut instances = Vec::new();
        for seen in self.containers(Some(pod)).await? {
            let Some(mut instance) = convert::instance(&self.config, &seen) else {
                continue;
            };
            if let State::Running { endpoints, .. } = &mut instance.state
                && let (Some(address), _) = convert::endpoints(&self.config, &seen)
            {
                for endpoint in endpoints {
                    let connect = tokio::net::TcpStream::connect((&*address, endpoint.container));
                    let answer = tokio::time::timeout(Duration::from_millis(200), connect).await;
                    endpoint.ready = matches!(answer, Ok(Ok(_)));
                }
            }
            instances.push(instance);
        }
        let volume = self.volume(pod).await?;
        let info = self.call("docker info", self.docker.info()).await?;
        let info = info.map_err(|e| unreachable("docker info", e))?;
        let ours = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let told = info.system_time.and_then(|t| t.parse().ok());
        let at = told.unwrap_or(Time::EPOCH + ours);
        Ok(Seen {
            at,
            instances,
            volume,
        })
    }

    async fn list(&self) -> Result<BoxStream<'static, Result<Found>>> {
        let mut found = Vec::new();
        for seen in self.containers(None).await? {
            if let Some(instance) = convert::instance(&self.config, &seen) {
                let pod = instance.run.pod;
                found.push(Ok(Found {
                    pod,
                    instance: Some(instance),
                }));
            }
        }
        let options = ListVolumesOptionsBuilder::new()
            .filters(&self.filters(None))
            .build();
        let call = self.call("docker volume ls", self.docker.list_volumes(Some(options)));
        let listed = call
            .await?
            .map_err(|e| unreachable("docker volume ls", e))?;
        for volume in listed.volumes.unwrap_or_default() {
            if let Some(pod) = volume.labels.get(POD).and_then(|p| p.parse().ok()) {
                found.push(Ok(Found {
                    pod,
                    instance: None,
                }));
            }
        }
        Ok(stream::iter(found).boxed())
    }

    async fn watch(&self) -> Result<BoxStream<'static, PodId>> {
        let options = EventsOptionsBuilder::new()
            .filters(&self.filters(None))
            .build();
        let events = self.docker.events(Some(options));
        let pods = events
            .take_while(|e| futures::future::ready(e.is_ok()))
            .filter_map(|event| {
                let labels = event.ok().and_then(|e| e.actor).and_then(|a| a.attributes);
                futures::future::ready(labels.and_then(|l| l.get(POD)?.parse().ok()))
            });
        Ok(pods.boxed())
    }

    async fn logs(
        &self,
        run: RunId,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine>>> {
        let Some((id, _)) = self.of_run(run).await? else {
            return Ok(stream::empty().boxed());
        };
        let after = query.after.filter(|after| after.run == run);
        let mut options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .follow(query.follow);
        if let Some(after) = after {
            let floor = after.nanos.div_euclid(1_000_000_000);
            options = options.since(i32::try_from(floor).unwrap_or(0));
        }
        if let Some(tail) = query.tail {
            options = options.tail(&tail.to_string());
        }
        let output = self.docker.logs(&id, Some(options.build()));
        let mut previous = (i64::MIN, 0);
        let lines = output.filter_map(move |item| {
            let line = item
                .map_err(|e| unreachable("docker logs", e))
                .map(|output| {
                    let stderr = matches!(output, LogOutput::StdErr { .. });
                    let bytes = output.into_bytes();
                    let text = String::from_utf8_lossy(&bytes);
                    let (stamp, text) = text.split_once(' ').unwrap_or((&text, ""));
                    let nanos = nanos(stamp).unwrap_or(previous.0);
                    let k = if previous.0 == nanos {
                        previous.1 + 1
                    } else {
                        0
                    };
                    previous = (nanos, k);
                    let text = text.trim_end_matches(['\n', '\r']).to_owned();
                    LogLine {
                        cursor: LogCursor { run, nanos, k },
                        stderr,
                        text,
                    }
                });
            let old = line
                .as_ref()
                .is_ok_and(|l| after.is_some_and(|a| l.cursor <= a));
            futures::future::ready(Some(line).filter(|_| !old))
        });
        Ok(lines.boxed())
    }

    async fn usage(&self, run: RunId) -> Result<Usage> {
        let Some((
            id,
            Instance {
                state: State::Running { .. },
                ..
            },
        )) = self.of_run(run).await?
        else {
            return Ok(Usage::default());
        };
        let options = StatsOptionsBuilder::new()
            .stream(false)
            .one_shot(true)
            .build();
        let mut stats = Box::pin(self.docker.stats(&id, Some(options)));
        let Some(stats) = self.call("docker stats", stats.next()).await? else {
            return Ok(Usage::default());
        };
        let stats = stats.map_err(|e| unreachable("docker stats", e))?;
        let memory = stats.memory_stats.unwrap_or_default();
        let cpu = stats.cpu_stats.and_then(|c| c.cpu_usage);
        let bytes = |f: fn(&bollard::models::ContainerNetworkStats) -> Option<u64>| {
            stats
                .networks
                .as_ref()
                .map(|n| n.values().filter_map(f).sum())
        };
        Ok(Usage {
            at: stats.read.and_then(|t| t.parse().ok()),
            cpu_micros: cpu.and_then(|c| c.total_usage).map(|nanos| nanos / 1000),
            memory_bytes: memory.usage,
            memory_limit_bytes: memory.limit,
            rx_bytes: bytes(|n| n.rx_bytes),
            tx_bytes: bytes(|n| n.tx_bytes),
            ..Usage::default()
        })
    }

    async fn capacity(&self) -> Result<Capacity> {
        self.ping().await?;
        let caveats = [
            "Container and volume disk is not limited.",
            "Pods share the engine's default network and can reach each other.",
            "Jupyter is not started beside the image's program.",
        ];
        Ok(Capacity {
            devices: self.config.devices.clone(),
            needs_host_ports: true,
            caveats: caveats.map(str::to_owned).into(),
            ..Capacity::default()
        })
    }
}

/// Nanoseconds since 1970 of a log's time stamp, which `Time` would cut to microseconds.
fn nanos(stamp: &str) -> Option<i64> {
    let time: Time = stamp.parse().ok()?;
    let fraction = stamp
        .split_once('.')
        .map_or("", |(_, f)| f.trim_end_matches('Z'));
    let rest = fraction
        .get(6..9)
        .and_then(|f| f.parse::<i64>().ok())
        .unwrap_or(0);
    Some(time.as_micros() * 1000 + rest)
}
