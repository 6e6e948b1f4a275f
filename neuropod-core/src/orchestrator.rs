//! The trait of backends that run containers. They know nothing of users or money.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::error::{Refusal, Result, RetryCause};
use crate::id::{DeviceId, PodId, RunId, Tenant};
use crate::pod::{Endpoint, Env, Proto, Resources, Secret};
use crate::time::Time;

/// Runs containers. Every call names a run, so late and repeated calls are harmless; every method is idempotent;
/// what is absent is a value and not an error; what is unknown is an error ([`ErrorKind::Unreachable`]) and never
/// "absent".
///
/// [`ErrorKind::Unreachable`]: crate::ErrorKind::Unreachable
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Orchestrator: fmt::Debug + Send + Sync + 'static {
    /// One step nearer to a running container, then returns. Image absent: starts or joins the pull. Image present:
    /// creates; asks the fence; only then starts, by the id that create returned. So a late create never runs, and
    /// a late start finds its container removed. Only the caller's own pass creates: a background task may pull and
    /// nothing else. The same run again is a no-op; a run that ended is never restarted.
    ///
    /// # Errors
    /// `Refused` for good, `Retry` if another run may succeed, `Unreachable` if nothing is known.
    async fn ensure(&self, workload: &Workload, fence: &Fence) -> Result<Ensured>;

    /// What has run ends, within `grace`, and stays observable as `Exited` with its times until [`remove`]; what
    /// never ran is removed; the run's interest in a pull ends. Returns once the end is under way.
    ///
    /// [`remove`]: Orchestrator::remove
    async fn stop(&self, run: RunId, grace: Duration) -> Result<()>;

    /// Deletes the container of that run only (number and key), never the pod's volume.
    async fn remove(&self, run: RunId) -> Result<()>;

    /// Deletes everything of the pod: containers, volume, routes, and the tenant's network with its last pod.
    async fn purge(&self, pod: PodId) -> Result<()>;

    /// Every instance of the pod that is there now, with the backend's own time of day.
    async fn observe(&self, pod: PodId) -> Result<Seen>;

    /// Everything that carries this installation's label, also volumes and networks without a container. Ends with
    /// an error item if it is not complete.
    async fn list(&self) -> Result<BoxStream<'static, Result<Found>>>;

    /// Hints that something about a pod may have changed; may miss, repeat, or end.
    async fn watch(&self) -> Result<BoxStream<'static, PodId>>;

    /// The log of a run: lines so far, then what follows if asked.
    async fn logs(
        &self,
        run: RunId,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine>>>;

    /// What a run uses now. What can't be measured is `None`, never 0.
    async fn usage(&self, run: RunId) -> Result<Usage>;

    /// Devices, and what this backend can enforce.
    async fn capacity(&self) -> Result<Capacity>;

    /// The terminal of this backend, if it has one.
    fn interactive(&self) -> Option<Arc<dyn Interactive>> {
        None
    }
}

/// A terminal into a running container.
#[async_trait]
pub trait Interactive: fmt::Debug + Send + Sync + 'static {
    /// Runs `command` in the container of `run`; its output as bytes, its input through the sink.
    async fn exec(&self, run: RunId, command: Vec<String>, tty: bool) -> Result<Exec>;
}

/// A running command.
pub struct Exec {
    /// What it prints.
    pub output: BoxStream<'static, Result<Vec<u8>>>,
    /// What is typed; dropped closes its input.
    pub input: tokio::sync::mpsc::Sender<Vec<u8>>,
    /// Its exit code, once it ended.
    pub code: BoxFuture<'static, Result<i64>>,
}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exec")
    }
}

/// What a run is to be. Two workloads with the same `spec_hash` are the same container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// The run: pod, number, key.
    pub run: RunId,
    /// The generation of the wish it was opened for.
    pub generation: u64,
    /// What shares it may talk to each other.
    pub tenant: Tenant,
    /// Hash of everything below that does not change between runs.
    pub spec_hash: String,
    /// Image reference.
    pub image: String,
    /// Arguments instead of the image's command; empty keeps it.
    pub args: Vec<String>,
    /// The whole environment: the user's and the platform's.
    pub env: Env,
    /// Ports to publish.
    pub ports: Vec<PortMap>,
    /// The volume.
    pub volume: Option<VolumeMount>,
    /// Devices by UUID; empty on a backend that places workloads itself, or for CPU pods.
    pub devices: Vec<DeviceId>,
    /// How many devices of which product, for a backend that places workloads itself.
    pub device_request: Option<DeviceRequest>,
    /// Limits.
    pub resources: Resources,
    /// Bytes of container disk; enforced where [`Capacity::disk_limit`] says so.
    pub disk_bytes: u64,
    /// Jupyter beside the image's program.
    pub jupyter: Option<Jupyter>,
    /// How long the program may take to end.
    pub grace: Duration,
}

/// A published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMap {
    /// The port inside the container.
    pub container: u16,
    /// The leased port on the host; `None` where the backend routes by name.
    pub host: Option<u16>,
    /// What it speaks.
    pub proto: Proto,
}

/// The pod's volume in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// Where it is mounted.
    pub path: String,
    /// Its size in bytes; enforced where [`Capacity::disk_limit`] says so.
    pub size_bytes: u64,
    /// The identity it must have. `None` the first time, or where a loss was accepted: an empty one may be made.
    /// Otherwise another one, or none, is `Refused(VolumeLost)`, never a silent empty one.
    pub id: Option<String>,
}

/// A wish for devices that the backend places itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// How many.
    pub count: u32,
    /// Product names, any of them; empty for any product.
    pub products: Vec<String>,
}

/// Jupyter beside the image's program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jupyter {
    /// The port it listens on.
    pub port: u16,
    /// Its token.
    pub token: Secret,
}

/// Asks whether a run is still open, not started and current: the last question before a container starts.
#[derive(Clone)]
pub struct Fence(Arc<dyn Fn() -> BoxFuture<'static, Result<bool>> + Send + Sync>);

impl Fence {
    /// A fence that asks `f`.
    pub fn new(f: impl Fn() -> BoxFuture<'static, Result<bool>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }
    /// A fence that always answers yes, for callers who keep no rows.
    pub fn open() -> Self {
        Self::new(|| Box::pin(async { Ok(true) }))
    }
    /// Whether the run may start.
    pub async fn holds(&self) -> Result<bool> {
        (self.0)().await
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fence")
    }
}

/// How far [`Orchestrator::ensure`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensured {
    /// The image is being pulled.
    Pulling {
        /// Bytes here so far; grows with progress.
        done: u64,
        /// Bytes in all, where known.
        total: Option<u64>,
    },
    /// The container is there, and started if the fence let it; or, on a backend that places workloads itself, waits for
    /// room, and is seen as `Pending` with that reason.
    Present,
    /// The fence said no and what was created is left unstarted, or it was removed meanwhile.
    Fenced,
}

/// Everything of a pod that is there now.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The backend's own time of day.
    pub at: Time,
    /// Every instance, ended ones too.
    pub instances: Vec<Instance>,
    /// The identity of the pod's volume, if it is there.
    pub volume: Option<String>,
}

/// One container of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Of which run, by its labels.
    pub run: RunId,
    /// Of which generation, by its label.
    pub generation: u64,
    /// What it does.
    pub state: State,
}

/// What an instance does.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Not started yet.
    Pending {
        /// Why, for people; may be empty.
        reason: String,
    },
    /// Its program runs.
    Running {
        /// Since when, in the backend's time; Kubernetes tells whole seconds, rounded down.
        started_at: Time,
        /// Where its ports can be reached.
        endpoints: Vec<Endpoint>,
    },
    /// It ended, and stays as evidence.
    Exited {
        /// When it started, in the backend's time; `None` if it never did.
        started_at: Option<Time>,
        /// When it ended, in the backend's time; `None` if nothing alive observed that.
        finished_at: Option<Time>,
        /// Its exit code.
        code: Option<i64>,
        /// How it ended.
        cause: ExitCause,
    },
}

/// How an instance ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitCause {
    /// By itself, or by a signal from us or somebody else.
    Ended,
    /// Killed for its memory.
    OutOfMemory,
    /// The engine restarted and killed it.
    EngineRestart,
    /// Its node is gone.
    NodeLost,
    /// It never started; another run may.
    Retry(RetryCause),
    /// It never started, and won't.
    Refused(Refusal),
}

/// Something of this installation on the backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Of which pod.
    pub pod: PodId,
    /// The container; `None` for a volume, route or network without one.
    pub instance: Option<Instance>,
}

/// Which log lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogQuery {
    /// Only lines after this one.
    pub after: Option<LogCursor>,
    /// Only the last so many of what is there.
    pub tail: Option<u32>,
    /// Go on with what comes.
    pub follow: bool,
}

/// The place of a line in the log of a run: its time and which one of that time. Text form `<run>.<nanos>.<k>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogCursor {
    /// The run.
    pub run: RunId,
    /// Nanoseconds since 1970, in the backend's time.
    pub nanos: i64,
    /// Which line of that time, from 0.
    pub k: u32,
}

impl fmt::Display for LogCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.run, self.nanos, self.k)
    }
}

impl std::str::FromStr for LogCursor {
    type Err = crate::Error;
    fn from_str(s: &str) -> Result<Self> {
        let bad = || crate::Error::invalid("", "A log cursor is <run>.<nanoseconds>.<number>.");
        let mut parts = s.split('.');
        let (Some(run), Some(nanos), Some(k), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        Ok(Self {
            run: run.parse()?,
            nanos: nanos.parse().map_err(|_| bad())?,
            k: k.parse().map_err(|_| bad())?,
        })
    }
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its place.
    pub cursor: LogCursor,
    /// Whether the program wrote it to its standard error.
    pub stderr: bool,
    /// The line without its end; invalid UTF-8 replaced.
    pub text: String,
}

/// What a run uses. Everything is optional: what can't be measured is `None`. What is counted since the start of the
/// container only grows; [`crate::metrics`] makes rates of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// When it was measured, in the backend's time.
    pub at: Option<Time>,
    /// CPU time used so far, in microseconds.
    pub cpu_micros: Option<u64>,
    /// CPU now, in thousandths of a CPU, where the backend tells that itself.
    pub cpu_milli: Option<u64>,
    /// Working set in bytes.
    pub memory_bytes: Option<u64>,
    /// Memory limit in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Bytes on the container's own disk beside what its image has; may be some seconds old.
    pub disk_bytes: Option<u64>,
    /// Bytes on the pod's volume; may be a minute old.
    #[serde(default)]
    pub volume_bytes: Option<u64>,
    /// Bytes received so far.
    pub rx_bytes: Option<u64>,
    /// Bytes sent so far.
    pub tx_bytes: Option<u64>,
    /// Bytes read from block devices so far.
    #[serde(default)]
    pub read_bytes: Option<u64>,
    /// Bytes written to block devices so far.
    #[serde(default)]
    pub written_bytes: Option<u64>,
    /// Each device that the container was given, also one that tells nothing.
    #[serde(default)]
    pub gpus: Vec<GpuUsage>,
}

/// What one device does. What can't be measured is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct GpuUsage {
    /// Its UUID.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uuid: DeviceId,
    /// How busy it is, 0 to 100.
    pub percent: Option<u32>,
    /// Its memory in use, in bytes.
    pub memory_bytes: Option<u64>,
    /// Its memory in all, in bytes.
    pub memory_total_bytes: Option<u64>,
    /// Its temperature, in degrees Celsius.
    pub celsius: Option<u32>,
    /// The power it takes, in thousandths of a watt.
    pub milliwatts: Option<u32>,
}

impl GpuUsage {
    /// A device of which nothing is known.
    pub fn unknown(uuid: DeviceId) -> Self {
        Self {
            uuid,
            percent: None,
            memory_bytes: None,
            memory_total_bytes: None,
            celsius: None,
            milliwatts: None,
        }
    }
}

impl Usage {
    /// How busy its devices are, 0 to 100: their mean, if each of them tells.
    pub fn gpu_percent(&self) -> Option<u32> {
        let percents = self.gpus.iter().map(|gpu| gpu.percent);
        let count = u32::try_from(self.gpus.len()).ok()?;
        percents.sum::<Option<u32>>()?.checked_div(count)
    }

    /// The memory of all its devices that is in use, in bytes, if each of them tells.
    pub fn gpu_memory_bytes(&self) -> Option<u64> {
        let memory = self.gpus.iter().map(|gpu| gpu.memory_bytes);
        memory
            .sum::<Option<u64>>()
            .filter(|_| !self.gpus.is_empty())
    }
}

/// What a backend has and can enforce.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Capacity {
    /// Its devices; empty where it places workloads itself.
    pub devices: Vec<Device>,
    /// Whether the backend finds devices for workloads itself (a cluster's scheduler).
    pub places_itself: bool,
    /// Whether ports need a lease on the host ([`PortMap::host`]).
    pub needs_host_ports: bool,
    /// Whether container disk is limited.
    pub disk_limit: bool,
    /// What this backend can't enforce, one sentence each, for the administrator.
    pub caveats: Vec<String>,
    /// Whether the backend only simulates.
    pub simulated: bool,
}

/// One GPU, or one part of a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its UUID.
    pub id: DeviceId,
    /// The vendor's product name.
    pub product: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Whether it works.
    pub healthy: bool,
}
