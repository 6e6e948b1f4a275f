//! Every store passes every case of `conformance::store`, also behind a pointer.

mod support;

use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use libtest_mimic::{Arguments, Trial};
use neuropod_core::conformance::Case;
use neuropod_core::conformance::store::cases;
use neuropod_core::memory::MemoryStore;
use neuropod_core::store::Store;

use support::Folder;

/// Fewer cases than this would be a mistake.
const FLOOR: usize = 45;

type Run = fn(Case<dyn Store>) -> BoxFuture<'static, ()>;

/// A store, how a case runs over a new one, and why it can't be had here.
fn backends() -> [(&'static str, Run, Option<&'static str>); 4] {
    let no_postgres = support::postgres()
        .is_none()
        .then_some(support::NO_POSTGRES);
    [
        (
            "memory",
            |case| (case.run)(Arc::new(MemoryStore::new())),
            None,
        ),
        (
            "pointer",
            |case| {
                let behind: Box<dyn Store> = Box::new(MemoryStore::new());
                (case.run)(Arc::new(Arc::new(behind)))
            },
            None,
        ),
        ("sqlite", |case| on_sqlite(case).boxed(), None),
        ("postgres", |case| on_postgres(case).boxed(), no_postgres),
    ]
}

async fn on_sqlite(case: Case<dyn Store>) {
    let folder = Folder::new();
    (case.run)(support::open(&folder.url()).await).await;
}

async fn on_postgres(case: Case<dyn Store>) {
    let server = support::postgres().expect("it was there before");
    let schema = support::new_schema(&server).await;
    let run = (case.run)(support::open(&schema.url).await);
    let outcome = std::panic::AssertUnwindSafe(run).catch_unwind().await;
    schema.remove().await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let must_be_there = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let count = cases().len();
    let mut trials = Vec::new();
    for (backend, run, missing) in backends() {
        match missing {
            None => println!("{backend}: {count} cases"),
            Some(reason) => println!("{backend}: {count} cases left out: {reason}"),
        }
        for case in cases() {
            let handle = runtime.handle().clone();
            let name = format!("{backend}::{}", case.name);
            let test = move || match missing {
                Some(reason) => Err(reason.into()),
                None => {
                    handle.block_on(run(case));
                    Ok(())
                }
            };
            let left_out = missing.is_some() && !must_be_there;
            trials.push(Trial::test(name, test).with_ignored_flag(left_out));
        }
    }
    if count < FLOOR {
        eprintln!("only {count} cases, where there should be {FLOOR} at least");
        return ExitCode::FAILURE;
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
