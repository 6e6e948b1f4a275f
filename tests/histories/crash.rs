//! One pod's life, cut short at every call in turn: the replica dies before the call arrives, after it took effect, or
//! so that it takes effect after the restart. The pod's owner repeats what was not answered.

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
use crate::faults::{Crash, Faults, Point};
use crate::oracle;
use crate::watched::{Record, Watch};
use crate::world::{self, World};

/// How long the owner waits between what he asks for: a lease runs out, a late call arrives, a sweep comes round.
const BETWEEN: Duration = Duration::from_secs(60);

/// The life of a pod of `image`, whose replica dies at its `at`th call; and how many calls there were.
pub(crate) fn play(image: &'static str, at: u64, point: Point) -> (Record, u64) {
    let crash = Arc::new(Crash {
        at,
        point,
        calls: AtomicU64::new(0),
        now: Notify::new(),
    });
    let record = driver::watched(|watch| life(image, crash.clone(), watch));
    (record, crash.calls.load(Ordering::Relaxed))
}

async fn life(image: &'static str, crash: Arc<Crash>, watch: Watch) {
    let mut world = World::new(1, watch, Faults::Crash(crash.clone()), world::memory).await;
    let id = launched(&mut world, &crash, image).await;
    for desired in [Desired::Running, Desired::Stopped, Desired::Running] {
        ask(&mut world, &crash, id, desired).await;
        or_crash(&mut world, &crash, tokio::time::sleep(BETWEEN)).await;
        tokio::time::sleep(BETWEEN).await;
        oracle::at_rest(&world, &BTreeMap::from([(id, desired)])).await;
    }
    ask(&mut world, &crash, id, Desired::Deleted).await;
    or_crash(&mut world, &crash, tokio::time::sleep(BETWEEN)).await;
    tokio::time::sleep(BETWEEN).await;
    oracle::at_the_end(&world).await;
}

/// Does `what`, unless the replica dies first; then it is started again a second later.
async fn or_crash<T>(world: &mut World, crash: &Crash, what: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = crash.now.notified() => {}
        done = what => return Some(done),
    }
    world.kill(0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.revive();
    None
}

/// A launch that was not answered may have been accepted; only who looks can know.
async fn launched(world: &mut World, crash: &Crash, image: &str) -> PodId {
    let who = world.people[1].clone();
    let ask = Launch::image(image)
        .gpu("rtx-4050")
        .disks(10, 20)
        .port(8080);
    let platform = world.replicas[0].platform.clone();
    if let Some(pod) = or_crash(world, crash, platform.launch(&who, &ask)).await {
        return pod.unwrap().id;
    }
    tokio::time::sleep(BETWEEN).await;
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

async fn ask(world: &mut World, crash: &Crash, id: PodId, desired: Desired) {
    let platform = world.replicas[0].platform.clone();
    let who = world.people[1].clone();
    let asked = async |platform: &Platform| -> Result<Pod> {
        match desired {
            Desired::Running => platform.start(&who, id).await,
            Desired::Stopped => platform.stop(&who, id).await,
            Desired::Deleted => platform.delete(&who, id).await,
        }
    };
    match or_crash(world, crash, asked(&platform)).await {
        Some(answer) => drop(answer.unwrap()),
        // Done already is no error, but for what is gone already.
        None => drop(asked(&platform).await),
    }
}
