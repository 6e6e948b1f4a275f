//! The backend passes every case of `conformance::orchestrator` on a real cluster.

mod support;

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use libtest_mimic::{Arguments, Trial};
use neuropod_core::conformance::Case;
use neuropod_core::conformance::orchestrator::{Able, Subject, cases};

use support::fixture::OnCluster;

/// Fewer cases than this would be a mistake.
const FLOOR: usize = 45;
/// So many cases at once.
const AT_ONCE: usize = 4;

fn on_cluster(case: &Case<Subject, Able>) -> Able {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let outcome = runtime.block_on(async {
        let fixture = OnCluster::new().await;
        let run = async { (case.run)(fixture.clone().subject().await).await };
        let outcome = AssertUnwindSafe(run).catch_unwind().await;
        fixture.clear().await;
        outcome
    });
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A start waits for two nodes, not for this machine.
    arguments.test_threads.get_or_insert(AT_ONCE);
    let missing = support::kubeconfig()
        .is_none()
        .then_some(support::NO_CLUSTER);
    let must_be_there = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let count = cases().len();
    match missing {
        None => println!("kubernetes: {count} cases"),
        Some(reason) => println!("kubernetes: {count} cases left out: {reason}"),
    }
    let left_out = Arc::new(Mutex::new(Vec::new()));
    let trials = cases().into_iter().map(|case| {
        let name = format!("kubernetes::{}", case.name);
        let (left_out, named) = (left_out.clone(), name.clone());
        let test = move || {
            if let Some(reason) = missing {
                return Err(reason.into());
            }
            if let Err(unable) = on_cluster(&case) {
                let line = format!("{named} was left out: {unable}");
                left_out.lock().expect("no panic").push(line);
            }
            Ok(())
        };
        let ignored = missing.is_some() && !must_be_there;
        Trial::test(name, test).with_ignored_flag(ignored)
    });
    if count < FLOOR {
        eprintln!("only {count} cases, where there should be {FLOOR} at least");
        return ExitCode::FAILURE;
    }
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    for line in left_out.lock().expect("no panic").iter() {
        println!("{line}");
    }
    conclusion.exit_code()
}
