//! What must be true of every history, from what the engine really did and what the watched commits wrote.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use neuropod::Time;
use neuropod::id::{AccountId, DeviceId, PodId, RunId};
use neuropod::memory::Ran;
use neuropod::money::Money;
use neuropod::orchestrator::State;
use neuropod::pod::{Desired, Phase, Pod, Reason, Run};
use neuropod::store::{Meter, PodFilter, Store, StoreExt, TransferQuery};

use crate::watched::{Disturbance, Record};
use crate::world::World;

/// What a start may be seen too late, because calls are late: two delays and a refused call in between; and where
/// calls outlast a lease, by how much more.
const SEEN_LATE: Duration = Duration::from_secs(40);
const SEEN_LATER: Duration = Duration::from_secs(100);
/// What a pull and a start take.
const MAKING: Duration = Duration::from_secs(60);
/// How far the clocks of two replicas differ at most.
const SPREAD: Duration = Duration::from_secs(4);

/// After the quiet time everything is as wished, and nothing is there that nobody wished.
pub(crate) async fn at_rest(world: &World, wished: &BTreeMap<PodId, Desired>) {
    let pods = world.store.all_pods(PodFilter::Alive).await.unwrap();
    let left = world.backend.inventory();
    for pod in &pods {
        if let Some(desired) = wished.get(&pod.id)
            && pod.desired != *desired
            && pod.reason != Some(Reason::LowBalance)
        {
            world.watch.wrong(format!(
                "{}: wished {desired:?}, but the row says {:?}",
                pod.id, pod.desired
            ));
        }
        // Money may run out at any time, and what follows takes a moment.
        let now = world.replicas[0].platform.clock().now();
        let just_dry =
            pod.reason == Some(Reason::LowBalance) && now.since(pod.updated_at) < SEEN_LATER;
        if let Some(what) = unsettled(world, pod).await.filter(|_| !just_dry) {
            world.watch.wrong(format!(
                "{}: {what}: {:?} {:?} {:?}",
                pod.id,
                pod.phase(),
                pod.reason,
                pod.run
            ));
        }
    }
    for (id, desired) in wished {
        if *desired != Desired::Deleted && !pods.iter().any(|p| p.id == *id) {
            let gone = world.store.pod(*id).await.unwrap();
            if gone.is_some_and(|pod| pod.reason == Some(Reason::LowBalance)) {
                continue;
            }
            world
                .watch
                .wrong(format!("{id}: was launched, and is lost"));
        }
    }
    let open: Vec<RunId> = pods
        .iter()
        .filter_map(|p| p.run.as_ref().map(|r| p.run_id(r)))
        .collect();
    for run in left.containers.iter().map(|c| c.instance.run) {
        if !open.contains(&run) {
            world
                .watch
                .wrong(format!("{run}: a container that no open run accounts for"));
        }
    }
    check_runs(world).await;
}

/// What a pod at rest lacks.
async fn unsettled(world: &World, pod: &Pod) -> Option<&'static str> {
    let (run, now) = (pod.run.as_ref(), world.replicas[0].platform.clock().now());
    match pod.phase() {
        Phase::Running | Phase::Starting => {
            let seen = neuropod::Orchestrator::observe(&*world.backend, pod.id)
                .await
                .unwrap();
            let alive = seen
                .instances
                .iter()
                .any(|i| matches!(i.state, State::Running { .. }));
            (!alive).then_some("runs on the row, but not in the engine")
        }
        Phase::Stopped | Phase::Exited | Phase::Error => {
            (run.is_some() || !pod.devices.is_empty() || pod.hold.is_some())
                .then_some("ended, but holds a run, device or hold")
        }
        Phase::Queued => {
            let leased = world.store.leases("device/").await.unwrap();
            let all = neuropod::Orchestrator::capacity(&*world.backend)
                .await
                .unwrap()
                .devices;
            (leased.len() < all.len()).then_some("waits for a device although one is free")
        }
        Phase::Provisioning if pod.retry_at.is_some() => None,
        // It had to wait for a device that others had until just now.
        Phase::Provisioning if run.is_some_and(|run| now.since(run.opened_at) < MAKING) => None,
        Phase::Provisioning => Some("is still being made"),
        Phase::Stopping => Some("is still being stopped"),
        Phase::Deleting => Some("is still being deleted"),
    }
}

/// After everything was deleted nothing is left, and every total is exact.
pub(crate) async fn at_the_end(world: &World) {
    for pod in world.store.all_pods(PodFilter::Alive).await.unwrap() {
        world.watch.wrong(format!(
            "{}: was deleted, and is still there: {:?}",
            pod.id, pod.run
        ));
    }
    let left = world.backend.inventory();
    if !left.containers.is_empty() || !left.volumes.is_empty() {
        world
            .watch
            .wrong(format!("leaked: {:?} {:?}", left.containers, left.volumes));
    }
    for lease in world.store.leases("").await.unwrap() {
        if lease.pod.is_some() {
            world.watch.wrong(format!("leaked: {lease:?}"));
        }
    }
    check_runs(world).await;
    check_devices(world);
    check_money(world).await;
}

/// No pod runs twice at once, and what ran was written down.
async fn check_runs(world: &World) {
    let ran = world.backend.inventory().ran;
    let mut by_pod: HashMap<PodId, Vec<&Ran>> = HashMap::new();
    for one in &ran {
        by_pod.entry(one.run.pod).or_default().push(one);
    }
    let mut record = world.watch.record.lock().unwrap();
    for (pod, runs) in by_pod {
        if let Some(pair) = overlapping(&runs) {
            record.wrong(format!("{pod}: two containers ran at once: {pair:?}"));
        }
    }
    for one in &ran {
        let excused = record.disturbed.contains_key(&one.run)
            || record
                .closed
                .get(&one.run)
                .is_some_and(|c| c.reason == Some(Reason::StartTimeout));
        if !record.recorded.contains(&one.run) && !excused {
            record.wrong(format!("{}: ran, but no start was written down", one.run));
        }
    }
}

fn overlapping<'a>(runs: &[&'a Ran]) -> Option<(&'a Ran, &'a Ran)> {
    let mut sorted = runs.to_vec();
    sorted.sort_by_key(|r| r.started_at);
    sorted
        .windows(2)
        .find(|w| w[0].finished_at.is_none_or(|end| end > w[1].started_at))
        .map(|w| (w[0], w[1]))
}

/// What `elapsed` costs at `rate` per hour. The product's own sum is not asked: it is what is judged here.
pub(crate) fn price(rate: Money, elapsed: Duration) -> Money {
    let total = i128::from(rate.as_micros()) * i128::try_from(elapsed.as_micros()).unwrap();
    Money::from_micros(i64::try_from(total / 3_600_000_000).unwrap())
}

/// What a run has cost by `t`.
pub(crate) fn run_price(run: &Run, t: Time) -> Money {
    let ends = [Some(t), run.cutoff];
    let end = ends.into_iter().flatten().min().unwrap();
    let elapsed = run
        .charged_from
        .map_or(Duration::ZERO, |from| end.since(from));
    price(run.terms.run_rate, elapsed)
}

fn check_devices(world: &World) {
    let ran = world.backend.inventory().ran;
    let mut by_device: BTreeMap<&DeviceId, Vec<&Ran>> = BTreeMap::new();
    for one in &ran {
        for device in &one.devices {
            by_device.entry(device).or_default().push(one);
        }
    }
    let mut record = world.watch.record.lock().unwrap();
    for (device, runs) in by_device {
        if let Some(pair) = overlapping(&runs) {
            record.wrong(format!("{device}: two containers had it at once: {pair:?}"));
        }
    }
    // The engine refuses a device that is in use: so the platform gave it to two.
    let refused: Vec<String> = record
        .closed
        .iter()
        .filter(|(_, c)| c.reason == Some(Reason::GpuAdmission))
        .map(|(r, _)| r.to_string())
        .collect();
    for run in refused {
        record.wrong(format!(
            "{run}: was given a device that another container had"
        ));
    }
}

async fn check_money(world: &World) {
    let ran = world.backend.inventory().ran;
    let mut totals: BTreeMap<AccountId, Money> = BTreeMap::new();
    let seen_late = if world.slow { SEEN_LATER } else { SEEN_LATE };
    let closed = world.watch.record.lock().unwrap().closed.clone();
    for (id, closed) in &closed {
        let meter = Meter::Run(id.pod, id.n);
        let posted = world.store.meters(&[meter]).await.unwrap()[0];
        let mut record = world.watch.record.lock().unwrap();
        match (posted, closed.run.started_at) {
            (None, None) => {}
            (Some(_), None) => record.wrong(format!("{id}: charged, but never started")),
            (None, Some(_)) => record.wrong(format!("{id}: started, but has no total")),
            (Some(posted), Some(_)) => {
                if !posted.closed {
                    record.wrong(format!("{id}: its meter is still open"));
                }
                *totals.entry(closed.run.terms.payer.clone()).or_default() = totals
                    .get(&closed.run.terms.payer)
                    .copied()
                    .unwrap_or_default()
                    + posted.total;
                check_run(&mut record, *id, posted.total, &ran, seen_late);
            }
        }
    }
    for pod in world.store.all_pods(PodFilter::Tombstones).await.unwrap() {
        let Some(volume) = &pod.volume else { continue };
        let posted = world.store.meters(&[Meter::Volume(pod.id)]).await.unwrap()[0];
        let total = posted.map_or(Money::ZERO, |p| p.total);
        *totals.entry(volume.payer.clone()).or_default() =
            totals.get(&volume.payer).copied().unwrap_or_default() + total;
        if !volume.closed
            || total != price(volume.rate, Duration::from_micros(volume.counted_micros))
        {
            world
                .watch
                .wrong(format!("{}: volume charged {total}: {volume:?}", pod.id));
        }
    }
    for person in &world.people {
        let id = AccountId::of(person.user.id);
        let Some(account) = world.store.account(&id).await.unwrap() else {
            continue;
        };
        let query = TransferQuery {
            account: id.clone(),
            after: None,
            limit: 1000,
        };
        let transfers = world.store.transfers(&query).await.unwrap().items;
        let credits: Money = transfers
            .iter()
            .filter(|t| t.debit.as_str() == "funding")
            .map(|t| t.amount)
            .sum();
        let charged = totals.get(&id).copied().unwrap_or_default();
        if account.posted != credits - charged {
            world.watch.wrong(format!(
                "{id}: has {}, was credited {credits} and charged {charged}",
                account.posted
            ));
        }
    }
}

/// The total of one run, from when its container really started and ended.
fn check_run(record: &mut Record, id: RunId, total: Money, ran: &[Ran], seen_late: Duration) {
    let Some(closed) = record.closed.get(&id).cloned() else {
        return;
    };
    let run = &closed.run;
    let (Some(from), Some(really)) = (
        run.charged_from,
        ran.iter()
            .find(|r| r.run == id && Some(r.started_at) == run.started_at),
    ) else {
        return record.wrong(format!("{id}: charged {total}, but never ran"));
    };
    let disturbance = record.disturbed.get(&id).copied();
    let rate = run.terms.run_rate;
    let Some(finished) = really.finished_at else {
        return record.wrong(format!("{id}: closed, but runs"));
    };
    let lived = finished.since(really.started_at);
    let until_cutoff = record.cutoffs.get(&id).map(|c| c.since(from));
    // The platform loses where it must err; no clock, delay or loss charges more than the container lived.
    let slack = if disturbance.is_some() {
        SPREAD
    } else {
        Duration::ZERO
    };
    let most = until_cutoff.map_or(lived + slack, |c| c.min(lived + slack));
    if total > price(rate, most) {
        record.wrong(format!(
            "{id}: charged {total}, more than {} for {most:?}: {closed:?}",
            price(rate, most)
        ));
    }
    match disturbance {
        // Where the end was observed nothing but the delay of the first observation is lost.
        None | Some(Disturbance::Killed) => {
            let least = until_cutoff
                .map_or(lived, |c| c.min(lived))
                .saturating_sub(seen_late);
            if total < price(rate, least) {
                record.wrong(format!(
                    "{id}: charged {total}, less than {} for {least:?}: {closed:?}",
                    price(rate, least)
                ));
            }
            if disturbance.is_none() && closed.current && closed.reason == Some(Reason::Lost) {
                record.wrong(format!(
                    "{id}: was lost although nobody touched it: {closed:?}"
                ));
            }
        }
        Some(Disturbance::Vanished | Disturbance::Restarted) => {}
    }
}
