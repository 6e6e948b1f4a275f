//! Posting what open meters have counted by the end of a UTC month, so that a month's statement is complete. Between
//! that and the end of a meter nothing is posted: totals of open meters are computed.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::Offset;

use crate::billing::Reading;
use crate::claimed::Claimed;
use crate::error::Result;
use crate::funds;
use crate::id::AccountId;
use crate::platform::Core;
use crate::pod::Pod;
use crate::store::{Changes, Meter, PodFilter, StoreExt, Wake, WorkKey};
use crate::time::Time;

const UTC: Offset = Offset::UTC;
/// After the end of the month, so that every replica's clock agrees that it is over.
const MARGIN: Duration = Duration::from_secs(60);

/// The work of an account that pays for an open meter from `now` on.
pub(crate) fn wake(account: &AccountId, now: Time) -> Wake {
    Wake {
        key: WorkKey::Account(account.clone()),
        at: month(now).1 + MARGIN,
    }
}

/// Posts the open meters of an account as they were when the last month ended.
pub(crate) async fn pass(core: &Core, account: &AccountId, work: &Claimed) -> Result<()> {
    let now = core.clock.now();
    let (ended, next) = month(now);
    let pods = PodFilter::PaidBy(account.clone());
    let pods = core.store.all_pods(pods).await?;
    let readings = readings(account, &pods, ended);
    let next = (!readings.is_empty()).then(|| next + MARGIN);
    let changes = Changes {
        touch: core.lockable(account).into_iter().collect(),
        meters: core.billing.settle(&readings).await?,
        finish: Some(work.finish(next, now)),
        ..Changes::default()
    };
    core.commit(changes).await
}

/// What the meters that `payer` pays for show at `at`.
fn readings(payer: &AccountId, pods: &[Pod], at: Time) -> Vec<Reading> {
    let reading = |pod: &Pod, (meter, total)| Reading {
        meter,
        payer: payer.clone(),
        generation: match (meter, &pod.run) {
            (Meter::Run(..), Some(run)) => run.generation,
            _ => pod.generation,
        },
        total,
        last: false,
        at,
    };
    pods.iter()
        .flat_map(|pod| funds::meters(payer, pod, at).map(move |shown| reading(pod, shown)))
        .collect()
}

/// The first instants of the month of `t` and of the next one, in UTC.
fn month(t: Time) -> (Time, Time) {
    let midnight = |date: Date| {
        UTC.to_timestamp(date.at(0, 0, 0, 0))
            .ok()
            .map(|t| Time::from_micros(t.as_microsecond()))
    };
    let today = jiff::Timestamp::from_microsecond(t.as_micros())
        .ok()
        .map(|t| UTC.to_datetime(t).date());
    let first = today.map(Date::first_of_month);
    let next = today.and_then(|d| d.last_of_month().tomorrow().ok());
    // Out of the calendar's range nothing is ever posted before it is closed.
    (
        first.and_then(midnight).unwrap_or(Time::EPOCH),
        next.and_then(midnight)
            .unwrap_or(Time::from_micros(i64::MAX)),
    )
}

#[cfg(test)]
mod tests;
