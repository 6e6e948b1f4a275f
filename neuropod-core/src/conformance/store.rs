//! What every [`Store`] must pass. Each case wants a store of its own that is still empty, and a tokio runtime; those
//! about races show more on several threads. A store that has no hints may leave out `a_commit_gives_a_hint`.

mod conditions;
mod documents;
mod events;
mod leases;
mod ledger;
mod meters;
mod pods;
mod rows;
pub mod samples;
mod users;
mod work;

use std::sync::Arc;

use super::Case;
use crate::error::{Error, ErrorKind};
use crate::store::{Changes, Condition, Store};

/// Every case.
pub fn cases() -> Vec<Case<dyn Store>> {
    let mut cases = Vec::new();
    cases.extend(rows::cases());
    cases.extend(users::cases());
    cases.extend(pods::cases());
    cases.extend(conditions::cases());
    cases.extend(leases::cases());
    cases.extend(ledger::cases());
    cases.extend(meters::cases());
    cases.extend(documents::cases());
    cases.extend(work::cases());
    cases.extend(events::cases());
    cases
}

/// Commits what must be accepted.
#[track_caller]
fn accepted(result: crate::Result<()>) {
    if let Err(error) = result {
        panic!("this commit should have been accepted: {error:?}");
    }
}

/// The error must be a conflict, which trying again may resolve.
#[track_caller]
fn conflict(result: crate::Result<()>) {
    let error = result.expect_err("this commit should have been a conflict");
    assert_eq!(*error.kind(), ErrorKind::Conflict, "{error:?}");
    assert!(error.is_retryable());
}

/// The error must name this condition.
#[track_caller]
fn unmet(result: crate::Result<()>, condition: &Condition) {
    let error = result.expect_err("a condition should not have held");
    let expected = ErrorKind::Condition(Box::new(condition.clone()));
    assert_eq!(*error.kind(), expected, "{error:?}");
}

/// The input makes no sense.
#[track_caller]
fn invalid<T: std::fmt::Debug>(result: crate::Result<T>) {
    let kind = result.as_ref().map_err(Error::kind).err();
    assert_eq!(kind, Some(&ErrorKind::Invalid), "{result:?}");
}

/// Commits all of these at the same time, each from a task of its own; answers in the order given.
async fn at_once(store: &Arc<dyn Store>, commits: Vec<Changes>) -> Vec<crate::Result<()>> {
    let start = Arc::new(tokio::sync::Barrier::new(commits.len()));
    let tasks: Vec<_> = commits
        .into_iter()
        .map(|changes| {
            let (store, start) = (store.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                store.commit(&changes).await
            })
        })
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("a commit does not panic"));
    }
    results
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::memory::MemoryStore;
    use crate::rule::{Rule, break_rule};

    /// Runs every case on this thread; answers the names of those that fail.
    fn failing() -> Vec<&'static str> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let passes = |case: &Case<dyn Store>| {
            let run =
                AssertUnwindSafe(|| runtime.block_on((case.run)(Arc::new(MemoryStore::new()))));
            catch_unwind(run).is_ok()
        };
        let failing = cases().into_iter().filter(|case| !passes(case));
        failing.map(|case| case.name).collect()
    }

    #[test]
    fn a_store_that_breaks_a_rule_fails_its_case() {
        assert_eq!(failing(), [""; 0]);
        for (rule, case) in [
            (Rule::VersionCheck, "a_stale_version_conflicts"),
            (
                Rule::ClaimKeepsWish,
                "a_lease_that_ran_out_is_claimed_again",
            ),
            (
                Rule::FinishComparesWake,
                "a_wake_during_the_lease_keeps_the_wish",
            ),
            (Rule::OwnHoldIsExcluded, "a_pods_own_hold_does_not_count"),
            (Rule::ChargesAreSet, "a_total_is_set_not_added"),
        ] {
            let _broken = break_rule(rule);
            assert!(failing().contains(&case), "{rule:?}");
        }
    }
}
