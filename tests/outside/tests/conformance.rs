//! The conformance suite over `Tasks`: ten lines run it, and the fixture says what tasks can't do.

use async_trait::async_trait;
use futures::future::{FutureExt, pending, ready};
use neuropod::Orchestrator;
use neuropod::conformance::orchestrator::{
    Able, Fixture, Image, Outside, Program, Subject, Unable, cases,
};
use neuropod::id::PodId;
use outside::tasks::{Job, Tasks};
use std::sync::Arc;
use std::time::Duration;

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let mut passed = 0;
    for case in cases() {
        let outcome = (case.run)(subject()).await;
        passed += u32::from(outcome.is_ok());
        println!("{}: {outcome:?}", case.name);
    }
    println!("{passed} of {} cases passed", cases().len());
    assert!(passed >= 45, "too few of the cases could run");
}

fn subject() -> Arc<Subject> {
    let succeeds: Job = |_| ready(0).boxed();
    let tasks = Tasks::new([
        ("succeeds", succeeds),
        ("fails", |_| ready(3).boxed()),
        ("ignores-term", |_| pending().boxed()),
        ("sleeps", |mut told| {
            let told = async move { told.wait_for(|told| *told).await.map_or(1, |_| 143) };
            told.boxed()
        }),
    ]);
    Subject::new(Arc::new(tasks.clone()), Arc::new(World(tasks)))
}

/// Everybody else who has a hand in the program.
#[derive(Debug)]
struct World(Tasks);

#[async_trait]
impl Fixture for World {
    fn program(&self, program: Program) -> Able<Image> {
        let name = match program {
            Program::Sleeps => "sleeps",
            Program::IgnoresTerm => "ignores-term",
            Program::Succeeds => "succeeds",
            Program::Fails => "fails",
            Program::Missing => "missing",
            Program::Pulled | Program::Denied => {
                return Err(Unable("Images are part of the program: none is pulled."));
            }
            Program::EatsMemory | Program::Computes => {
                return Err(Unable("What one task takes can't be told apart."));
            }
            _ => return Err(Unable("A task neither prints nor reads nor listens.")),
        };
        let (name, args) = (name.to_owned(), Vec::new());
        Ok(Image { name, args })
    }

    async fn outside(&self, deed: Outside) -> Able {
        // Nobody reaches tasks but by the backend itself.
        let done = match deed {
            Outside::Kill(run) => self.0.stop(run, Duration::ZERO).await,
            Outside::Vanish(run) => self.0.remove(run).await,
            _ => {
                return Err(Unable(
                    "Tasks are this program's own, and never out of reach.",
                ));
            }
        };
        done.expect("it always answers");
        Ok(())
    }

    fn free_port(&self) -> Able<u16> {
        Err(Unable("A task has no port."))
    }

    async fn foreign(&self) -> usize {
        0
    }

    async fn left(&self, pod: PodId) -> Vec<String> {
        let seen = self.0.observe(pod).await.expect("it always answers");
        let runs = seen.instances.iter().map(|i| i.run.to_string());
        runs.chain(seen.volume).collect()
    }
}
