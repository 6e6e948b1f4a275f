//! Every backend passes every case of `conformance::orchestrator`: in memory, behind a pointer, and on a real engine.

mod support;

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use libtest_mimic::{Arguments, Trial};
use neuropod_core::Orchestrator;
use neuropod_core::conformance::Case;
use neuropod_core::conformance::orchestrator::{Able, Subject, cases, memory};

use support::fixture::OnDocker;

/// Fewer cases than this would be a mistake.
const FLOOR: usize = 45;

type Run = fn(Case<Subject, Able>) -> Able;

/// A backend, how a case runs over a new one, and why it can't be had here.
fn backends() -> [(&'static str, Run, Option<&'static str>); 3] {
    let no_engine = support::engine().is_none().then_some(support::NO_ENGINE);
    [
        ("memory", |case| virtual_time(&case, memory::subject), None),
        (
            "pointer",
            |case| {
                virtual_time(&case, || {
                    memory::subject_of(|engine| {
                        let behind: Box<dyn Orchestrator> = Box::new(engine);
                        Arc::new(Arc::new(behind))
                    })
                })
            },
            None,
        ),
        ("docker", |case| on_docker(&case), no_engine),
    ]
}

fn virtual_time(case: &Case<Subject, Able>, subject: impl Fn() -> Arc<Subject>) -> Able {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    let run = async { (case.run)(subject()).await };
    runtime.expect("a runtime").block_on(run)
}

fn on_docker(case: &Case<Subject, Able>) -> Able {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let outcome = runtime.block_on(async {
        let fixture = OnDocker::new().await;
        let run = async { (case.run)(fixture.clone().subject().await).await };
        let outcome = AssertUnwindSafe(run).catch_unwind().await;
        fixture.clear().await;
        outcome
    });
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let must_be_there = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let count = cases().len();
    let left_out = Arc::new(Mutex::new(Vec::new()));
    let mut trials = Vec::new();
    for (backend, run, missing) in backends() {
        match missing {
            None => println!("{backend}: {count} cases"),
            Some(reason) => println!("{backend}: {count} cases left out: {reason}"),
        }
        for case in cases() {
            let name = format!("{backend}::{}", case.name);
            let (left_out, named) = (left_out.clone(), name.clone());
            let test = move || {
                if let Some(reason) = missing {
                    return Err(reason.into());
                }
                if let Err(unable) = run(case) {
                    let line = format!("{named} was left out: {unable}");
                    left_out.lock().expect("no panic").push(line);
                }
                Ok(())
            };
            let ignored = missing.is_some() && !must_be_there;
            trials.push(Trial::test(name, test).with_ignored_flag(ignored));
        }
    }
    if count < FLOOR {
        eprintln!("only {count} cases, where there should be {FLOOR} at least");
        return ExitCode::FAILURE;
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    for line in left_out.lock().expect("no panic").iter() {
        println!("{line}");
    }
    conclusion.exit_code()
}
