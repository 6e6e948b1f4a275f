//! Conditions: each true and false, judged on what was there before the write.

use std::sync::Arc;

use super::samples::{
    account, at, funding, hold, money, pod, pod_id, run, terms, tombstone, used, user, user_id,
    volume,
};
use super::{accepted, at_once, unmet};
use crate::conformance::{Case, cases};
use crate::id::{AccountId, GpuId};
use crate::money::Money;
use crate::pod::{Desired, Pod};
use crate::store::{
    AccountChange, Changes, Condition, Meter, MeterTotal, PodFilter, Store, StoreExt,
};

pub(super) fn cases() -> impl IntoIterator<Item = Case<dyn Store>> {
    cases![
        a_hold_needs_what_is_available,
        an_account_that_is_not_there_has_nothing,
        a_hold_counts_what_runs,
        a_hold_counts_what_is_posted_once,
        a_hold_counts_volumes_of_stopped_pods,
        a_hold_counts_what_others_hold,
        a_hold_is_used_up_by_its_own_run,
        a_pods_own_hold_does_not_count,
        a_run_of_the_past_is_charged_to_its_cutoff,
        an_unlimited_account_holds_anything,
        an_account_of_the_platform_holds_anything,
        sixty_four_launches_for_the_price_of_three,
        funded_until_the_balance_is_below_nothing,
        nobody_queued_but_the_pod_itself,
        fewer_pods_counts_what_is_not_deleted,
        fewer_pods_is_kept_by_launches_at_once,
        a_user_at_a_version,
        an_account_at_a_version,
        conditions_are_judged_before_the_write,
        the_first_condition_that_fails_is_named,
    ]
}

/// Writes these pods, and gives user 1 some money.
async fn given(store: &Arc<dyn Store>, balance: i64, pods: Vec<Pod>) {
    let changes = Changes {
        transfers: vec![funding("given", 1, money(balance))],
        pods,
        ..Changes::default()
    };
    accepted(store.commit(&changes).await);
}

fn when(condition: &Condition) -> Changes {
    Changes {
        conditions: vec![condition.clone()],
        ..Changes::default()
    }
}

#[track_caller]
fn check(result: crate::Result<()>, condition: &Condition, expected: bool) {
    match expected {
        true => accepted(result),
        false => unmet(result, condition),
    }
}

/// Exactly so much is available to pod 99 of user 1 at `seconds`.
async fn available(store: &Arc<dyn Store>, seconds: u64, exactly: Money) {
    available_to(store, 99, seconds, exactly).await;
}

async fn available_to(store: &Arc<dyn Store>, pod: u64, seconds: u64, exactly: Money) {
    let one_more = exactly + Money::from_micros(1);
    for (amount, expected) in [(exactly, true), (one_more, false)] {
        let condition = Condition::Hold {
            payer: account(1),
            pod: pod_id(pod),
            amount,
            at: at(seconds),
        };
        check(store.commit(&when(&condition)).await, &condition, expected);
    }
}

async fn a_hold_needs_what_is_available(store: Arc<dyn Store>) {
    given(&store, 10, vec![]).await;
    available(&store, 0, money(10)).await;
}

async fn an_account_that_is_not_there_has_nothing(store: Arc<dyn Store>) {
    available(&store, 0, Money::ZERO).await;
    assert_eq!(store.account(&account(1)).await.unwrap(), None);
}

fn running(n: u64, from: u64) -> Pod {
    let mut row = pod(n, 1);
    row.run = Some(run(&row, 1, at(from)));
    row
}

async fn a_hold_counts_what_runs(store: Arc<dyn Store>) {
    // Somebody else's run of the same owner's pod does not count.
    let mut other = running(3, 0);
    other.run.as_mut().unwrap().terms = terms(2);
    given(&store, 100, vec![running(1, 0), running(2, 10), other]).await;
    available(&store, 0, money(100)).await;
    available(&store, 10, money(90)).await;
    available(&store, 20, money(70)).await;
}

async fn a_hold_counts_what_is_posted_once(store: Arc<dyn Store>) {
    given(&store, 100, vec![running(1, 0)]).await;
    let post = |total, last| Changes {
        meters: vec![MeterTotal {
            meter: Meter::Run(pod_id(1), 1),
            payer: account(1),
            total: money(total),
            last,
            at: at(0),
            used: used(0, 0),
        }],
        ..Changes::default()
    };
    accepted(store.commit(&post(20, false)).await);
    available(&store, 10, money(80)).await;
    available(&store, 20, money(80)).await;
    available(&store, 25, money(75)).await;
    accepted(store.commit(&post(22, true)).await);
    available(&store, 25, money(78)).await;
}

async fn a_hold_counts_volumes_of_stopped_pods(store: Arc<dyn Store>) {
    let mut counting = pod(1, 1);
    counting.desired = Desired::Stopped;
    counting.volume = Some(volume(1, money(3600), at(0)));
    let mut paused = pod(2, 1);
    paused.volume = Some(volume(1, money(3600), at(0)));
    let v = paused.volume.as_mut().unwrap();
    (v.counting_since, v.counted_micros) = (None, 5_000_000);
    given(&store, 100, vec![counting, paused]).await;
    available(&store, 10, money(85)).await;
}

async fn a_hold_counts_what_others_hold(store: Arc<dyn Store>) {
    let mut holding = pod(1, 1);
    holding.hold = Some(hold(&holding, 1, money(30)));
    let mut paid_by_another = pod(2, 1);
    paid_by_another.hold = Some(hold(&paid_by_another, 2, money(30)));
    given(&store, 100, vec![holding, paid_by_another]).await;
    available(&store, 0, money(70)).await;
}

async fn a_hold_is_used_up_by_its_own_run(store: Arc<dyn Store>) {
    let mut row = running(1, 0);
    row.hold = Some(hold(&row, 1, money(30)));
    let mut older = running(2, 0);
    older.generation = 2;
    older.hold = Some(hold(&older, 1, money(10)));
    given(&store, 200, vec![row, older]).await;
    // 5 s of each run, what is left of the first hold, and all of the second: its run is of an older generation.
    available(&store, 5, money(200 - 5 - 25 - 5 - 10)).await;
    available(&store, 40, money(200 - 40 - 40 - 10)).await;
}

async fn a_pods_own_hold_does_not_count(store: Arc<dyn Store>) {
    let mut row = running(1, 0);
    row.hold = Some(hold(&row, 1, money(30)));
    given(&store, 100, vec![row]).await;
    available_to(&store, 1, 10, money(90)).await;
    available_to(&store, 2, 10, money(70)).await;
}

async fn a_run_of_the_past_is_charged_to_its_cutoff(store: Arc<dyn Store>) {
    let mut cut = running(1, 0);
    cut.run.as_mut().unwrap().cutoff = Some(at(5));
    let mut missed = running(2, 0);
    missed.run.as_mut().unwrap().last_seen = Some(at(7));
    given(&store, 100, vec![cut, missed]).await;
    available(&store, 3, money(94)).await;
    // What is left of one that a list has missed may still tell when it ended.
    available(&store, 50, money(45)).await;
}

async fn an_unlimited_account_holds_anything(store: Arc<dyn Store>) {
    let unlimited = |unlimited| Changes {
        accounts: vec![AccountChange {
            id: account(1),
            unlimited,
        }],
        ..Changes::default()
    };
    let hold = Condition::Hold {
        payer: account(1),
        pod: pod_id(1),
        amount: Money::from_micros(i64::MAX),
        at: at(0),
    };
    unmet(store.commit(&when(&hold)).await, &hold);
    let put = Changes {
        pods: vec![running(1, 0)],
        ..Changes::default()
    };
    accepted(store.commit(&put).await);
    let funded = Condition::Funded {
        payer: account(1),
        at: at(100),
    };
    unmet(store.commit(&when(&funded)).await, &funded);
    accepted(store.commit(&unlimited(true)).await);
    accepted(store.commit(&when(&hold)).await);
    accepted(store.commit(&when(&funded)).await);
    accepted(store.commit(&unlimited(false)).await);
    unmet(store.commit(&when(&hold)).await, &hold);
}

async fn an_account_of_the_platform_holds_anything(store: Arc<dyn Store>) {
    let payer = AccountId::from("grants");
    let hold = Condition::Hold {
        payer: payer.clone(),
        pod: pod_id(1),
        amount: money(1),
        at: at(0),
    };
    accepted(store.commit(&when(&hold)).await);
    let funded = Condition::Funded { payer, at: at(0) };
    accepted(store.commit(&when(&funded)).await);
}

async fn sixty_four_launches_for_the_price_of_three(store: Arc<dyn Store>) {
    given(&store, 35, vec![]).await;
    let launch = |n| {
        let mut row = pod(n, 1);
        row.hold = Some(hold(&row, 1, money(10)));
        let condition = Condition::Hold {
            payer: account(1),
            pod: row.id,
            amount: money(10),
            at: at(0),
        };
        Changes {
            pods: vec![row],
            ..when(&condition)
        }
    };
    let launches: Vec<_> = (1..=64).map(launch).collect();
    let results = at_once(&store, launches.clone()).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 3);
    for (launch, result) in launches.iter().zip(results).filter(|(_, r)| r.is_err()) {
        unmet(result, &launch.conditions[0]);
    }
    let pods = store.all_pods(PodFilter::Alive).await.unwrap();
    assert_eq!(pods.len(), 3);
}

async fn funded_until_the_balance_is_below_nothing(store: Arc<dyn Store>) {
    given(&store, 10, vec![running(1, 0)]).await;
    for (seconds, expected) in [(0, true), (10, true), (11, false)] {
        let condition = Condition::Funded {
            payer: account(1),
            at: at(seconds),
        };
        check(store.commit(&when(&condition)).await, &condition, expected);
    }
}

async fn nobody_queued_but_the_pod_itself(store: Arc<dyn Store>) {
    let nobody = |product: &str, except| Condition::NobodyQueued {
        product: GpuId::from(product),
        except: pod_id(except),
    };
    let condition = nobody("rtx-4050", 1);
    accepted(store.commit(&when(&condition)).await);
    let queued = |n| Pod {
        queued_at: Some(at(n)),
        ..pod(n, 1)
    };
    given(&store, 1, vec![queued(1), pod(3, 1)]).await;
    for (condition, expected) in [
        (nobody("rtx-4050", 1), true),
        (nobody("rtx-4050", 2), false),
        (nobody("rtx-4050", 3), false),
        (nobody("cpu", 2), true),
    ] {
        check(store.commit(&when(&condition)).await, &condition, expected);
    }
    let second = Changes {
        pods: vec![queued(2)],
        ..Changes::default()
    };
    accepted(store.commit(&second).await);
    unmet(store.commit(&when(&condition)).await, &condition);
    // The first one leaves the queue: its own condition fails for the other, not for itself.
    let mut first = store.pod(pod_id(1)).await.unwrap().unwrap();
    first.queued_at = None;
    let leave = Changes {
        pods: vec![first],
        ..Changes::default()
    };
    accepted(store.commit(&leave).await);
    unmet(store.commit(&when(&condition)).await, &condition);
    let condition = nobody("rtx-4050", 2);
    accepted(store.commit(&when(&condition)).await);
}

async fn fewer_pods_counts_what_is_not_deleted(store: Arc<dyn Store>) {
    let deleting = Pod {
        desired: Desired::Deleted,
        ..pod(3, 1)
    };
    let pods = vec![pod(1, 1), pod(2, 1), deleting, tombstone(4, 1), pod(5, 2)];
    given(&store, 1, pods).await;
    for (owner, max, expected) in [
        (1, 3, true),
        (1, 2, false),
        (2, 2, true),
        (3, 1, true),
        (3, 0, false),
    ] {
        let condition = Condition::FewerPods {
            owner: user_id(owner),
            max,
        };
        check(store.commit(&when(&condition)).await, &condition, expected);
    }
}

async fn fewer_pods_is_kept_by_launches_at_once(store: Arc<dyn Store>) {
    let condition = Condition::FewerPods {
        owner: user_id(1),
        max: 3,
    };
    let launch = |n| Changes {
        pods: vec![pod(n, 1)],
        ..when(&condition)
    };
    let results = at_once(&store, (1..=8).map(launch).collect()).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 3);
    lost.into_iter()
        .for_each(|result| unmet(result, &condition));
    let owned = store
        .all_pods(PodFilter::OwnedBy(user_id(1)))
        .await
        .unwrap();
    assert_eq!(owned.len(), 3);
}

async fn a_user_at_a_version(store: Arc<dyn Store>) {
    let put = |user| Changes {
        users: vec![user],
        ..Changes::default()
    };
    accepted(store.commit(&put(user(1))).await);
    let row = store.user(user_id(1)).await.unwrap().unwrap();
    for (n, version, expected) in [
        (1, 1, true),
        (1, 0, false),
        (1, 2, false),
        (2, 1, false),
        (2, 0, false),
    ] {
        let condition = Condition::UserAt {
            user: user_id(n),
            version,
        };
        check(store.commit(&when(&condition)).await, &condition, expected);
    }
    accepted(store.commit(&put(row)).await);
    let condition = Condition::UserAt {
        user: user_id(1),
        version: 1,
    };
    unmet(store.commit(&when(&condition)).await, &condition);
}

async fn an_account_at_a_version(store: Arc<dyn Store>) {
    given(&store, 1, Vec::new()).await;
    let row = store.account(&account(1)).await.unwrap().unwrap();
    let at_version = |n, version| Condition::AccountAt {
        account: account(n),
        version,
    };
    for (n, version, expected) in [
        (1, row.version, true),
        (1, row.version + 1, false),
        (1, 0, false),
        (2, 0, false),
    ] {
        let condition = at_version(n, version);
        check(store.commit(&when(&condition)).await, &condition, expected);
    }
    // Who only touches it raises its version, and so does this write itself.
    let condition = at_version(1, row.version);
    let touch = Changes {
        touch: vec![account(1)],
        ..when(&condition)
    };
    let results = at_once(&store, vec![touch; 4]).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
    unmet(store.commit(&when(&condition)).await, &condition);
}

async fn conditions_are_judged_before_the_write(store: Arc<dyn Store>) {
    let launch = Changes {
        conditions: vec![
            Condition::FewerPods {
                owner: user_id(1),
                max: 1,
            },
            Condition::NobodyQueued {
                product: GpuId::from("rtx-4050"),
                except: pod_id(2),
            },
        ],
        pods: vec![Pod {
            queued_at: Some(at(0)),
            ..pod(1, 1)
        }],
        ..Changes::default()
    };
    accepted(store.commit(&launch).await);
    let condition = Condition::Funded {
        payer: account(1),
        at: at(10),
    };
    let spend = Changes {
        pods: vec![running(3, 0)],
        ..when(&condition)
    };
    accepted(store.commit(&spend).await);
    unmet(store.commit(&when(&condition)).await, &condition);
    // Money that comes with the same write does not help it.
    let late = Changes {
        transfers: vec![funding("late", 1, money(100))],
        ..when(&condition)
    };
    unmet(store.commit(&late).await, &condition);
}

async fn the_first_condition_that_fails_is_named(store: Arc<dyn Store>) {
    let fails = |max| Condition::FewerPods {
        owner: user_id(max),
        max: 0,
    };
    let holds = Condition::FewerPods {
        owner: user_id(1),
        max: 1,
    };
    let changes = Changes {
        conditions: vec![holds, fails(2), fails(3)],
        ..Changes::default()
    };
    unmet(store.commit(&changes).await, &fails(2));
}
