//! Leasing: more pods than devices, all of which want one, for hundreds of steps, while replicas die and calls are late
//! or lost. No device is ever on two rows, or in two containers.

use std::collections::{BTreeMap, BTreeSet};

use neuropod::Launch;
use neuropod::pod::Desired;
use neuropod::rule::{Rule, break_rule};
use neuropod::store::{PodFilter, StoreExt};

use crate::driver::{self, delete_all, quiet, verb};
use crate::faults::Faults;
use crate::oracle;
use crate::watched::{Record, Watch};
use crate::world::{self, IMAGES, World};

/// Of one history.
pub(crate) const STEPS: u64 = 250;

/// So many pods at most, of a world with one or two devices.
const CROWD: usize = 6;

/// Plays the history of `seed`; the record tells what was wrong.
pub(crate) fn play(seed: u64) -> Record {
    driver::watched(|watch| history(seed, watch))
}

async fn history(seed: u64, watch: Watch) {
    let mut world = World::new(seed, watch, Faults::Thrown, world::memory).await;
    for _ in 0..STEPS {
        let longest = [100, 1_000, 8_000][world.dice.below(3)];
        tokio::time::sleep(world.dice.millis(0..longest)).await;
        act(&mut world).await;
        on_one_row_each(&world).await;
    }
    world.calm_down();
    quiet().await;
    oracle::at_rest(&world, &BTreeMap::new()).await;
    delete_all(&world).await;
    quiet().await;
    oracle::at_the_end(&world).await;
}

async fn act(world: &mut World) {
    let pods: Vec<_> = world.store.all_pods(PodFilter::Alive).await.unwrap();
    let some = world.dice.pick(&pods);
    let desired = match (world.dice.below(20), some) {
        (0..6, _) if pods.len() < CROWD => return launch(world).await,
        (0..6, Some(pod)) => (pod, Desired::Deleted),
        (6..11, Some(pod)) => (pod, Desired::Stopped),
        (11..16, Some(pod)) => (pod, Desired::Running),
        (16, Some(pod)) => return driver::meddle(world, pod.id),
        (17, _) => {
            let out = world.dice.one_in(2);
            return world.backend.unreachable(out);
        }
        (18, _) => {
            let which = world.dice.below(2);
            return world.kill(which);
        }
        _ => return world.revive(),
    };
    verb(world, &mut BTreeMap::new(), desired.0.id, desired.1).await;
}

async fn launch(world: &mut World) {
    let who = world.dice.pick(&world.people).unwrap();
    let image = world.dice.pick(&IMAGES).unwrap();
    let ask = Launch::image(image).gpu("rtx-4050").disks(10, 20);
    let platform = world.replicas[world.dice.below(2)].platform.clone();
    // Refused for want of money, or lost: what counts is who gets the devices.
    let _ = platform.launch(&who, &ask).await;
}

async fn on_one_row_each(world: &World) {
    let mut leased = BTreeSet::new();
    for pod in world.store.all_pods(PodFilter::Alive).await.unwrap() {
        for device in &pod.devices {
            if !leased.insert(device.clone()) {
                world.watch.wrong(format!("{device} is on two rows"));
            }
        }
    }
}

/// The same without the rule that a device outlives the run it was leased for.
#[test]
fn a_device_that_is_free_too_early_is_given_to_two() {
    let _broken = break_rule(Rule::DevicesOutliveClose);
    let mut violations = (0..1000).flat_map(|seed| play(seed).violations);
    let twice = |v: &String| v.contains("had it at once") || v.contains("another container had");
    let found = violations.find(twice);
    println!("{}", found.expect("nobody noticed"));
}
