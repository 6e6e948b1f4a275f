//! What happens in a history: people press buttons, replicas die, somebody meddles with the engine; then quiet, and
//! at last everything is deleted. The oracle looks twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use neuropod::ErrorKind;
use neuropod::Launch;
use neuropod::id::{PodId, RunId};
use neuropod::pod::Desired;
use neuropod::store::{PodFilter, Store, StoreExt};

use crate::faults::Faults;
use crate::oracle;
use crate::watched::{Disturbance, Record, Watch};
use crate::world::{self, IMAGES, World};

/// How long a history is watched after the last fault: leases run out, sweeps come round.
const QUIET: Duration = Duration::from_secs(150);

/// Plays the history of `seed`; the record tells what was wrong.
pub(crate) fn play(seed: u64) -> Record {
    play_over(seed, world::memory)
}

/// Plays it over a store that is made with a seed of its own.
pub(crate) fn play_over(seed: u64, store: impl FnOnce(u64) -> Arc<dyn Store>) -> Record {
    watched(|watch| history(seed, watch, store))
}

/// Plays `history` on a clock of its own until it ends, or goes round in circles.
pub(crate) fn watched<F: Future<Output = ()>>(history: impl FnOnce(Watch) -> F) -> Record {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let watch = Watch::default();
    runtime.block_on(async {
        tokio::select! {
            biased;
            () = watch.restless() => {}
            () = history(watch.clone()) => {}
        }
    });
    drop(runtime);
    std::mem::take(&mut watch.record.lock().unwrap())
}

async fn history(seed: u64, watch: Watch, store: impl FnOnce(u64) -> Arc<dyn Store>) {
    let mut world = World::new(seed, watch, Faults::Thrown, store).await;
    let mut wished: BTreeMap<PodId, Desired> = BTreeMap::new();
    let steps = 12 + world.dice.below(30);
    for _ in 0..steps {
        tokio::time::sleep(
            world
                .dice
                .millis(0..[400, 3_000, 12_000][world.dice.below(3)]),
        )
        .await;
        act(&mut world, &mut wished).await;
    }
    world.calm_down();
    world.watch.note(|| "calm".to_owned());
    quiet().await;
    oracle::at_rest(&world, &wished).await;

    delete_all(&world).await;
    quiet().await;
    oracle::at_the_end(&world).await;
}

/// Waits as long as a history is watched after its last fault.
pub(crate) async fn quiet() {
    tokio::time::sleep(QUIET).await;
}

pub(crate) async fn delete_all(world: &World) {
    let admin = world.people[2].clone();
    for pod in world.store.all_pods(PodFilter::Alive).await.unwrap() {
        let deleted = world.replicas[0].platform.delete(&admin, pod.id).await;
        match deleted {
            // A deadline may have been quicker.
            Err(e) if *e.kind() != ErrorKind::NotFound => {
                let id = pod.id;
                world.watch.wrong(format!("{id}: can't be deleted: {e}"));
            }
            _ => {}
        }
    }
}

async fn act(world: &mut World, wished: &mut BTreeMap<PodId, Desired>) {
    let pods: Vec<_> = world.store.all_pods(PodFilter::Alive).await.unwrap();
    let some = world.dice.pick(&pods);
    match (world.dice.below(25), some) {
        (0..6, _) => launch(world, wished).await,
        (6..10, Some(pod)) => verb(world, wished, pod.id, Desired::Stopped).await,
        (10..14, Some(pod)) => verb(world, wished, pod.id, Desired::Running).await,
        (14..16, Some(pod)) => verb(world, wished, pod.id, Desired::Deleted).await,
        (16..18, _) => {
            let which = world.dice.below(2);
            world.kill(which);
        }
        (18..20, _) => world.revive(),
        (20, _) => {
            let out = world.dice.one_in(2);
            world.watch.note(|| format!("unreachable {out}"));
            world.backend.unreachable(out);
        }
        (21, _) => credit(world).await,
        (22.., Some(pod)) => meddle(world, pod.id),
        _ => launch(world, wished).await,
    }
}

async fn launch(world: &mut World, wished: &mut BTreeMap<PodId, Desired>) {
    let who = world.dice.pick(&world.people).unwrap();
    let image = world.dice.pick(&IMAGES).unwrap();
    let gpu = if world.dice.one_in(3) {
        "cpu"
    } else {
        "rtx-4050"
    };
    let mut ask = Launch::image(image).gpu(gpu).disks(10, 20);
    if world.dice.one_in(2) {
        ask = ask.port(8080);
    }
    if world.dice.one_in(5) {
        ask = ask.stop_after(world.dice.millis(60_000..90_000));
    }
    if world.dice.one_in(8) {
        ask = ask.delete_after(world.dice.millis(60_000..120_000));
    }
    let platform = replica(world);
    let limit = impatience(world);
    // A caller who goes away leaves a pod that he does not know of.
    if let Ok(Ok(pod)) = tokio::time::timeout(limit, platform.launch(&who, &ask)).await {
        world
            .watch
            .note(|| format!("launched {} {image} {gpu} for {}", pod.id, who.user.name));
        if pod.deadlines.stop_after.is_none() && pod.deadlines.delete_after.is_none() {
            wished.insert(pod.id, Desired::Running);
        }
    }
}

/// Gives the poor one something, and says so twice if the answer is late.
async fn credit(world: &mut World) {
    let some = 10_000 + 10_000 * world.dice.below(20) as i64;
    let poor = &world.people[0].user;
    let platform = replica(world);
    let id = format!("more {}", world.dice.seed());
    let limit = impatience(world);
    for _ in 0..2 {
        let credit = world::funding(poor, &id, some, platform.clock().now());
        let given = platform.book(&credit);
        if matches!(tokio::time::timeout(limit, given).await, Ok(Ok(_))) {
            break;
        }
    }
    world.watch.note(|| format!("{some} for {}", poor.name));
}

pub(crate) async fn verb(
    world: &mut World,
    wished: &mut BTreeMap<PodId, Desired>,
    id: PodId,
    desired: Desired,
) {
    let who = world.people[2].clone();
    let platform = replica(world);
    let limit = impatience(world);
    // Whatever comes of it, what was wished before is no more certain.
    let known = wished.remove(&id).is_some();
    let asked = async {
        match desired {
            Desired::Running => platform.start(&who, id).await,
            Desired::Stopped => platform.stop(&who, id).await,
            Desired::Deleted => platform.delete(&who, id).await,
        }
    };
    let answer = tokio::time::timeout(limit, asked).await;
    world.watch.note(|| {
        format!(
            "{desired:?} {id}: {:?}",
            answer.as_ref().map(|a| a.as_ref().map(|p| p.generation))
        )
    });
    if let Ok(Ok(_)) = answer
        && known
    {
        wished.insert(id, desired);
    }
}

fn replica(world: &World) -> neuropod::Platform {
    world.replicas[world.dice.below(2)].platform.clone()
}

fn impatience(world: &World) -> Duration {
    if world.dice.one_in(6) {
        world.dice.millis(0..300)
    } else {
        Duration::from_secs(60)
    }
}

pub(crate) fn meddle(world: &mut World, id: PodId) {
    let there = world.backend.inventory().containers;
    let runs = |only: Option<PodId>| -> Vec<RunId> {
        there
            .iter()
            .map(|c| c.instance.run)
            .filter(|run| only.is_none_or(|pod| run.pod == pod))
            .collect()
    };
    let (what, touched) = match world.dice.below(5) {
        0 => {
            world.backend.kill_containers(id);
            (Disturbance::Killed, runs(Some(id)))
        }
        1 => {
            world.backend.vanish_containers(id);
            (Disturbance::Vanished, runs(Some(id)))
        }
        2 => {
            world.backend.restart_containers(id);
            (Disturbance::Restarted, runs(Some(id)))
        }
        3 => {
            let observed = world.dice.one_in(2);
            world.backend.restart_engine(observed);
            (
                if observed {
                    Disturbance::Killed
                } else {
                    Disturbance::Vanished
                },
                runs(None),
            )
        }
        _ => {
            world.watch.note(|| format!("the volume of {id} vanishes"));
            return world.backend.vanish_volume(id);
        }
    };
    world.watch.note(|| format!("meddled {what:?} {touched:?}"));
    let mut record = world.watch.record.lock().unwrap();
    for run in touched {
        // What takes the evidence away outweighs what only ended it.
        if what != Disturbance::Killed || !record.disturbed.contains_key(&run) {
            record.disturbed.insert(run, what);
        }
    }
}
