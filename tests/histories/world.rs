//! One world: the product's loops on two replicas over a store and an engine in memory, with late, lost and refused calls between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use neuropod::auth::{AllowAll, Identity};
use neuropod::billing::{Billing, Credit, Prepaid};
use neuropod::fault::Faulty;
use neuropod::id::{AccountId, DeviceId, Entropy, UserId};
use neuropod::memory::{Behaviour, MemoryOrchestrator, MemoryStore};
use neuropod::money::Money;
use neuropod::orchestrator::Device;
use neuropod::store::{Changes, Store};
use neuropod::time::SystemClock;
use neuropod::user::{Role, Standing, User};
use neuropod::{Platform, Settings, Time};
use tokio::task::JoinHandle;

use crate::faults::Faults;
use crate::rng::Dice;
use crate::watched::{Watch, WatchedBackend, WatchedStore};

/// The clocks of two replicas differ by less than twice this, and the backend's by more than that.
const REPLICA_SKEW_MS: u64 = 2_000;
const BACKEND_SKEW_MS: u64 = 30_000;

/// How long a replica may work on a pod alone.
pub(crate) const LEASE: Duration = Duration::from_secs(20);

/// A start needs the price of so much time; a volume that nobody pays for is kept so long.
const HOLD_FOR: Duration = Duration::from_secs(20);
const GRACE: Duration = Duration::from_secs(45);

/// What images there are: some are there, some must be pulled, some end by themselves or won't end.
pub(crate) const IMAGES: [&str; 7] = [
    "stays",
    "stays",
    "pulled",
    "short",
    "instant",
    "stubborn",
    "missing/image",
];

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) watch: Watch,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) backend: Arc<MemoryOrchestrator>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) people: Vec<Identity>,
    /// While set, nothing is late or lost any more.
    calm: Arc<AtomicBool>,
    /// Whether some calls are later than a lease lasts, so that two passes are over one pod at once.
    pub(crate) slow: bool,
}

pub(crate) struct Replica {
    pub(crate) platform: Platform,
    pub(crate) loops: Option<JoinHandle<()>>,
}

/// The store that histories usually run over.
pub(crate) fn memory(seed: u64) -> Arc<dyn Store> {
    Arc::new(MemoryStore::seeded(seed))
}

impl World {
    pub(crate) async fn new(
        seed: u64,
        watch: Watch,
        faults: Faults,
        store: impl FnOnce(u64) -> Arc<dyn Store>,
    ) -> Self {
        let dice = Dice::new(seed);
        // Months end while pods run, so that open meters are posted.
        let start: Time = "2026-11-30T23:58:00Z".parse().unwrap();
        let start = start + dice.millis(0..180_000);
        let backend_clock = SystemClock::anchored(skewed(&dice, start, BACKEND_SKEW_MS));
        let backend = Arc::new(backend(&dice, backend_clock.clone()));
        let store = store(dice.seed());
        let people = people(&dice, &store, start).await;
        let calm = Arc::new(AtomicBool::new(false));
        let slow = faults.outlast_leases(&dice);
        let plan = || faults.plan(&dice, &calm, &watch, slow);
        let mut replicas = Vec::new();
        for _ in 0..faults.replicas() {
            let watched = WatchedStore {
                inner: store.clone(),
                backend: backend.clone(),
                watch: watch.clone(),
            };
            let faulty_store = Faulty::new(watched, plan());
            let watched = WatchedBackend {
                inner: backend.clone(),
                store: store.clone(),
                watch: watch.clone(),
            };
            let settings = Settings {
                port_range: (20_000, 20_040),
                lease: LEASE,
                look_every: Duration::from_secs(2),
                workers: 8,
                volume_grace: GRACE,
                ..Settings::default()
            };
            // Seeding is not what is tested: it happens before anything can go wrong.
            calm.store(true, Ordering::Relaxed);
            let platform = Platform::builder()
                .orchestrator(Faulty::new(watched, plan()))
                .billing(Prepaid::new(Arc::new(faulty_store.clone())).hold_for(HOLD_FOR))
                .store(faulty_store)
                .auth(AllowAll)
                .clock(SystemClock::anchored(skewed(&dice, start, REPLICA_SKEW_MS)))
                .entropy(Entropy::seeded(dice.seed()))
                .settings(settings)
                .build()
                .await
                .unwrap();
            replicas.push(Replica {
                platform,
                loops: None,
            });
        }
        calm.store(false, Ordering::Relaxed);
        let mut world = Self {
            dice,
            watch,
            store,
            backend,
            replicas,
            people,
            calm,
            slow,
        };
        world.revive();
        world
    }

    /// Starts the loops of every replica that has none.
    pub(crate) fn revive(&mut self) {
        for replica in &mut self.replicas {
            let platform = replica.platform.clone();
            replica.loops.get_or_insert_with(|| {
                tokio::spawn(async move { platform.run(std::future::pending()).await })
            });
        }
    }

    /// Kills one replica's loops, wherever they are.
    pub(crate) fn kill(&mut self, which: usize) {
        if let Some(loops) = self.replicas[which].loops.take() {
            self.watch.note(|| format!("kill replica {which}"));
            loops.abort();
        }
    }

    /// From now on nothing is late or lost, and every replica runs.
    pub(crate) fn calm_down(&mut self) {
        self.calm.store(true, Ordering::Relaxed);
        self.backend.unreachable(false);
        self.revive();
    }
}

fn skewed(dice: &Dice, t: Time, most_ms: u64) -> Time {
    t - Duration::from_millis(most_ms) + dice.millis(0..2 * most_ms)
}

fn backend(dice: &Dice, clock: SystemClock) -> MemoryOrchestrator {
    let device = |n| Device {
        id: DeviceId::new(format!("GPU-{n}")),
        product: "NVIDIA GeForce RTX 4050".to_owned(),
        memory_mib: 6144,
        healthy: true,
    };
    let secs = Duration::from_secs;
    MemoryOrchestrator::builder()
        .clock(clock)
        .devices((0..1 + dice.below(2)).map(device))
        .image(
            "stays",
            Behaviour {
                ready_after: Some(secs(2)),
                ..Behaviour::default()
            },
        )
        .image(
            "pulled",
            Behaviour {
                pull: secs(8),
                ..Behaviour::default()
            },
        )
        .image(
            "short",
            Behaviour {
                runs_for: Some(secs(25)),
                ..Behaviour::default()
            },
        )
        .image(
            "instant",
            Behaviour {
                runs_for: Some(Duration::from_millis(20)),
                code: 3,
                ..Behaviour::default()
            },
        )
        .image(
            "stubborn",
            Behaviour {
                ends_within: None,
                ready_after: None,
                ..Behaviour::default()
            },
        )
        .build()
}

/// Two clients, one of whom can afford his pods for some minutes at most, and an administrator.
async fn people(dice: &Dice, store: &Arc<dyn Store>, now: Time) -> Vec<Identity> {
    let entropy = Entropy::seeded(dice.seed());
    let mut people = Vec::new();
    let some = 30_000 + 10_000 * dice.below(40) as i64;
    for (name, role, credit) in [
        ("poor", Role::Client, some),
        ("rich", Role::Client, 500_000_000),
        ("admin", Role::Admin, 0),
    ] {
        let user = User {
            id: UserId::random(&entropy),
            identity: format!("sim#{name}"),
            email: format!("{name}@example.com"),
            name: name.to_owned(),
            avatar: None,
            role,
            standing: Standing::Active,
            plan: "free".to_owned(),
            created_at: now,
            version: 0,
        };
        store
            .commit(&Changes {
                users: vec![user.clone()],
                ..Changes::default()
            })
            .await
            .unwrap();
        if credit > 0 {
            let credit = funding(&user, "first", credit, now);
            let transfers = Prepaid::new(store.clone()).credit(&credit).await.unwrap();
            let given = Changes {
                transfers,
                ..Changes::default()
            };
            store.commit(&given).await.unwrap();
        }
        people.push(Identity {
            user: User { version: 1, ..user },
            session: None,
        });
    }
    people
}

/// So many millionths for somebody's account.
pub(crate) fn funding(user: &User, id: &str, amount: i64, at: Time) -> Credit {
    Credit {
        id: format!("{id}/{}", user.name),
        account: AccountId::of(user.id),
        from: AccountId::from("funding"),
        amount: Money::from_micros(amount),
        memo: String::new(),
        actor: None,
        at,
    }
}
