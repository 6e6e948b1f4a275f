//! A backend of your own: pods as processes of this machine, without isolation, volumes or GPUs.
//! `cargo run --example custom_orchestrator`
//!
//! It is a toy: it forgets its processes when this program ends. The contract it keeps is that of
//! the trait: every call names a run, a run starts once, and an end stays visible until `remove`.

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use neuropod::auth::Identity;
use neuropod::id::{PodId, RunId};
use neuropod::orchestrator::{
    Capacity, Ensured, ExitCause, Fence, Found, Instance, LogLine, LogQuery, Seen, State, Usage,
    Workload,
};
use neuropod::time::{Clock, SystemClock};
use neuropod::{Error, ErrorKind, Launch, Orchestrator, Platform, Refusal, Result, Time};
use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

#[derive(Debug, Default)]
struct Processes(Mutex<BTreeMap<RunId, Process>>);

#[derive(Debug)]
struct Process {
    generation: u64,
    child: Child,
    started_at: Time,
    ended: Option<(Time, Option<i64>)>,
}

impl Process {
    /// The process of a run. Its end is noticed when somebody looks.
    fn instance(&mut self, run: RunId) -> Instance {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.ended = Some((now(), status.code().map(i64::from)));
        }
        let state = match self.ended {
            None => State::Running {
                started_at: self.started_at,
                endpoints: Vec::new(),
            },
            Some((finished_at, code)) => State::Exited {
                started_at: Some(self.started_at),
                finished_at: Some(finished_at),
                code,
                cause: ExitCause::Ended,
            },
        };
        Instance {
            run,
            generation: self.generation,
            state,
        }
    }
}

impl Processes {
    fn table(&self) -> MutexGuard<'_, BTreeMap<RunId, Process>> {
        self.0.lock().expect("no panic while held")
    }

    fn delete(&self, which: impl Fn(&RunId) -> bool) {
        for (_, mut process) in self.table().extract_if(.., |run, _| which(run)) {
            // It may have ended by itself meanwhile.
            let _ = process.child.kill().and_then(|()| process.child.wait());
        }
    }
}

#[async_trait]
impl Orchestrator for Processes {
    async fn ensure(&self, workload: &Workload, fence: &Fence) -> Result<Ensured> {
        if self.table().contains_key(&workload.run) {
            return Ok(Ensured::Present);
        }
        if !fence.holds().await? {
            return Ok(Ensured::Fenced);
        }
        let mut table = self.table();
        if table.contains_key(&workload.run) {
            return Ok(Ensured::Present); // by another pass, while the fence was asked
        }
        let child = Command::new(&workload.image)
            .args(&workload.args)
            .envs(&workload.env.0)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| {
                let message = format!("There is no program {}.", workload.image);
                Error::new(ErrorKind::Refused(Refusal::ImageNotFound), message).caused_by(error)
            })?;
        let process = Process {
            generation: workload.generation,
            child,
            started_at: now(),
            ended: None,
        };
        table.insert(workload.run, process);
        Ok(Ensured::Present)
    }

    async fn stop(&self, run: RunId, _grace: Duration) -> Result<()> {
        if let Some(process) = self.table().get_mut(&run) {
            let _ = process.child.kill(); // fails only if it has ended
        }
        Ok(())
    }

    async fn remove(&self, run: RunId) -> Result<()> {
        self.delete(|other| *other == run);
        Ok(())
    }

    async fn purge(&self, pod: PodId) -> Result<()> {
        self.delete(|run| run.pod == pod);
        Ok(())
    }

    async fn observe(&self, pod: PodId) -> Result<Seen> {
        let mut table = self.table();
        let of_pod = table.iter_mut().filter(|(run, _)| run.pod == pod);
        Ok(Seen {
            at: now(),
            instances: of_pod
                .map(|(run, process)| process.instance(*run))
                .collect(),
            volume: None,
        })
    }

    async fn list(&self) -> Result<BoxStream<'static, Result<Found>>> {
        let mut table = self.table();
        let found = table.iter_mut().map(|(run, process)| {
            Ok(Found {
                pod: run.pod,
                instance: Some(process.instance(*run)),
            })
        });
        Ok(stream::iter(found.collect::<Vec<_>>()).boxed())
    }

    async fn watch(&self) -> Result<BoxStream<'static, PodId>> {
        Ok(stream::pending().boxed()) // no hints: the sweep finds what has ended
    }

    async fn logs(&self, _: RunId, _: &LogQuery) -> Result<BoxStream<'static, Result<LogLine>>> {
        Ok(stream::empty().boxed()) // what a process prints goes to the terminal
    }

    async fn usage(&self, _: RunId) -> Result<Usage> {
        Ok(Usage::default()) // nothing is measured, which is not the same as 0
    }

    async fn capacity(&self) -> Result<Capacity> {
        Ok(Capacity {
            caveats: vec!["Processes are neither isolated nor limited.".to_owned()],
            ..Capacity::default()
        })
    }
}

fn now() -> Time {
    SystemClock::new().now()
}

#[tokio::main]
async fn main() -> Result<()> {
    let platform = Platform::builder()
        .orchestrator(Processes::default())
        .build()
        .await?;
    let me = Identity::local();
    let launch = Launch::image("echo").args(["a pod that is a process"]);
    let mut pod = platform.launch(&me, &launch).await?;
    while !pod.has_ended() {
        platform.run_until_idle().await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        pod = platform.pod(&me, pod.id).await?;
    }
    println!(
        "{}: {:?}, code {:?}",
        pod.spec.name,
        pod.phase(),
        pod.exit_code
    );
    Ok(())
}
