//! Posting what open meters have counted by the end of a UTC month, so that a month's statement is complete. Between
//! that and the end of a meter nothing is posted: totals of open meters are computed.

use std::time::Duration;

use crate::billing::Reading;
use crate::calendar::month;
use crate::funds;
use crate::id::AccountId;
use crate::pod::Pod;
use crate::store::Meter;
use crate::time::Time;
use crate::usage;

/// After the end of the month, so that every replica's clock agrees that it is over.
const MARGIN: Duration = Duration::from_secs(60);

/// What `payer` owes for the month that ended last before `now`, to be posted if it is not yet, and when the next one can
/// be; nothing if it pays for nothing.
pub(crate) fn due(payer: &AccountId, pods: &[Pod], now: Time) -> (Vec<Reading>, Option<Time>) {
    let (ended, next) = month(now);
    let readings = readings(payer, pods, ended);
    let pays = pods
        .iter()
        .any(|pod| funds::meters(payer, pod, now).next().is_some());
    let next = pays.then(|| next + MARGIN);
    (readings, next)
}

/// When what an open meter has counted from `now` on can be posted.
pub(crate) fn next(now: Time) -> Time {
    month(now).1 + MARGIN
}

/// What the meters that `payer` pays for, and that count at `at`, show then. What a volume had counted before it was kept
/// without charge was posted at that instant.
pub(crate) fn readings(payer: &AccountId, pods: &[Pod], at: Time) -> Vec<Reading> {
    let counts = |pod: &Pod, meter| match (meter, &pod.volume) {
        (Meter::Volume(_), Some(volume)) => volume.counting_since.is_some_and(|since| since <= at),
        _ => true,
    };
    let reading = |pod: &Pod, (meter, total)| {
        Some(Reading {
            meter,
            payer: payer.clone(),
            generation: match (meter, &pod.run) {
                (Meter::Run(..), Some(run)) => run.generation,
                _ => pod.generation,
            },
            total,
            last: false,
            at,
            used: usage::by(pod, meter, at)?,
        })
    };
    let of_pod = |pod| {
        let shown = funds::meters(payer, pod, at).filter(move |(meter, _)| counts(pod, *meter));
        shown.filter_map(move |shown| reading(pod, shown))
    };
    pods.iter().flat_map(of_pod).collect()
}

#[cfg(test)]
mod tests;
