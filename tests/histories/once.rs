//! One pod's life in which each call in turn goes wrong: the replica dies before it arrives, after it took effect, or so
//! that it takes effect after the restart; or it is slow. The pod's owner repeats what was not answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use neuropod::id::PodId;
use neuropod::pod::{Desired, Pod};
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

/// Each life that differs in what goes wrong with which call.
pub(crate) fn lives() -> impl Iterator<Item = (String, Record)> {
    let kinds = ["pulled", "short"]
        .into_iter()
        .flat_map(|image| Point::ALL.map(|point| (image, point)));
    kinds.flat_map(|(image, point)| {
        let (whole, calls) = play(image, u64::MAX, point);
        let whole = (format!("{image}, {calls} calls"), whole);
        let others = (1..=calls).map(move |at| {
            let (record, _) = play(image, at, point);
            (format!("{image}, call {at}, {point:?}"), record)
        });
        std::iter::once(whole).chain(others)
    })
}

/// The life of a pod of `image` whose `at`th call goes wrong; and how many calls there were.
fn play(image: &'static str, at: u64, point: Point) -> (Record, u64) {
    let once = Arc::new(Once {
        at,
        point,
        calls: AtomicU64::new(0),
        died: Notify::new(),
    });
    let record = driver::watched(|watch| life(image, once.clone(), watch));
    (record, once.calls.load(Ordering::Relaxed))
}

async fn life(image: &'static str, once: Arc<Once>, watch: Watch) {
    let mut world = World::new(1, watch, Faults::Once(once.clone()), world::memory).await;
    let id = launched(&mut world, &once, image).await;
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
async fn launched(world: &mut World, once: &Once, image: &str) -> PodId {
    let who = world.people[1].clone();
    let ask = Launch::image(image)
        .gpu("rtx-4050")
        .disks(10, 20)
        .port(8080);
    let platform = world.replicas[0].platform.clone();
    if let Some(pod) = or_death(world, once, platform.launch(&who, &ask)).await {
        return pod.unwrap().id;
    }
    tokio::time::sleep(VERY_LATE + BETWEEN).await;
    match world
        .store
        .all_pods(PodFilter::Alive)
        .await
        .unwrap()
        .first()
    {
        Some(pod) => pod.id,
        None => platform.launch(&who, &ask).await.unwrap().id,
    }
}

async fn ask(world: &mut World, once: &Once, id: PodId, desired: Desired) {
    let platform = world.replicas[0].platform.clone();
    let who = world.people[1].clone();
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
