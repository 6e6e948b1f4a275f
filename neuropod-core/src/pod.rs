//! The pod as a row: what its owner wishes, the open run, and what it holds meanwhile.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, DeviceId, GpuId, PodId, RunId, RunKey, TemplateId, Tenant, UserId};
use crate::idle::Activity;
use crate::money::Money;
use crate::time::Time;

/// What a user asked for. Frozen at launch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodSpec {
    /// A name for people, 1 to 50 characters. Never part of a backend name.
    pub name: String,
    /// The template it was launched from.
    pub template: Option<TemplateId>,
    /// The image reference.
    pub image: String,
    /// Arguments instead of the image's command; empty keeps the image's own.
    pub args: Vec<String>,
    /// The entry of the price list.
    pub gpu: GpuId,
    /// How many devices that entry takes, frozen at launch; 0 for `cpu`.
    pub devices: u32,
    /// The ports that get an endpoint.
    pub ports: Vec<PortSpec>,
    /// The user's environment variables.
    pub env: Env,
    /// Container disk in GB (10⁹ bytes).
    pub container_disk_gb: u32,
    /// Volume in GB (10⁹ bytes).
    pub volume_disk_gb: u32,
    /// Where the volume is mounted, `/workspace`.
    pub volume_path: String,
    /// Whether Jupyter runs beside the image's program.
    pub jupyter: bool,
    /// CPU, memory and process limits.
    pub resources: Resources,
}

/// A port of the container that is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSpec {
    /// The port inside the container.
    pub container: u16,
    /// What it speaks.
    pub proto: Proto,
    /// A name for people, `Jupyter Lab`.
    pub name: String,
    /// Whether the user added it beside the template's.
    pub custom: bool,
}

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proto {
    /// HTTP over TCP.
    Http,
    /// Plain TCP.
    Tcp,
}

/// Limits of one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of a CPU.
    pub cpu_milli: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u32,
}

impl Default for Resources {
    /// 2 CPUs, 11 GiB, 4096 processes: the limits of the original backend.
    fn default() -> Self {
        Self {
            cpu_milli: 2000,
            memory_bytes: 11 << 30,
            pids: 4096,
        }
    }
}

/// Environment variables. `Debug` shows the names only, since values hold secrets.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Env(pub BTreeMap<String, String>);

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A text that `Debug` does not show and `Display` does not have.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The text. Not for logs, errors or events.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What the owner wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Desired {
    /// A run of the current generation, until it ends.
    Running,
    /// No container; the volume stays.
    Stopped,
    /// Nothing left.
    Deleted,
}

/// Where the pod is on its way, for people. See [`Pod::phase`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    /// Waits for devices.
    Queued,
    /// Image, network, container are being made.
    Provisioning,
    /// The container runs; not every listed port has answered.
    Starting,
    /// Every listed port has answered, or 20 s have passed.
    Running,
    /// The container is being ended.
    Stopping,
    /// No container, as wished.
    Stopped,
    /// The program ended by itself, with any code.
    Exited,
    /// The platform could not give what was asked.
    Error,
    /// Everything is being removed; after that there is no such pod.
    Deleting,
}

/// Why a pod is in its phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Reason {
    /// Its user stopped it.
    User,
    /// `stopAfter` or `deleteAfter` passed.
    Deadline,
    /// Nothing used it for as long as its owner had said.
    Idle,
    /// The payer's balance ran out.
    LowBalance,
    /// A budget is used up.
    Budget,
    /// No device is free; see the queue position.
    NoCapacity,
    /// The image is being pulled.
    Pulling,
    /// The image can't be pulled.
    ImagePull,
    /// A host port is taken by somebody else.
    PortTaken,
    /// The container's name is taken by something else.
    NameTaken,
    /// No address of a network was free for it.
    NoNetwork,
    /// The device was refused at start.
    GpuAdmission,
    /// No disk space.
    NoSpace,
    /// The backend refuses the specification.
    Spec,
    /// It did not start in time.
    StartTimeout,
    /// The program ended.
    Exited,
    /// The program was killed for its memory.
    OomKilled,
    /// The engine restarted under it.
    EngineRestart,
    /// Its GPU failed.
    GpuLost,
    /// Its node does not answer.
    NodeLost,
    /// Its container vanished.
    Lost,
    /// Its volume is gone, or is not the one it had.
    VolumeLost,
    /// The backend took it away before it started.
    Evicted,
    /// The backend does not answer.
    Unreachable,
    /// An administrator did it.
    Admin,
    /// Its owner is no user any more.
    OwnerDeleted,
    /// The image has no Jupyter, and it could not be installed. Of a port, never of a pod.
    JupyterUnavailable,
}

impl Reason {
    /// Whether an end for this reason means that the platform could not give what was asked.
    pub fn is_platform_failure(self) -> bool {
        !matches!(
            self,
            Self::User
                | Self::Deadline
                | Self::Idle
                | Self::LowBalance
                | Self::Budget
                | Self::Exited
                | Self::OomKilled
                | Self::Admin
                | Self::OwnerDeleted
        )
    }
}

/// Money set aside so that a launch can't overdraw. A pod has one at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who pays.
    pub payer: AccountId,
    /// How much is set aside; used up by the run of that generation.
    pub amount: Money,
    /// The generation it was taken for.
    pub generation: u64,
}

/// The prices a run is opened at. Later price changes do not touch it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Who pays.
    pub payer: AccountId,
    /// Per hour, for GPU and container disk, while the run is charged.
    pub run_rate: Money,
    /// Per hour, for the volume.
    pub volume_rate: Money,
    /// The version of the price list.
    pub price_version: u64,
}

/// One start of the pod, written down before anything is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its number, from 1, never reused.
    pub n: u32,
    /// Its random key.
    pub key: RunKey,
    /// The generation it was opened for.
    pub generation: u64,
    /// Its frozen prices and payer.
    pub terms: Terms,
    /// When it was written down.
    pub opened_at: Time,
    /// It must have started by then; moved on by every sign of progress.
    pub start_by: Time,
    /// The latest instant to which `start_by` may be moved.
    pub start_limit: Time,
    /// Bytes pulled at the last sign of progress.
    pub pulled: u64,
    /// Given up by us: never started in time.
    pub given_up: bool,
    /// When the container started, in the backend's time. Another value is another container.
    pub started_at: Option<Time>,
    /// When the container started, in our time, never before `opened_at`: charged from here.
    pub charged_from: Option<Time>,
    /// When the start was recorded.
    pub recorded_at: Option<Time>,
    /// The last instant at which the observation that recorded it vouches for it, in our time.
    pub seen_first: Option<Time>,
    /// The last instant at which it is known to have run. Set when a complete list misses it, once.
    pub last_seen: Option<Time>,
    /// Nothing after this instant is charged. Only ever moves earlier.
    pub cutoff: Option<Time>,
    /// When every listed port had answered, or we stopped waiting.
    pub ready_at: Option<Time>,
    /// Where it can be reached.
    pub endpoints: Vec<Endpoint>,
    /// The token of its Jupyter, if it has one.
    pub jupyter_token: Option<Secret>,
}

/// Where one port of a run can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The port inside the container.
    pub container: u16,
    /// What it speaks.
    pub proto: Proto,
    /// Host name or address for users.
    pub host: String,
    /// Port on that host.
    pub port: u16,
    /// Whether the URL is `https`.
    pub tls: bool,
    /// Whether the container's own address has answered.
    pub ready: bool,
    /// Why nothing will answer here, if that is known.
    #[serde(default)]
    pub failed: Option<Reason>,
}

/// The pod's volume: outlives every run, until the pod is purged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The volume's own identity on the backend (Docker: the run that made it; Kubernetes: its uid).
    pub id: Option<String>,
    /// Its meter: who pays, per hour.
    pub payer: AccountId,
    /// Per hour.
    pub rate: Money,
    /// Since when it counts (our time); `None` while paused or closed.
    pub counting_since: Option<Time>,
    /// What was counted before `counting_since`, in microseconds.
    pub counted_micros: u64,
    /// Its payer's balance ran out: it is kept without charge until then, and deleted with the pod if there is no money by
    /// that time.
    #[serde(default)]
    pub kept_until: Option<Time>,
    /// No more is ever counted.
    pub closed: bool,
    /// When it began to count at all.
    #[serde(default)]
    pub opened_at: Option<Time>,
    /// When it was closed.
    #[serde(default)]
    pub closed_at: Option<Time>,
}

impl Volume {
    /// How long it has counted at `now`.
    pub fn elapsed(&self, now: Time) -> Duration {
        let running = self
            .counting_since
            .map_or(Duration::ZERO, |since| now.since(since));
        Duration::from_micros(self.counted_micros) + running
    }

    /// Counts no further than `at`.
    pub fn close(&mut self, at: Time) {
        self.count_until(at);
        self.kept_until = None;
        self.closed = true;
        self.closed_at = self.closed_at.or(Some(at));
    }

    /// Counts no further than `at` for now, if it counts, and is kept until `until`.
    pub fn pause(&mut self, at: Time, until: Time) {
        if self.counting_since.is_some() {
            self.count_until(at);
            self.kept_until = Some(until);
        }
    }

    /// Counts again from `at` on, if it was paused.
    pub fn resume(&mut self, at: Time) {
        if self.kept_until.take().is_some() {
            self.counting_since = Some(at);
        }
    }

    fn count_until(&mut self, at: Time) {
        self.counted_micros = u64::try_from(self.elapsed(at).as_micros()).unwrap_or(u64::MAX);
        self.counting_since = None;
    }
}

/// A host port that is the pod's until it is purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortLease {
    /// The port inside the container.
    pub container: u16,
    /// The port on the host.
    pub host: u16,
}

/// Absolute instants at which the wish changes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Deadlines {
    /// Stop then.
    pub stop_after: Option<Time>,
    /// Delete then.
    pub delete_after: Option<Time>,
}

/// The pod as a row of the store. Users change the wish; the reconciler makes the backend agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pod {
    /// Its id.
    pub id: PodId,
    /// Whose it is.
    pub owner: UserId,
    /// Who launched it: the owner, or an administrator.
    pub created_by: UserId,
    /// What shares it may talk to each other.
    pub tenant: Tenant,
    /// What was asked for.
    pub spec: PodSpec,
    /// The terms a next run is opened at.
    pub terms: Terms,
    /// The wish.
    pub desired: Desired,
    /// Counts the changes of the wish.
    pub generation: u64,
    /// The newest generation whose run has ended, or can't be had.
    pub ended_generation: u64,
    /// The number of the newest run.
    pub last_run: u32,
    /// Runs of this generation that ended in a way that is worth another try.
    pub tries: u32,
    /// No run is opened before this instant.
    pub retry_at: Option<Time>,
    /// Since when it waits for devices.
    pub queued_at: Option<Time>,
    /// Money set aside.
    pub hold: Option<Hold>,
    /// Devices that are leased to it, from the opening of a run until nothing of the pod is seen.
    pub devices: Vec<DeviceId>,
    /// Host ports that are leased to it until it is purged.
    pub ports: Vec<PortLease>,
    /// Its volume, once a run has been seen with it.
    pub volume: Option<Volume>,
    /// A lost volume may be replaced by an empty one at the next start.
    pub accept_volume_loss: bool,
    /// When its wish changes by itself.
    pub deadlines: Deadlines,
    /// It is stopped once nothing has used it for so long.
    #[serde(default)]
    pub idle_stop: Option<Duration>,
    /// When it was last used, if it is stopped when idle.
    #[serde(default)]
    pub last_activity: Option<Activity>,
    /// Why it is where it is.
    pub reason: Option<Reason>,
    /// A sentence about that, for people.
    pub message: Option<String>,
    /// How its program ended.
    pub exit_code: Option<i64>,
    /// The open run.
    pub run: Option<Run>,
    /// The newest run that has ended, for its log.
    pub last_ended: Option<RunId>,
    /// When it was launched.
    pub created_at: Time,
    /// When it last changed its phase.
    pub updated_at: Time,
    /// When nothing was left of it: the row is a tombstone from then on.
    pub deleted_at: Option<Time>,
    /// Raised by every write; 0 in a row that is to be created.
    pub version: u64,
}

impl Pod {
    /// The row of a pod that is launched at `now`, to be created: it is wished to run, and nothing is held for it yet.
    pub fn new(id: PodId, owner: UserId, spec: PodSpec, terms: Terms, now: Time) -> Self {
        Self {
            id,
            owner,
            created_by: owner,
            tenant: Tenant::new(owner.to_string()),
            spec,
            terms,
            desired: Desired::Running,
            generation: 1,
            ended_generation: 0,
            last_run: 0,
            tries: 0,
            retry_at: None,
            queued_at: None,
            hold: None,
            devices: Vec::new(),
            ports: Vec::new(),
            volume: None,
            accept_volume_loss: false,
            deadlines: Deadlines::default(),
            idle_stop: None,
            last_activity: None,
            reason: None,
            message: None,
            exit_code: None,
            run: None,
            last_ended: None,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            version: 0,
        }
    }

    /// Whether the generation of the row has ended.
    pub fn has_ended(&self) -> bool {
        self.ended_generation >= self.generation
    }

    /// Whether `run` is what the owner wishes now.
    pub fn is_current(&self, run: &Run) -> bool {
        self.desired == Desired::Running && run.generation == self.generation && !run.given_up
    }

    /// The id of a run of this pod.
    pub fn run_id(&self, run: &Run) -> RunId {
        RunId {
            pod: self.id,
            n: run.n,
            key: run.key,
        }
    }

    /// Whether nothing is left of it.
    pub fn is_tombstone(&self) -> bool {
        self.deleted_at.is_some()
    }

    /// Forgets what its user wrote: a tombstone keeps what is needed to tell late calls and charges.
    pub fn forget(&mut self) {
        let spec = &mut self.spec;
        (spec.name, spec.image) = (String::new(), String::new());
        spec.args = Vec::new();
        spec.env = Env::default();
    }

    /// Where the pod is on its way. Derived, so that no write can forget it.
    pub fn phase(&self) -> Phase {
        let failed = self.reason.is_some_and(Reason::is_platform_failure);
        match (self.desired, &self.run) {
            (Desired::Deleted, _) => Phase::Deleting,
            (Desired::Stopped, None) if self.devices.is_empty() => {
                if failed {
                    Phase::Error
                } else {
                    Phase::Stopped
                }
            }
            (Desired::Stopped, _) => Phase::Stopping,
            (Desired::Running, Some(run)) if self.is_current(run) && run.started_at.is_some() => {
                if run.ready_at.is_some() {
                    Phase::Running
                } else {
                    Phase::Starting
                }
            }
            (Desired::Running, Some(_)) => Phase::Provisioning,
            (Desired::Running, None) if self.has_ended() => {
                if failed {
                    Phase::Error
                } else {
                    Phase::Exited
                }
            }
            (Desired::Running, None) if self.queued_at.is_some() => Phase::Queued,
            (Desired::Running, None) => Phase::Provisioning,
        }
    }
}
