//! Commits that wait while SQLite writes go into one transaction: each is judged as if the one before it had been
//! written on its own.

mod support;

use neuropod_core::conformance::store::samples::*;
use neuropod_core::store::*;

/// The later commit asks about a payer for whom nothing ran when the transaction began.
#[tokio::test]
async fn what_was_posted_of_a_run_counts_for_the_commit_after_the_one_that_writes_it() {
    let folder = support::Folder::new();
    let store = support::open(&folder.url()).await;
    let mut pod = pod(1, 0);
    let run = run(&pod, 1, at(0));
    let posted = Changes {
        pods: vec![pod.clone()],
        transfers: vec![funding("t", 0, money(5))],
        meters: vec![MeterTotal {
            meter: Meter::Run(pod.id, run.n),
            payer: account(0),
            total: money(5),
            last: true,
            at: at(5),
            used: used(0, 5),
        }],
        ..Changes::default()
    };
    store.commit(&posted).await.unwrap();
    (pod.run, pod.version) = (Some(run), 1);
    let runs = Changes {
        pods: vec![pod],
        ..Changes::default()
    };
    // All that the run costs is posted already, so the balance stays at nothing.
    let funded = Changes {
        conditions: vec![Condition::Funded {
            payer: account(0),
            at: at(60),
        }],
        touch: vec![account(0)],
        ..Changes::default()
    };
    // The first one opens a transaction, and those after it wait for the next.
    let first = Changes {
        documents: vec![DocChange::Put(document("note", "first"))],
        ..Changes::default()
    };
    let (first, runs, funded) = tokio::join!(
        store.commit(&first),
        store.commit(&runs),
        store.commit(&funded)
    );
    first.unwrap();
    runs.unwrap();
    funded.unwrap();
}
