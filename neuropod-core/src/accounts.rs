//! One pass over one account: what it can't pay for any more is stopped, what was kept for it counts again, its owner is
//! told how near the end is, and ended months are posted. It is woken whenever any of that may have changed, and rests until
//! the next of it comes by itself: nothing is written, or looked at, per second.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::billing::Balance;
use crate::budget::{self, Limit, Spent};
use crate::claimed::Claimed;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{EventKind, NewEvent};
use crate::id::AccountId;
use crate::ladder::{Outlook, Rung};
use crate::money::price;
use crate::platform::Core;
use crate::pod::{Pod, Reason, Volume};
use crate::rule::{Rule, broken};
use crate::settling::settle;
use crate::store::{Changes, Condition, DocChange, Document, PodFilter, StoreExt, Wake, WorkKey};
use crate::time::Time;
use crate::{farewell, posting, reconcile, wish};

/// The document that says what the owner of an account was told.
pub(crate) const NOTICE: &str = "notice";
/// Pods that start together are looked at together.
const TOGETHER: Duration = Duration::from_millis(500);
/// How long to wait before asking again a store or a biller that did not answer.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The work of an account that pays for an open meter from `now` on.
pub(crate) fn wake(account: &AccountId, now: Time) -> Wake {
    let at = if account.is_customer() {
        now + TOGETHER
    } else {
        posting::next(now)
    };
    Wake {
        key: WorkKey::Account(account.clone()),
        at,
    }
}

/// Whose balance has run out, if a write was refused for that.
pub(crate) fn unfunded(refused: &Error) -> Option<&AccountId> {
    match refused.kind() {
        ErrorKind::Condition(condition) => match &**condition {
            Condition::Funded { payer, .. } => Some(payer),
            _ => None,
        },
        _ => None,
    }
}

/// Wakes the account that a write was refused for because it has run out: what that leads to comes first.
pub(crate) async fn wake_refused(core: &Core, refused: &Error) -> Result<bool> {
    let Some(payer) = unfunded(refused) else {
        return Ok(false);
    };
    let wake = Wake {
        key: WorkKey::Account(payer.clone()),
        at: core.clock.now(),
    };
    let changes = Changes {
        wakes: vec![wake],
        ..Changes::default()
    };
    core.commit(changes).await.map(|()| true)
}

/// Looks at an account now, whoever's turn it is: for a verb that must not wait.
pub(crate) async fn look_now(core: &Core, account: &AccountId) -> Result<()> {
    let mut changes = work_out(core, account).await?.0;
    changes.wakes.push(wake(account, core.clock.now()));
    match core.commit(changes).await {
        Err(e) if matches!(e.kind(), ErrorKind::Conflict | ErrorKind::Condition(_)) => Ok(()),
        other => other,
    }
}

/// What an owner was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    /// On which rung he is.
    rung: Rung,
    /// Which limit of his budget is reached, in the period that began then.
    #[serde(default)]
    limit: Option<(Time, Limit)>,
}

const NOTHING: Told = Told {
    rung: Rung::Fine,
    limit: None,
};

/// One pass over the account of `work`.
pub(crate) async fn pass(core: &Core, account: &AccountId, work: &Claimed) -> Result<()> {
    let Err(error) = look(core, account, work).await else {
        return Ok(());
    };
    let now = core.clock.now();
    let again = match error.kind() {
        // Somebody was first: what there is now is read anew.
        ErrorKind::Conflict | ErrorKind::Condition(_) => now,
        _ => {
            tracing::warn!(%account, %error, "an account could not be looked at");
            now + AGAIN_AFTER
        }
    };
    reconcile::finish(core, work, Some(again)).await
}

async fn look(core: &Core, account: &AccountId, work: &Claimed) -> Result<()> {
    let (mut changes, next) = work_out(core, account).await?;
    changes.finish = Some(work.finish(next, core.clock.now()));
    core.commit(changes).await
}

/// What is to be written about an account, and when to look at it again.
async fn work_out(core: &Core, account: &AccountId) -> Result<(Changes, Option<Time>)> {
    let now = core.clock.now();
    let mut changes = Changes::default();
    // Read first, so that whatever changes what is read after it is found by its version.
    let row = match account.is_customer() {
        true => core.store.account(account).await?,
        false => None,
    };
    let pods = PodFilter::PaidBy(account.clone());
    let pods = core.store.all_pods(pods).await?;
    if pods.is_empty()
        && let Some(farewell) = farewell::work_out(core, account).await?
    {
        return Ok((farewell, None));
    }
    let next_notice = match account.is_customer() {
        true => weigh(core, account, &pods, now, &mut changes).await?,
        false => None,
    };
    let next = if changes.pods.is_empty() {
        let (readings, next_month) = posting::due(account, &pods, now);
        settle(core, &readings, &mut changes).await?;
        next_notice.into_iter().chain(next_month).min()
    } else {
        // What else is due, and when, is worked out on what this writes.
        Some(now)
    };
    if !changes.pods.is_empty() || !changes.documents.is_empty() {
        changes
            .conditions
            .extend(row.map(|row| Condition::AccountAt {
                account: account.clone(),
                version: row.version,
            }));
    }
    if !changes.pods.is_empty() {
        changes.touch.extend(core.lockable(account));
    }
    Ok((changes, next))
}

/// Compares what a customer's account has with what it pays for. Answers when the next notice is due.
async fn weigh(
    core: &Core,
    account: &AccountId,
    pods: &[Pod],
    now: Time,
    changes: &mut Changes,
) -> Result<Option<Time>> {
    let balance = core.billing.balance(account, now).await?;
    if let Some(dry) = balance.runs_dry_at.filter(|dry| *dry < now) {
        let dry = if broken(Rule::DryIsAnInstant) {
            now
        } else {
            dry
        };
        let until = now + core.settings.volume_grace;
        change(core, pods, changes, |pod| {
            wish::run_dry(pod, account, dry, until)
        });
        settle(core, &posting::readings(account, pods, dry), changes).await?;
    } else if pays_again(&balance, account, pods) {
        change(core, pods, changes, |pod| {
            wish::fund_again(pod, account, now)
        });
    }
    let spent = match account.user() {
        Some(user) if !balance.unlimited => budget::spent(core, user).await?,
        _ => None,
    };
    let used_up = spent.as_ref().and_then(Spent::reached) == Some(Limit::Hard);
    if used_up && changes.pods.is_empty() {
        change(core, pods, changes, |pod| {
            let is_theirs = pod.terms.payer == *account && !pod.has_ended();
            is_theirs && wish::stop(pod, Reason::Budget, now)
        });
    }
    let is_same = |pod: &&Pod| changes.pods.iter().all(|after| after.id != pod.id);
    let pods = changes.pods.iter().chain(pods.iter().filter(is_same));
    let kept_until = kept(account, pods).filter_map(|v| v.kept_until).min();
    let outlook = Outlook {
        balance: &balance,
        low: core.settings.low_balance,
        kept_until,
    };
    tell(core, account, &outlook, spent.as_ref(), now, changes).await?;
    let next_limit = spent.map(|spent| spent.next(balance.burn_per_hour, now));
    Ok(outlook.next(now).into_iter().chain(next_limit).min())
}

/// The account's volumes that nobody pays for, of these pods.
fn kept<'a>(
    account: &AccountId,
    pods: impl IntoIterator<Item = &'a Pod>,
) -> impl Iterator<Item = &'a Volume> {
    let volumes = pods.into_iter().filter_map(|pod| pod.volume.as_ref());
    volumes.filter(move |v| v.payer == *account && v.kept_until.is_some())
}

/// Whether there is money for volumes that are kept without charge. What rounding leaves of a balance is none.
fn pays_again(balance: &Balance, account: &AccountId, pods: &[Pod]) -> bool {
    let rate = kept(account, pods).map(|volume| volume.rate).sum();
    balance.unlimited || balance.left() > price(rate, Duration::from_secs(60))
}

/// Changes those of `pods` that `how` changes.
fn change(core: &Core, pods: &[Pod], changes: &mut Changes, how: impl Fn(&mut Pod) -> bool) {
    let now = core.clock.now();
    for pod in pods {
        let mut after = pod.clone();
        if how(&mut after) {
            after.updated_at = now;
            changes
                .events
                .push(core.pod_event(EventKind::PodUpdate, &after));
            changes.wakes.push(Wake {
                key: WorkKey::Pod(pod.id),
                at: now,
            });
            changes.pods.push(after);
        }
    }
}

/// Tells the owner of the account on which rung he is now, if it is one further down than he was told, and which limit of his
/// budget is reached.
async fn tell(
    core: &Core,
    account: &AccountId,
    outlook: &Outlook<'_>,
    spent: Option<&Spent>,
    now: Time,
    changes: &mut Changes,
) -> Result<()> {
    let document = core.store.document(NOTICE, account.as_str(), now).await?;
    let read = |document: &Document| serde_json::from_value(document.body.clone()).ok();
    let was: Told = document.as_ref().and_then(read).unwrap_or(NOTHING);
    let told = Told {
        rung: outlook.rung(now),
        limit: spent.and_then(|spent| Some((spent.from, spent.reached()?))),
    };
    let event = |kind, body| NewEvent {
        kind,
        at: now,
        pod: None,
        owner: account.user(),
        body,
    };
    if told.rung > was.rung {
        let balance = outlook.balance;
        let body = json!({
            "rung": told.rung,
            "currentBalance": balance.left(),
            "threshold": outlook.low,
            "runsDryAt": balance.runs_dry_at,
            "keptUntil": outlook.kept_until,
            "message": message(told.rung, balance, outlook.kept_until),
        });
        changes.events.push(event(EventKind::LowBalance, body));
    }
    if let (Some(spent), Some((_, limit))) = (spent, told.limit)
        && told.limit > was.limit
    {
        let body = json!({ "limit": limit, "budget": spent });
        changes.events.push(event(EventKind::BudgetReached, body));
    }
    if told != was {
        let body = serde_json::to_value(&told)
            .map_err(|e| Error::internal("A notice can't be written.").caused_by(e))?;
        changes.documents.push(DocChange::Put(Document {
            kind: NOTICE.to_owned(),
            key: account.to_string(),
            body,
            index: [None, None, None],
            expires_at: None,
            version: document.map_or(0, |document| document.version),
        }));
    }
    Ok(())
}

fn message(rung: Rung, balance: &Balance, kept_until: Option<Time>) -> String {
    let lasts =
        |minutes| format!("Your balance lasts {minutes} more minutes; then your pods are stopped.");
    let kept = kept_until.map_or(String::new(), |until| {
        format!(" Volumes are kept until {until}; add money before that to keep them.")
    });
    match rung {
        Rung::Fine | Rung::Low => format!("Your balance is low: {} is left.", balance.left()),
        Rung::ThirtyMinutes => lasts(30),
        Rung::TenMinutes => lasts(10),
        Rung::TwoMinutes => lasts(2),
        Rung::Dry => format!("Your balance is used up, and your pods are stopped.{kept}"),
        Rung::LastNotice => format!("Your balance is used up.{kept} This is the last notice."),
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
