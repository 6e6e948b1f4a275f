//! Every backend passes every case of `conformance::orchestrator`: in memory, behind a pointer, and on a real engine.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Trial};
use neuropod_core::Orchestrator;
use neuropod_core::conformance::Case;
use neuropod_core::conformance::orchestrator::{Able, Subject, cases, memory};

/// Fewer cases than this would be a mistake.
const FLOOR: usize = 45;

type Run = fn(Case<Subject, Able>) -> Able;

/// A backend, and how a case runs over a new one.
const BACKENDS: [(&str, Run); 2] = [
    ("memory", |case| virtual_time(&case, memory::subject)),
    ("pointer", |case| {
        virtual_time(&case, || {
            memory::subject_of(|engine| {
                let behind: Box<dyn Orchestrator> = Box::new(engine);
                Arc::new(Arc::new(behind))
            })
        })
    }),
];

fn virtual_time(case: &Case<Subject, Able>, subject: impl Fn() -> Arc<Subject>) -> Able {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    let run = async { (case.run)(subject()).await };
    runtime.expect("a runtime").block_on(run)
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let count = cases().len();
    let left_out = Arc::new(Mutex::new(Vec::new()));
    let mut trials = Vec::new();
    for (backend, run) in BACKENDS {
        println!("{backend}: {count} cases");
        for case in cases() {
            let name = format!("{backend}::{}", case.name);
            let (left_out, named) = (left_out.clone(), name.clone());
            let test = move || {
                if let Err(unable) = run(case) {
                    let line = format!("{named} was left out: {unable}");
                    left_out.lock().expect("no panic").push(line);
                }
                Ok(())
            };
            trials.push(Trial::test(name, test));
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
