//! What belongs into a write that opens, posts or closes meters, whoever writes it.

use std::collections::BTreeSet;

use crate::billing::Reading;
use crate::decide::End;
use crate::error::Result;
use crate::id::AccountId;
use crate::money::Money;
use crate::platform::Core;
use crate::pod::{Pod, Run};
use crate::store::{Changes, Meter};
use crate::time::Time;
use crate::{funds, usage};

/// What the meters of `pod` show that its first run opens, or a later one: nothing so far.
pub(crate) fn opened(pod: &Pod, now: Time) -> Vec<Reading> {
    let run = pod.run.as_ref().map(|run| {
        let meter = Meter::Run(pod.id, run.n);
        (meter, &run.terms.payer, run.generation)
    });
    let volume = pod.volume.as_ref();
    let volume = volume.map(|volume| (Meter::Volume(pod.id), &volume.payer, pod.generation));
    let reading = |(meter, payer, generation): (Meter, &AccountId, u64)| {
        Some(Reading {
            meter,
            payer: payer.clone(),
            generation,
            total: Money::ZERO,
            last: false,
            at: now,
            used: usage::by(pod, meter, now)?,
        })
    };
    run.into_iter().chain(volume).filter_map(reading).collect()
}

/// What the meter of `run` shows at last, if it ended like this and was looked at and last seen then.
pub(crate) fn closed(
    pod: &Pod,
    run: &Run,
    end: &End,
    (seen_at, last_seen): (Time, Time),
    now: Time,
) -> Reading {
    Reading {
        meter: Meter::Run(pod.id, run.n),
        payer: run.terms.payer.clone(),
        generation: run.generation,
        total: end.total(run, seen_at, last_seen),
        last: true,
        at: now,
        used: usage::of_run(pod, run, end.charged(run, seen_at, last_seen)),
    }
}

/// Adds what the volume of `pod` has come to, if it counts no more. That is posted with the delete itself: until nothing is
/// left of the pod its owner could spend it otherwise.
pub(crate) async fn close_volume(core: &Core, pod: &Pod, changes: &mut Changes) -> Result<()> {
    let now = core.clock.now();
    let Some(volume) = pod.volume.as_ref().filter(|volume| volume.closed) else {
        return Ok(());
    };
    let reading = Reading {
        meter: Meter::Volume(pod.id),
        payer: volume.payer.clone(),
        generation: pod.generation,
        total: funds::volume_total(volume, now),
        last: true,
        at: now,
        used: usage::of_volume(pod, volume, now),
    };
    settle(core, &[reading], changes).await
}

/// Adds what `readings` lead to, and locks who pays.
pub(crate) async fn settle(core: &Core, readings: &[Reading], changes: &mut Changes) -> Result<()> {
    let payers: BTreeSet<&AccountId> = readings.iter().map(|reading| &reading.payer).collect();
    let lockable = payers.into_iter().filter_map(|payer| core.lockable(payer));
    changes.touch.extend(lockable);
    let settlement = core.billing.settle(readings).await?;
    changes.meters.extend(settlement.totals);
    changes.conditions.extend(settlement.conditions);
    Ok(())
}
