//! One pod's life in which each call in turn goes wrong: the replica dies before it arrives, after it took effect, or so
//! that it takes effect after the restart; or it is slow. The pod's owner repeats what was not answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use neuropod::id::{AccountId, PodId};
use neuropod::money::Money;
use neuropod::pod::{Desired, Pod, Reason};
use neuropod::store::{PodFilter, StoreExt};
use neuropod::{Launch, Platform, Result};
use tokio::sync::Notify;

use crate::driver;
use crate::faults::{Faults, Once, Point};
use crate::oracle;
use crate::watched::{Record, Watch};
use crate::world::{self, World};

/// How long the owner waits between what he asks for: a lease runs out, a late call arrives, a sweep comes round.
const BETWEEN: Duration = Duration::from_secs(60);

/// So late that what the owner asks for next, two waits later, is done.
pub(crate) const VERY_LATE: Duration = Duration::from_secs(150);

/// What a life is of.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A pod of this image, whose owner starts and stops it.
    Of(&'static str),
    /// A pod whose owner's money runs out, and comes again in time, and runs out for good.
    Dry,
}

const KINDS: [Kind; 3] = [Kind::Of("pulled"), Kind::Of("short"), Kind::Dry];

/// Each life that differs in what goes wrong with which call.
pub(crate) fn lives() -> impl Iterator<Item = (String, Record)> {
    let kinds = KINDS
        .into_iter()
        .flat_map(|kind| Point::ALL.map(|point| (kind, point)));
    // By then the money is gone, and with it the next run.
    let kinds = kinds.filter(|which| !matches!(which, (Kind::Dry, Point::NextRun)));
    kinds.flat_map(|(kind, point)| {
        let (whole, calls) = play(kind, u64::MAX, point);
        let whole = (format!("{kind:?}, {calls} calls"), whole);
        let others = (1..=calls).map(move |at| {
            let (record, _) = play(kind, at, point);
            (format!("{kind:?}, call {at}, {point:?}"), record)
        });
        std::iter::once(whole).chain(others)
    })
}

/// The life whose `at`th call goes wrong; and how many calls there were.
fn play(kind: Kind, at: u64, point: Point) -> (Record, u64) {
    let once = Arc::new(Once {
        at,
        point,
        calls: AtomicU64::new(0),
        died: Notify::new(),
    });
    let record = driver::watched(async |watch| match kind {
        Kind::Of(image) => life(image, once.clone(), watch).await,
        Kind::Dry => dry(once.clone(), watch).await,
    });
    (record, once.calls.load(Ordering::Relaxed))
}

async fn life(image: &'static str, once: Arc<Once>, watch: Watch) {
    let mut world = World::new(1, watch, Faults::Once(once.clone()), world::memory).await;
    let id = launched(&mut world, &once, image, RICH).await;
    for desired in [Desired::Running, Desired::Stopped, Desired::Running] {
        ask(&mut world, &once, id, desired).await;
        or_death(&mut world, &once, tokio::time::sleep(BETWEEN)).await;
        tokio::time::sleep(BETWEEN).await;
        oracle::at_rest(&world, &BTreeMap::from([(id, desired)])).await;
    }
    ask(&mut world, &once, id, Desired::Deleted).await;
    or_death(&mut world, &once, tokio::time::sleep(BETWEEN)).await;
    tokio::time::sleep(BETWEEN).await;
    oracle::at_the_end(&world).await;
}

/// The people of a world, by their place.
const POOR: usize = 0;
const RICH: usize = 1;

/// The seed of a world whose poor one has enough for half a minute.
const SHORT_OF_MONEY: u64 = 5;
/// What he gets when that is spent.
const MORE: Money = Money::from_micros(40_000);

/// The life of a pod that lasts as long as its owner's money. Whatever goes wrong, all of that is spent and no more, as if
/// nothing had.
async fn dry(once: Arc<Once>, watch: Watch) {
    let mut world = World::new(
        SHORT_OF_MONEY,
        watch,
        Faults::Once(once.clone()),
        world::memory,
    )
    .await;
    let id = launched(&mut world, &once, "pulled", POOR).await;
    until(&mut world, &once, id, |pod| {
        pod.reason == Some(Reason::LowBalance)
    })
    .await;
    let pod = world.store.pod(id).await.unwrap().unwrap();
    // A launch that was very late may have come to its end before anybody looked.
    if pod.desired != Desired::Deleted {
        credit(&mut world, &once).await;
        start(&mut world, &once, id).await;
    }
    until(&mut world, &once, id, Pod::is_tombstone).await;
    tokio::time::sleep(BETWEEN).await;
    oracle::at_the_end(&world).await;
    let account = AccountId::of(world.people[POOR].user.id);
    let left = world.store.account(&account).await.unwrap().unwrap().posted;
    // A run and a volume round down once each, every time that nothing is left. Money that was very late found no pod.
    let rounded = |left: Money| Money::ZERO <= left && left <= Money::from_micros(4);
    if !rounded(left) && !rounded(left - MORE) {
        world.watch.wrong(format!("{left} is left"));
    }
}

/// Waits until the pod is like that.
async fn until(world: &mut World, once: &Once, id: PodId, is_so: impl Fn(&Pod) -> bool) {
    for _ in 0..1_000 {
        or_death(world, once, tokio::time::sleep(Duration::from_secs(1))).await;
        if is_so(&world.store.pod(id).await.unwrap().unwrap()) {
            return;
        }
    }
    world.watch.wrong(format!("{id}: nothing comes of it"));
}

/// By the poor one, who asks again if nobody answers. By then the pod may be gone.
async fn start(world: &mut World, once: &Once, id: PodId) {
    let who = world.people[POOR].clone();
    let platform = world.replicas[0].platform.clone();
    if or_death(world, once, platform.start(&who, id))
        .await
        .is_none()
    {
        drop(platform.start(&who, id).await);
    }
}

/// Money for the poor one, told again if nobody answers.
async fn credit(world: &mut World, once: &Once) {
    let user = world.people[POOR].user.clone();
    let platform = world.replicas[0].platform.clone();
    let credit = world::funding(&user, "more", MORE.as_micros(), platform.clock().now());
    while or_death(world, once, platform.book(&credit))
        .await
        .is_none()
    {}
}

/// Does `what`, unless the replica dies first; then it is started again a second later.
async fn or_death<T>(world: &mut World, once: &Once, what: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = once.died.notified() => {}
        done = what => return Some(done),
    }
    world.kill(0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.revive();
    None
}

/// A launch that was not answered may have been accepted; only who looks can know.
async fn launched(world: &mut World, once: &Once, image: &str, who: usize) -> PodId {
    let who = world.people[who].clone();
    let ask = Launch::image(image)
        .gpu("rtx-4050")
        .disks(10, 20)
        .port(8080);
    let platform = world.replicas[0].platform.clone();
    if let Some(pod) = or_death(world, once, platform.launch(&who, &ask)).await {
        return pod.unwrap().id;
    }
    tokio::time::sleep(VERY_LATE + BETWEEN).await;
    let there = world.store.all_pods(PodFilter::Alive).await.unwrap();
    let gone = world.store.all_pods(PodFilter::Tombstones).await.unwrap();
    match there.iter().chain(&gone).next() {
        Some(pod) => pod.id,
        None => platform.launch(&who, &ask).await.unwrap().id,
    }
}

async fn ask(world: &mut World, once: &Once, id: PodId, desired: Desired) {
    let platform = world.replicas[0].platform.clone();
    let who = world.people[RICH].clone();
    let asked = async |platform: &Platform| -> Result<Pod> {
        match desired {
            Desired::Running => platform.start(&who, id).await,
            Desired::Stopped => platform.stop(&who, id).await,
            Desired::Deleted => platform.delete(&who, id).await,
        }
    };
    match or_death(world, once, asked(&platform)).await {
        Some(answer) => drop(answer.unwrap()),
        // Done already is no error, but for what is gone already.
        None => drop(asked(&platform).await),
    }
}
