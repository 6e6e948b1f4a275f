//! Pods that are launched and ended in each way a user has, on a real engine: what each is billed for is what the engine
//! itself says that its container ran, within a second.
//!
//! `NEUROPOD_SEED` repeats the ways and the moments, `NEUROPOD_LIFECYCLES` says how many.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::query_parameters::EventsOptionsBuilder;
use futures::StreamExt;
use futures::stream;
use neuropod::Store;
use neuropod::id::PodId;
use neuropod::money::price;
use neuropod::pod::Run;
use neuropod::store::Meter;
use serde_json::json;
use tokio::task::AbortHandle;

use crate::given::given;
use crate::shop::{Customer, Shop, WITHIN};
use crate::{alone, folder};

const EXACT_TO: Duration = Duration::from_secs(1);
/// So many live at once.
const TOGETHER: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Stop,
    Delete,
    Deadline,
}

#[tokio::test]
async fn what_is_billed_is_what_the_engine_says_that_it_ran() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let seed = number("NEUROPOD_SEED").unwrap_or_else(|| fastrand::u64(..));
    let lives = number("NEUROPOD_LIFECYCLES").unwrap_or(10);
    println!("NEUROPOD_SEED={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let folder = folder("lifecycles");
    let database = format!("sqlite://{}/lives.db", folder.display());
    let shop = Shop::open(&folder, &docker, &database, "27000-27999").await;
    let installation = shop.store.installation().await.unwrap();
    let clock = EngineClock::watch(&docker, &installation);
    let ana = shop.rich("ana").await;
    let ways = (0..lives).map(|n| {
        let way = [Way::Stop, Way::Delete, Way::Deadline][n as usize % 3];
        (way, Duration::from_millis(dice.u64(0..2500)))
    });
    let lived = stream::iter(ways.collect::<Vec<_>>()).map(|(way, after)| {
        let (shop, ana, clock) = (&shop, &ana, &clock);
        async move {
            let (pod, run) = live(shop, ana, way, after).await;
            let charged = shop.charged(ana, Meter::Run(pod, run.n)).await;
            let billed = charged.to.since(charged.from);
            assert_eq!(charged.amount, price(run.terms.run_rate, billed));
            let ran = clock.ran(pod).await;
            let off = billed.abs_diff(ran);
            assert!(
                off <= EXACT_TO,
                "{way:?}: billed {billed:.3?}, ran {ran:.3?}"
            );
            off
        }
    });
    let off: Vec<Duration> = lived.buffer_unordered(TOGETHER).collect().await;
    shop.close(&[&ana]).await;
    std::fs::remove_dir_all(&folder).unwrap();
    // Past the test harness, which keeps what a test that passes has printed to itself.
    let most = off.into_iter().max().unwrap_or_default();
    let told = format!("{lives} lifecycles: billed within {most:.3?} of what the engine says\n");
    std::io::stderr().write_all(told.as_bytes()).unwrap();
}

/// One life, until its run is closed: ended so long `after` its start, if not by a deadline.
async fn live(shop: &Shop, ana: &Customer, way: Way, after: Duration) -> (PodId, Run) {
    let more = match way {
        Way::Deadline => json!({ "stopAfter": "4s" }),
        Way::Stop | Way::Delete => json!({}),
    };
    let pod = shop.launch(ana, &more).await;
    let run = shop.running(pod).await;
    match way {
        Way::Deadline => {}
        Way::Stop => {
            tokio::time::sleep(after).await;
            shop.stop(ana, pod).await;
        }
        Way::Delete => {
            tokio::time::sleep(after).await;
            shop.delete(ana, pod).await;
        }
    }
    shop.until(pod, |pod| pod.run.is_none()).await;
    if way != Way::Delete {
        shop.delete(ana, pod).await;
    }
    (pod, run)
}

/// When containers started and died, by the engine's own clock.
struct EngineClock {
    times: Arc<Mutex<BTreeMap<String, [Option<i64>; 2]>>>,
    watch: AbortHandle,
}

impl EngineClock {
    fn watch(host: &str, installation: &str) -> Self {
        let docker = Docker::connect_with_host(host).unwrap();
        let ours = format!("neuropod.io/instance={installation}");
        let kinds = ["start", "die"].map(str::to_owned).to_vec();
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![ours]),
            ("event".to_owned(), kinds),
        ]);
        let options = EventsOptionsBuilder::new().filters(&filters).build();
        let times = Arc::new(Mutex::new(BTreeMap::new()));
        let kept = Arc::clone(&times);
        let watch = tokio::spawn(async move {
            let mut events = docker.events(Some(options));
            while let Some(event) = events.next().await {
                let event = event.expect("the engine's events can be read");
                let labels = event.actor.and_then(|actor| actor.attributes);
                let pod = labels.unwrap_or_default()["neuropod.io/pod-id"].clone();
                let which = usize::from(event.action.as_deref() == Some("die"));
                let mut kept = kept.lock().unwrap();
                let times: &mut [Option<i64>; 2] = kept.entry(pod).or_default();
                times[which] = event.time_nano;
            }
        });
        Self {
            times,
            watch: watch.abort_handle(),
        }
    }

    /// How long the only container of the pod ran; its end was told, or is about to be.
    async fn ran(&self, pod: PodId) -> Duration {
        let deadline = Instant::now() + WITHIN;
        loop {
            let times = self.times.lock().unwrap().get(&pod.to_string()).copied();
            if let Some([Some(start), Some(end)]) = times {
                return Duration::from_nanos(u64::try_from(end - start).unwrap());
            }
            assert!(Instant::now() < deadline, "{pod}: {times:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for EngineClock {
    fn drop(&mut self) {
        self.watch.abort();
    }
}
