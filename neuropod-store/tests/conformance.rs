//! Every store passes every case of `conformance::store`, also behind a pointer.

use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use libtest_mimic::{Arguments, Trial};
use neuropod_core::conformance::store::cases;
use neuropod_core::memory::MemoryStore;
use neuropod_core::store::Store;

/// Fewer cases than this would be a mistake.
const FLOOR: usize = 45;

struct Backend {
    name: &'static str,
    open: fn() -> BoxFuture<'static, Arc<dyn Store>>,
    /// Why it can't be had here.
    missing: Option<&'static str>,
}

fn backends() -> Vec<Backend> {
    vec![
        Backend {
            name: "memory",
            open: || async { Arc::new(MemoryStore::new()) as Arc<dyn Store> }.boxed(),
            missing: None,
        },
        Backend {
            name: "pointer",
            open: || {
                async {
                    let behind: Box<dyn Store> = Box::new(MemoryStore::new());
                    Arc::new(Arc::new(behind)) as Arc<dyn Store>
                }
                .boxed()
            },
            missing: None,
        },
    ]
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let must_be_there = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let count = cases().len();
    let mut trials = Vec::new();
    for backend in backends() {
        match backend.missing {
            None => println!("{}: {count} cases", backend.name),
            Some(reason) => println!("{}: {count} cases left out: {reason}", backend.name),
        }
        for case in cases() {
            let handle = runtime.handle().clone();
            let missing = backend.missing;
            let test = move || {
                if let Some(reason) = missing {
                    return Err(reason.into());
                }
                handle.block_on(async move { (case.run)((backend.open)().await).await });
                Ok(())
            };
            let name = format!("{}::{}", backend.name, case.name);
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
