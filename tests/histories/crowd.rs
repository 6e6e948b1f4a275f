//! A thousand accounts whose money runs out in the same second, and an engine whose clock jumps meanwhile: all are stopped in
//! time, none early, and what is charged is what there was.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use neuropod::auth::{AllowAll, Identity};
use neuropod::billing::Prepaid;
use neuropod::id::{AccountId, Entropy, UserId};
use neuropod::memory::{Behaviour, MemoryOrchestrator, MemoryStore};
use neuropod::money::Money;
use neuropod::pod::{Pod, Reason};
use neuropod::store::{Changes, PodFilter, Store, StoreExt};
use neuropod::time::SystemClock;
use neuropod::user::{Role, User};
use neuropod::{Clock, Launch, Platform, Time};

use crate::world::funding;

const START: &str = "2026-11-24T12:00:00Z";
/// Of five an hour.
const LASTS: Duration = Duration::from_secs(300);

/// A clock that somebody sets while it runs.
#[derive(Debug, Clone)]
struct Jumping {
    steady: SystemClock,
    micros: Arc<AtomicI64>,
}

impl Jumping {
    fn jump(&self, seconds: i64) {
        self.micros
            .fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }
}

impl Clock for Jumping {
    fn now(&self) -> Time {
        let now = self.steady.now().as_micros();
        Time::from_micros(now + self.micros.load(Ordering::Relaxed))
    }
}

struct Crowd {
    platform: Platform,
    store: Arc<MemoryStore>,
    engine: MemoryOrchestrator,
    clock: Jumping,
    people: Vec<Identity>,
}

/// So many clients, each with a pod that runs and money for [`LASTS`] of it.
async fn crowd(many: usize) -> Crowd {
    let steady = SystemClock::anchored(START.parse().unwrap());
    let clock = Jumping {
        steady: steady.clone(),
        micros: Arc::default(),
    };
    let stays = Behaviour {
        ends_within: Some(Duration::ZERO),
        ..Behaviour::default()
    };
    let engine = MemoryOrchestrator::builder()
        .clock(clock.clone())
        .image("stays", stays)
        .build();
    let store = Arc::new(MemoryStore::seeded(1));
    let billing = Prepaid::new(store.clone()).hold_for(Duration::from_secs(1));
    let platform = Platform::builder()
        .orchestrator(engine.clone())
        .store(store.clone())
        .billing(billing.clone())
        .auth(AllowAll)
        .clock(steady)
        .entropy(Entropy::seeded(1))
        .build()
        .await
        .unwrap();
    let entropy = Entropy::seeded(2);
    let mut people = Vec::new();
    for n in 0..many {
        let user = User {
            id: UserId::random(&entropy),
            name: format!("{n}"),
            role: Role::Client,
            version: 0,
            ..Identity::local().user
        };
        let users = vec![user.clone()];
        let known = Changes {
            users,
            ..Changes::default()
        };
        store.commit(&known).await.unwrap();
        // 2.6 an hour.
        let amount = 2_600_000 * i64::try_from(LASTS.as_secs()).unwrap() / 3_600;
        let given = funding(&user, "all", amount, platform.clock().now());
        platform.book(&given).await.unwrap();
        let who = Identity {
            user: User { version: 1, ..user },
            session: None,
        };
        let ask = Launch::image("stays").disks(10, 20);
        platform.launch(&who, &ask).await.unwrap();
        people.push(who);
    }
    Crowd {
        platform,
        store,
        engine,
        clock,
        people,
    }
}

impl Crowd {
    async fn run(&self, time: Duration) {
        self.platform.run(tokio::time::sleep(time)).await;
    }

    async fn pods(&self) -> Vec<Pod> {
        self.store.all_pods(PodFilter::Alive).await.unwrap()
    }

    /// What is left of each account.
    async fn left(&self) -> Vec<Money> {
        let now = self.platform.clock().now();
        let mut left = Vec::new();
        for who in &self.people {
            let account = AccountId::of(who.user.id);
            left.push(
                self.platform
                    .billing()
                    .balance(&account, now)
                    .await
                    .unwrap()
                    .left(),
            );
        }
        left
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_accounts_that_run_dry_at_once_are_stopped_in_two_seconds() {
    let crowd = crowd(1_000).await;
    crowd.run(LASTS / 2).await;
    let running = crowd.pods().await;
    let dry = |pod: &Pod| pod.run.as_ref().unwrap().charged_from.unwrap() + LASTS;
    let dry: Vec<Time> = running.iter().map(dry).collect();
    let (first, last) = (dry.iter().min().unwrap(), dry.iter().max().unwrap());
    assert!(
        last.since(*first) <= Duration::from_secs(1),
        "in the same second"
    );
    crowd.run(first.since(crowd.platform.clock().now())).await;
    let early = crowd
        .pods()
        .await
        .iter()
        .filter(|pod| pod.reason.is_some())
        .count();
    assert_eq!(early, 0);
    crowd.run(last.since(*first) + Duration::from_secs(2)).await;

    let ran = crowd.engine.inventory().ran;
    assert_eq!(ran.len(), 1_000);
    for (pod, dry) in crowd.pods().await.iter().zip(&dry) {
        assert_eq!(pod.reason, Some(Reason::LowBalance), "{}", pod.id);
        let ran = ran.iter().find(|ran| ran.run.pod == pod.id).unwrap();
        let ended = ran.finished_at.expect("it was stopped");
        assert!(
            ended >= *dry && ended.since(*dry) <= Duration::from_secs(2),
            "{ended} {dry}"
        );
    }
    crowd.run(Duration::from_secs(60)).await;
    let crumbs = |left: &Money| *left >= Money::ZERO && *left <= Money::from_micros(2);
    let left = crowd.left().await;
    assert!(left.iter().all(crumbs), "{left:?}");
}

/// A clock of the engine that jumps charges nobody for time that did not pass, and gives nobody less than nothing.
#[tokio::test(start_paused = true)]
async fn whatever_the_engines_clock_does_nothing_is_charged_that_did_not_pass() {
    const HOUR: i64 = 3_600;
    for seconds in [1, -1, HOUR, -HOUR, 400 * 24 * HOUR, -400 * 24 * HOUR] {
        let crowd = crowd(4).await;
        crowd.run(LASTS / 4).await;
        let before: Vec<_> = crowd.pods().await;
        let given = crowd.left().await;
        crowd.clock.jump(seconds);
        crowd.run(LASTS / 4).await;
        // One ends by its owner, one by somebody else, one vanishes; one goes on until nothing is left.
        crowd
            .platform
            .stop(&crowd.people[0], before[0].id)
            .await
            .unwrap();
        crowd.engine.kill_containers(before[1].id);
        crowd.engine.vanish_containers(before[2].id);
        crowd.run(LASTS / 4).await;
        for (who, before) in crowd.people.iter().zip(&given) {
            let account = AccountId::of(who.user.id);
            let now = crowd.platform.clock().now();
            let balance = crowd
                .platform
                .billing()
                .balance(&account, now)
                .await
                .unwrap();
            let most = 2_600_000 * i64::try_from(LASTS.as_secs()).unwrap() / 3_600 / 2;
            let spent = *before - balance.left();
            assert!(spent >= Money::ZERO, "{seconds}: {spent} was given back");
            assert!(
                spent <= Money::from_micros(most + 2),
                "{seconds}: {spent} for half of {LASTS:?}"
            );
        }
        crowd.run(LASTS).await;
        assert!(
            crowd.left().await.iter().all(|left| *left >= Money::ZERO),
            "{seconds}"
        );
    }
}
