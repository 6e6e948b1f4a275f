//! What an account has, may spend, and when it runs dry: pure functions over rows, judged by stores inside the one
//! write and by anybody else on what they read.

use std::time::Duration;

use crate::id::{AccountId, PodId};
use crate::money::{Money, price};
use crate::pod::{Pod, Run, Volume};
use crate::store::{Account, Meter, Posted};
use crate::time::Time;

/// How long `run` is charged for if it is looked at (or ended) at `t`, in our time: from its start, never past its
/// cutoff.
pub fn charged(run: &Run, t: Time) -> Duration {
    let Some(from) = run.charged_from else {
        return Duration::ZERO;
    };
    run.cutoff.map_or(t, |c| t.min(c)).since(from)
}

/// What an open run has cost by `t`, if it runs until then: its last total is never above this. A list that has missed it
/// does not lower that, since what is left of its container may still tell when it ended.
pub fn run_total(run: &Run, t: Time) -> Money {
    price(run.terms.run_rate, charged(run, t))
}

/// What a volume has cost by `t`.
pub fn volume_total(volume: &Volume, t: Time) -> Money {
    price(volume.rate, volume.elapsed(t))
}

/// The meters of a pod that `payer` pays for, with their totals at `t`.
pub fn meters<'a>(
    payer: &'a AccountId,
    pod: &'a Pod,
    t: Time,
) -> impl Iterator<Item = (Meter, Money)> + 'a {
    let run = pod
        .run
        .as_ref()
        .filter(|r| r.terms.payer == *payer)
        .map(|r| (Meter::Run(pod.id, r.n), run_total(r, t)));
    let volume = pod
        .volume
        .as_ref()
        .filter(|v| v.payer == *payer)
        .map(|v| (Meter::Volume(pod.id), volume_total(v, t)));
    run.into_iter().chain(volume)
}

/// The balance at `t`: what is posted, less what the meters of `pods` have counted and nobody has posted yet.
/// `posted` tells what was posted of a meter.
pub fn balance<'a>(
    account: &'a Account,
    pods: impl IntoIterator<Item = &'a Pod>,
    posted: impl Fn(Meter) -> Option<Posted>,
    t: Time,
) -> Money {
    let unposted = pods
        .into_iter()
        .flat_map(|pod| meters(&account.id, pod, t))
        .map(|(meter, total)| match posted(meter) {
            Some(Posted { closed: true, .. }) => Money::ZERO,
            Some(Posted { total: before, .. }) => (total - before).at_least_zero(),
            None => total,
        });
    account.posted - unposted.sum()
}

/// The last instant at which the balance is not below nothing, if all goes on as it does; `None` if it never will be.
/// With rounding it may never be nothing exactly.
pub fn runs_dry_at<'a>(
    account: &'a Account,
    pods: impl IntoIterator<Item = &'a Pod> + Clone,
    posted: impl Fn(Meter) -> Option<Posted>,
) -> Option<Time> {
    let is_funded = |micros| {
        let t = Time::from_micros(micros);
        balance(account, pods.clone(), &posted, t) >= Money::ZERO
    };
    // Totals only rise with time, so there is one such instant; a run or volume counts nothing before it began.
    let (mut funded, mut dry) = (Time::EPOCH.as_micros(), i64::MAX);
    if is_funded(dry) {
        return None;
    }
    while dry - funded > 1 {
        let middle = funded + (dry - funded) / 2;
        if is_funded(middle) {
            funded = middle;
        } else {
            dry = middle;
        }
    }
    Some(Time::from_micros(funded))
}

/// What the open meters of `pods` that `payer` pays for count per hour at `t`.
pub fn burn<'a>(payer: &AccountId, pods: impl IntoIterator<Item = &'a Pod>, t: Time) -> Money {
    let of_pod = |pod: &Pod| {
        let run = pod.run.as_ref().filter(|run| {
            run.terms.payer == *payer
                && run.charged_from.is_some()
                && run.cutoff.is_none_or(|cutoff| cutoff > t)
        });
        let volume = pod.volume.as_ref();
        let volume = volume.filter(|v| v.payer == *payer && v.counting_since.is_some());
        run.map_or(Money::ZERO, |run| run.terms.run_rate)
            + volume.map_or(Money::ZERO, |volume| volume.rate)
    };
    pods.into_iter().map(of_pod).sum()
}

/// What may be held at `t`: the balance less what is held and not used up yet. `except` leaves out that pod's own
/// hold, so that a restart of the last affordable pod is not refused.
pub fn available<'a>(
    account: &'a Account,
    pods: impl IntoIterator<Item = &'a Pod> + Clone,
    posted: impl Fn(Meter) -> Option<Posted>,
    except: Option<PodId>,
    t: Time,
) -> Money {
    let held = pods
        .clone()
        .into_iter()
        .filter(|pod| Some(pod.id) != except)
        .filter_map(|pod| {
            let hold = pod.hold.as_ref().filter(|h| h.payer == account.id)?;
            let used = pod
                .run
                .as_ref()
                .filter(|r| r.generation == hold.generation)
                .map_or(Money::ZERO, |r| run_total(r, t));
            Some((hold.amount - used).at_least_zero())
        });
    let held: Money = held.sum();
    balance(account, pods, posted, t) - held
}

#[cfg(test)]
mod tests;
