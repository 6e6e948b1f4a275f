//! The suite over [`MemoryOrchestrator`], as an example of a fixture.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::{Able, Fixture, Has, Image, Outside, Own, Program, Subject, Unable};
use crate::Orchestrator;
use crate::error::Refusal;
use crate::id::{DeviceId, PodId, RunId};
use crate::memory::{Behaviour, MemoryOrchestrator};
use crate::orchestrator::{Device, ExitCause};

const DEVICES: [&str; 2] = ["GPU-1", "GPU-2"];
const MILLISECOND: Duration = Duration::from_millis(1);

/// An engine in memory, and a fixture for it.
pub fn subject() -> Arc<Subject> {
    subject_of(|engine| Arc::new(engine))
}

/// The same engine behind something else.
pub fn subject_of(wrap: impl FnOnce(MemoryOrchestrator) -> Arc<dyn Orchestrator>) -> Arc<Subject> {
    let device = |id: &str| Device {
        id: DeviceId::from(id),
        product: "NVIDIA GeForce RTX 4050".to_owned(),
        memory_mib: 6141,
        healthy: true,
    };
    let mut builder = MemoryOrchestrator::builder().devices(DEVICES.map(device));
    for program in Program::ALL {
        if let (Ok(image), Ok(behaviour)) = (name(program), behaviour(program)) {
            builder = builder.image(image, behaviour);
        }
    }
    for has in Has::ALL {
        for own in Own::ALL {
            builder = builder.image(beside(has, own), with_jupyter(has, own));
        }
    }
    let engine = builder.build();
    let fixture = Arc::new(Memory {
        engine: engine.clone(),
        port: AtomicU16::new(20_000),
    });
    Subject::new(wrap(engine), fixture)
}

#[derive(Debug)]
struct Memory {
    engine: MemoryOrchestrator,
    port: AtomicU16,
}

fn name(program: Program) -> Able<String> {
    behaviour(program)?;
    Ok(format!("{program:?}").to_lowercase())
}

fn behaviour(program: Program) -> Able<Behaviour> {
    let sleeps = Behaviour::default();
    let ends = Behaviour {
        runs_for: Some(MILLISECOND),
        ..Behaviour::default()
    };
    let hundred = || lines((0..100).map(|n| format!("line {n}")));
    Ok(match program {
        Program::Sleeps => sleeps,
        Program::IgnoresTerm => Behaviour {
            ends_within: None,
            ..sleeps
        },
        Program::EndsLate => Behaviour {
            ends_within: Some(300 * MILLISECOND),
            prints: lines(["ready".to_owned()]),
            ..sleeps
        },
        Program::Succeeds => ends,
        Program::Fails => Behaviour { code: 3, ..ends },
        Program::EatsMemory => Behaviour {
            code: 137,
            cause: ExitCause::OutOfMemory,
            ..ends
        },
        Program::Serves => Behaviour {
            ready_after: Some(1000 * MILLISECOND),
            ..sleeps
        },
        Program::Prints => Behaviour {
            prints: hundred(),
            ..sleeps
        },
        Program::PrintsAndEnds => Behaviour {
            prints: hundred(),
            ..ends
        },
        Program::PrintsOn => Behaviour {
            prints: (0..1000)
                .map(|n| (100 * n * MILLISECOND, format!("line {n}")))
                .collect(),
            ..sleeps
        },
        Program::PrintsUnfinished => Behaviour {
            prints: lines(["one".to_owned(), "two".to_owned()]),
            ..ends
        },
        Program::PrintsLongLine => Behaviour {
            prints: lines(["x".repeat(1 << 20), "after".to_owned()]),
            ..ends
        },
        Program::PrintsMuch => Behaviour {
            prints: lines(
                (0..1000)
                    .map(|n| format!("{n} x"))
                    .chain(["end".to_owned()]),
            ),
            ..ends
        },
        Program::Pulled => Behaviour {
            pull: 2000 * MILLISECOND,
            ..sleeps
        },
        Program::Missing => Behaviour {
            pull: 500 * MILLISECOND,
            pull_fails: Some(Refusal::ImageNotFound),
            ..sleeps
        },
        Program::Denied => Behaviour {
            pull: 500 * MILLISECOND,
            pull_fails: Some(Refusal::ImageDenied),
            ..sleeps
        },
        Program::PrintsToBoth => {
            return Err(Unable("A simulated program has no standard error."));
        }
        Program::Computes => return Err(Unable("Nothing that is simulated can be measured.")),
        Program::PrintsProbe | Program::CountsStarts => {
            return Err(Unable("A simulated program neither reads nor writes."));
        }
    })
}

/// The name of an image with Jupyter, or without.
fn beside(has: Has, own: Own) -> String {
    format!("{has:?}-{own:?}").to_lowercase()
}

fn with_jupyter(has: Has, own: Own) -> Behaviour {
    Behaviour {
        jupyter_after: match has {
            Has::Jupyter => Some(1000 * MILLISECOND),
            Has::Python => Some(3000 * MILLISECOND),
            Has::Shell | Has::NoShell => None,
        },
        ready_after: (own == Own::Serves).then_some(Duration::ZERO),
        runs_for: (own == Own::Ends).then_some(MILLISECOND),
        ..Behaviour::default()
    }
}

/// Printed at once.
fn lines(texts: impl IntoIterator<Item = String>) -> Vec<(Duration, String)> {
    let texts = texts.into_iter();
    texts.map(|text| (Duration::ZERO, text)).collect()
}

#[async_trait]
impl Fixture for Memory {
    fn program(&self, program: Program) -> Able<Image> {
        let (name, args) = (name(program)?, Vec::new());
        Ok(Image { name, args })
    }

    async fn with_jupyter(&self, has: Has, own: Own) -> Able<Image> {
        let (name, args) = (beside(has, own), Vec::new());
        Ok(Image { name, args })
    }

    async fn outside(&self, deed: Outside) -> Able {
        let engine = &self.engine;
        match deed {
            Outside::Kill(run) => engine.kill_containers(run.pod),
            Outside::Vanish(run) => engine.vanish_containers(run.pod),
            Outside::Restart(run) => engine.restart_containers(run.pod),
            Outside::VanishVolume(pod) => engine.vanish_volume(pod),
            Outside::Occupy(port) => engine.occupy_port(port, true),
            Outside::Cut => engine.unreachable(true),
            Outside::Mend => engine.unreachable(false),
            Outside::Foreign(_) | Outside::ForeignVolume(_) => {
                return Err(Unable("Nobody else can have anything in this memory."));
            }
        }
        Ok(())
    }

    fn free_port(&self) -> Able<u16> {
        Ok(self.port.fetch_add(1, Ordering::Relaxed))
    }

    fn free_devices(&self) -> Able<[DeviceId; 2]> {
        Ok(DEVICES.map(DeviceId::from))
    }

    async fn given(&self, run: RunId) -> Able<Vec<DeviceId>> {
        let there = self.engine.inventory().containers;
        let of_run = there.into_iter().find(|c| c.instance.run == run);
        Ok(of_run.expect("its container is there").devices)
    }

    async fn foreign(&self) -> usize {
        0
    }

    async fn left(&self, pod: PodId) -> Vec<String> {
        let there = self.engine.inventory();
        let containers = there.containers.iter().map(|c| c.instance.run);
        let runs = containers.chain(there.pulling).filter(|run| run.pod == pod);
        let volumes = there.volumes.iter().filter(|(of, _)| *of == pod);
        runs.map(|run| run.to_string())
            .chain(volumes.map(|(_, id)| id.clone()))
            .collect()
    }
}
