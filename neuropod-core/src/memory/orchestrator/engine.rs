//! The simulated engine: what exists, and what will happen when. No lock, no clock, no waiting: every call says what
//! time it is, and first lets everything happen that was due by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use super::behaviour::{Behaviour, is_reference};
use super::container::{Container, End, KILLED, Life};
use super::pull::Pulls;
use crate::error::{Error, ErrorKind, Refusal, Result, RetryCause};
use crate::id::{DeviceId, PodId, RunId, RunKey};
use crate::orchestrator::{Device, Ensured, ExitCause, Found, Seen, VolumeMount, Workload};
use crate::time::Time;

#[derive(Debug)]
pub(super) struct Engine {
    pub(super) host: String,
    pub(super) devices: Vec<Device>,
    pub(super) images: BTreeMap<String, Arc<Behaviour>>,
    pub(super) now: Time,
    made: u64,
    pub(super) containers: BTreeMap<RunId, Container>,
    pub(super) volumes: BTreeMap<PodId, String>,
    pub(super) pulls: Pulls,
    /// Host ports in use, and by which run; `None` by somebody else.
    pub(super) ports: BTreeMap<u16, Option<RunId>>,
    in_use: BTreeMap<DeviceId, RunId>,
    due: BTreeSet<(Time, Due)>,
    pub(super) hints: broadcast::Sender<PodId>,
    #[cfg(feature = "testing")]
    pub(super) ran: Vec<super::Ran>,
}

/// What will happen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Ends(RunId),
    Pulled(String),
}

/// How far `ensure` came before the fence has to be asked.
pub(super) enum Prepared {
    /// It needs no start.
    Done(Ensured),
    /// The container with this id is there and was not started.
    Created(u64),
}

impl Engine {
    pub(super) fn new(
        now: Time,
        host: String,
        devices: Vec<Device>,
        images: BTreeMap<String, Arc<Behaviour>>,
    ) -> Self {
        Self {
            host,
            devices,
            images,
            now,
            made: 0,
            containers: BTreeMap::new(),
            volumes: BTreeMap::new(),
            pulls: Pulls::default(),
            ports: BTreeMap::new(),
            in_use: BTreeMap::new(),
            due: BTreeSet::new(),
            hints: broadcast::Sender::new(1024),
            #[cfg(feature = "testing")]
            ran: Vec::new(),
        }
    }

    /// Lets everything happen that is due by `now`.
    pub(super) fn advance(&mut self, now: Time) {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((at, due)) = self.due.pop_first() else {
                break;
            };
            self.now = self.now.max(at);
            match due {
                Due::Ends(run) => self.end_if_due(run, at),
                Due::Pulled(image) => {
                    for run in self.pulls.finish(&image, at) {
                        self.hint(run.pod);
                    }
                }
            }
        }
        self.now = self.now.max(now);
    }

    /// When the next thing happens by itself.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Hints may be missed: nobody need be listening.
    pub(super) fn hint(&self, pod: PodId) {
        let _ = self.hints.send(pod);
    }

    /// Everything of `ensure` up to the question whether it may start.
    pub(super) fn prepare(&mut self, workload: &Workload) -> Result<Prepared> {
        let run = workload.run;
        if let Some(there) = self.containers.get(&run) {
            return match there.life {
                _ if there.spec_hash != workload.spec_hash => Err(retry(RetryCause::NameTaken)),
                Life::Created => Ok(Prepared::Created(there.id)),
                Life::Failed(cause) => Err(retry(cause)),
                Life::Running { .. } | Life::Ended { .. } => Ok(Prepared::Done(Ensured::Present)),
            };
        }
        if !is_reference(&workload.image) {
            return Err(refused(Refusal::BadReference));
        }
        let behaviour = match self.images.get(&workload.image) {
            Some(known) => known.clone(),
            None => Arc::new(Behaviour::of_unknown(&workload.image)),
        };
        if behaviour.pull > Duration::ZERO && !self.pulls.has(&workload.image) {
            let pull = self
                .pulls
                .join(run, &workload.image, &behaviour, self.now)?;
            self.due
                .insert((pull.until, Due::Pulled(workload.image.clone())));
            return Ok(Prepared::Done(pull.progress(self.now)));
        }
        if let Some(mount) = &workload.volume {
            self.mount(run.pod, mount)?;
        }
        self.made += 1;
        let created = Container::new(self.made, workload, behaviour);
        self.containers.insert(run, created);
        self.hint(run.pod);
        Ok(Prepared::Created(self.made))
    }

    /// The pod's volume, the one it had; a new one only where that is allowed.
    fn mount(&mut self, pod: PodId, mount: &VolumeMount) -> Result<()> {
        match (&mount.id, self.volumes.get(&pod)) {
            (None, Some(_)) => Ok(()),
            (Some(expected), Some(there)) if expected == there => Ok(()),
            (Some(_), _) => Err(refused(Refusal::VolumeLost)),
            (None, None) => {
                self.made += 1;
                let id = format!("{}-{}", self.now.as_micros(), self.made);
                self.volumes.insert(pod, id);
                Ok(())
            }
        }
    }

    /// Starts the container `id` of `run`, if that is still there and was never started.
    pub(super) fn start(&mut self, run: RunId, id: u64) -> Result<Ensured> {
        let Some(container) = self.containers.get_mut(&run).filter(|c| c.id == id) else {
            return Ok(Ensured::Fenced);
        };
        match container.life {
            Life::Created => {}
            Life::Failed(cause) => return Err(retry(cause)),
            Life::Running { .. } | Life::Ended { .. } => return Ok(Ensured::Present),
        }
        let taken = |d| {
            self.in_use.contains_key(d) || !self.devices.iter().any(|x| x.id == *d && x.healthy)
        };
        let host_ports = || container.ports.iter().filter_map(|p| p.host);
        let obstacle = if host_ports().any(|p| self.ports.contains_key(&p)) {
            Some(RetryCause::PortTaken)
        } else if container.devices.iter().any(taken) {
            Some(RetryCause::GpuAdmission)
        } else {
            None
        };
        if let Some(cause) = obstacle {
            container.life = Life::Failed(cause);
            self.hint(run.pod);
            return Err(retry(cause));
        }
        self.begin(run, self.now);
        Ok(Ensured::Present)
    }

    /// Its program starts at `at`.
    pub(super) fn begin(&mut self, run: RunId, at: Time) {
        let Some(container) = self.containers.get_mut(&run) else {
            return;
        };
        let in_use = container.devices.iter().map(|d| (d.clone(), run));
        self.in_use.extend(in_use);
        let ports = container.ports.iter().filter_map(|p| p.host);
        self.ports.extend(ports.map(|p| (p, Some(run))));
        #[cfg(feature = "testing")]
        self.ran.push(super::Ran {
            run,
            devices: container.devices.clone(),
            started_at: at,
            finished_at: None,
        });
        if let Some(end) = container.start(at) {
            self.due.insert((end, Due::Ends(run)));
        }
        self.hint(run.pod);
    }

    fn end_if_due(&mut self, run: RunId, at: Time) {
        if let Some(container) = self.containers.get(&run)
            && let Life::Running { end: Some(end), .. } = container.life
            && end.at <= at
        {
            self.end(run, end, true);
        }
    }

    /// Its program has ended.
    pub(super) fn end(&mut self, run: RunId, end: End, observed: bool) {
        let Some(container) = self.containers.get_mut(&run).filter(|c| c.is_running()) else {
            return;
        };
        container.finish(end, observed);
        for device in &container.devices {
            self.in_use.remove(device);
        }
        for port in container.ports.iter().filter_map(|p| p.host) {
            self.ports.remove(&port);
        }
        #[cfg(feature = "testing")]
        if let Some(ran) = self.ran.iter_mut().rev().find(|r| r.run == run) {
            ran.finished_at = Some(end.at);
        }
        self.hint(run.pod);
    }

    pub(super) fn stop(&mut self, run: RunId, grace: Duration) {
        self.pulls.leave(run);
        let Some(container) = self.containers.get_mut(&run) else {
            return;
        };
        match container.life {
            Life::Created | Life::Failed(_) => self.remove(run),
            Life::Ended { .. } => {}
            Life::Running { .. } => {
                if let Some(at) = container.terminate(self.now, grace) {
                    self.due.insert((at, Due::Ends(run)));
                    self.advance(self.now);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, run: RunId) {
        self.pulls.leave(run);
        self.kill(run);
        if self.containers.remove(&run).is_some() {
            self.hint(run.pod);
        }
    }

    /// Its program ends now, without being asked.
    pub(super) fn kill(&mut self, run: RunId) {
        let end = End {
            at: self.now,
            code: KILLED,
            cause: ExitCause::Ended,
        };
        self.end(run, end, true);
    }

    pub(super) fn purge(&mut self, pod: PodId) {
        self.pulls.leave_all(pod);
        for run in self.runs_of(pod) {
            self.remove(run);
        }
        if self.volumes.remove(&pod).is_some() {
            self.hint(pod);
        }
    }

    pub(super) fn observe(&self, pod: PodId) -> Seen {
        let there = self.containers.range(all_runs(pod));
        Seen {
            at: self.now,
            instances: there
                .map(|(run, c)| c.instance(*run, self.now, &self.host))
                .collect(),
            volume: self.volumes.get(&pod).cloned(),
        }
    }

    pub(super) fn list(&self) -> Vec<Found> {
        let instances = self.containers.iter().map(|(run, c)| Found {
            pod: run.pod,
            instance: Some(c.instance(*run, self.now, &self.host)),
        });
        let alone = self
            .volumes
            .keys()
            .filter(|pod| self.containers.range(all_runs(**pod)).next().is_none());
        let volumes = alone.map(|pod| Found {
            pod: *pod,
            instance: None,
        });
        instances.chain(volumes).collect()
    }

    pub(super) fn runs_of(&self, pod: PodId) -> Vec<RunId> {
        let runs = self.containers.range(all_runs(pod));
        runs.map(|(run, _)| *run).collect()
    }
}

fn all_runs(pod: PodId) -> std::ops::RangeInclusive<RunId> {
    let run = |n, byte| RunId {
        pod,
        n,
        key: RunKey::from_bytes([byte; 8]),
    };
    run(0, 0)..=run(u32::MAX, u8::MAX)
}

fn retry(cause: RetryCause) -> Error {
    let message = match cause {
        RetryCause::PortTaken => "A host port is taken by somebody else.",
        RetryCause::NameTaken => "The container's name is taken by something that is not this run.",
        RetryCause::NoNetwork => "No address of a network is free.",
        RetryCause::GpuAdmission => "A device is in use, broken or unknown.",
        RetryCause::Evicted => "It was taken away before it started.",
    };
    Error::new(ErrorKind::Retry(cause), message)
}

pub(super) fn refused(refusal: Refusal) -> Error {
    let message = match refusal {
        Refusal::ImageNotFound => "No registry knows the image.",
        Refusal::ImageDenied => "The registry does not let us have the image.",
        Refusal::BadReference => "The image reference is malformed.",
        Refusal::NoSpace => "There is no disk space.",
        Refusal::VolumeLost => "The pod's volume is gone, or is not the one it had.",
        Refusal::Spec => "The specification can't be kept here.",
    };
    Error::new(ErrorKind::Refused(refusal), message)
}
