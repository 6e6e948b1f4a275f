//! The server is killed by `kill -9` at random moments while clients create, stop, start and delete pods. Nothing that
//! was acknowledged is lost, nothing is left over, no pod ever has two containers alive, a container that is up stays
//! up, and all is settled within ten seconds of the restart, counted from the start of the new process.
//!
//! `NEUROPOD_SEED` repeats what the clients do and when the server is killed, as far as a real engine repeats itself.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use neuropod::Store;
use neuropod::sql::SqlStore;

use crate::client::Client;
use crate::engine::{Engine, There};
use crate::given::{Schema, given};
use crate::program::Program;
use crate::{alone, folder, gpus, settings};

const CLIENTS: usize = 4;
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn nothing_is_lost_left_or_doubled_by_kills_on_sqlite() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let folder = folder("kill9-sqlite");
    let database = format!("sqlite://{}/kept.db", folder.display());
    let trial = Trial::begin(folder, &docker, &database, "31000-31999", 0).await;
    trial.run(kills()).await;
}

/// All pods want one of two GPUs, and none is ever given to a second container while a first one is alive.
#[tokio::test]
async fn no_gpu_is_given_twice_by_kills() {
    let (Some(docker), Some(_)) = (
        given("NEUROPOD_TEST_DOCKER"),
        given("NEUROPOD_TEST_GPU_RECORDS"),
    ) else {
        return;
    };
    let _alone = alone().await;
    let folder = folder("kill9-gpus");
    let database = format!("sqlite://{}/kept.db", folder.display());
    let trial = Trial::begin(folder, &docker, &database, "31000-31999", 2).await;
    trial.run(kills().div_ceil(2)).await;
}

/// The same over PostgreSQL, in a schema of its own.
#[tokio::test]
async fn nothing_is_lost_left_or_doubled_by_kills_on_postgres() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let Some(server) = given("NEUROPOD_TEST_POSTGRES") else {
        return;
    };
    let _alone = alone().await;
    let schema = Schema::make(&server, "kill9").await;
    let folder = folder("kill9-postgres");
    let trial = Trial::begin(folder, &docker, &schema.url, "32000-32767", 0).await;
    trial.run(kills().div_ceil(4)).await;
    schema.remove().await;
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn kills() -> u64 {
    number("NEUROPOD_KILLS").unwrap_or(20)
}

/// One server that is killed again and again.
struct Trial {
    folder: PathBuf,
    settings: Vec<(&'static str, String)>,
    engine: Engine,
    clients: Vec<Client>,
    program: Option<Program>,
    started: Instant,
    /// What the server that was killed last had said.
    last_words: String,
    dice: fastrand::Rng,
    slowest: Duration,
    /// How many the pods have to share; 0 where they want none.
    gpus: usize,
}

impl Trial {
    async fn begin(
        folder: PathBuf,
        docker: &str,
        database: &str,
        ports: &str,
        gpus: usize,
    ) -> Self {
        let mut settings = settings(docker, database, ports);
        settings.extend((gpus > 0).then(|| gpus::listed(gpus)).into_iter().flatten());
        let gpu = if gpus > 0 { gpus::GPU } else { "cpu" };
        let seed = number("NEUROPOD_SEED").unwrap_or_else(|| fastrand::u64(..));
        println!("NEUROPOD_SEED={seed}");
        let store = SqlStore::open(database).await.unwrap();
        let engine = Engine::watch(docker, &store.installation().await.unwrap()).await;
        drop(store);
        let mut trial = Self {
            folder,
            settings,
            engine,
            clients: Vec::new(),
            program: None,
            started: Instant::now(),
            last_words: String::new(),
            dice: fastrand::Rng::with_seed(seed),
            slowest: Duration::ZERO,
            gpus,
        };
        trial.start().await;
        for number in 0..CLIENTS {
            let client = Client::new(trial.program().address, number, seed, gpu).await;
            trial.clients.push(client);
        }
        trial
    }

    fn program(&self) -> &Program {
        self.program.as_ref().expect("it was started")
    }

    async fn start(&mut self) {
        self.started = Instant::now();
        self.program = Some(Program::start(&self.folder, &self.settings).await);
    }

    async fn run(mut self, kills: u64) {
        for kill in 1..=kills {
            let after = Duration::from_millis(self.dice.u64(0..2000));
            self.load_and_kill(after).await;
            self.start().await;
            // Every fourth one is killed again while it recovers.
            if !self.dice.u8(..).is_multiple_of(4) || kill == kills {
                self.settle().await;
            }
            let acknowledged: usize = self.clients.iter().map(|c| c.acknowledged).sum();
            let since = self.started.elapsed();
            println!(
                "kill {kill} after {after:?}: {acknowledged} writes acknowledged; next after {since:.1?}"
            );
        }
        let address = self.program().address;
        for client in &mut self.clients {
            client.leave(address).await;
        }
        self.started = Instant::now();
        self.settle().await;
        assert_eq!(self.engine.there().await, There::default());
        assert_eq!(self.engine.gpus_given() > 0, self.gpus > 0);
        // Past the test harness, which keeps what a test that passes has printed to itself.
        let slowest = self.slowest;
        let told =
            format!("{kills} kills: the slowest was settled {slowest:.1?} after the restart\n");
        std::io::stderr().write_all(told.as_bytes()).unwrap();
        self.program.take().unwrap().kill().await;
        std::fs::remove_dir_all(&self.folder).unwrap();
    }

    async fn load_and_kill(&mut self, after: Duration) {
        let killed = Arc::new(AtomicBool::new(false));
        let address = self.program().address;
        let mut loads = Vec::new();
        for mut client in self.clients.drain(..) {
            let killed = Arc::clone(&killed);
            loads.push(tokio::spawn(async move {
                client.load(address, &killed).await;
                client
            }));
        }
        tokio::time::sleep(after).await;
        killed.store(true, Ordering::SeqCst);
        let program = self.program.take().unwrap();
        self.last_words = program.said();
        program.kill().await;
        for load in loads {
            self.clients.push(load.await.unwrap());
        }
    }

    /// Compares with what was acknowledged at once, and waits until engine and rows agree.
    async fn settle(&mut self) {
        let address = self.program().address;
        let steady = self.engine.there().await.alive;
        for client in &mut self.clients {
            let rows = client.rows(address).await.unwrap();
            client.compare(&rows);
        }
        while let Err(not_yet) = self.look().await {
            assert!(
                self.started.elapsed() < SETTLED_WITHIN,
                "not settled: {not_yet}\n{}--- kill -9 ---\n{}",
                self.last_words,
                self.program().said()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.slowest = self.slowest.max(self.started.elapsed());
        assert_eq!(self.engine.doubles(), Vec::<String>::new());
        let there = self.engine.there().await;
        for known in self.clients.iter_mut().flat_map(|c| &mut c.pods) {
            if !std::mem::take(&mut known.touched) {
                let (was, is) = (steady.get(&known.id), there.alive.get(&known.id));
                // It may have waited for a GPU until now.
                let starts = self.gpus > 0 && was.is_none();
                assert!(
                    starts || was == is,
                    "a container that was up did not stay up"
                );
            }
        }
    }

    /// Whether rows and engine agree, or what does not yet.
    async fn look(&self) -> Result<(), String> {
        let mut there = self.engine.there().await;
        let (mut running, mut wished) = (0, 0);
        for client in &self.clients {
            for (pod, row) in client.rows(self.program().address).await? {
                let alive = there.alive.remove(&pod).unwrap_or_default().len();
                let volume = there.volumes.remove(&pod);
                let settled = match (row["desired"].as_str(), row["phase"].as_str()) {
                    (Some("RUNNING"), Some("RUNNING")) => alive == 1 && volume,
                    (Some("RUNNING"), Some("QUEUED")) => alive == 0 && self.gpus > 0,
                    (Some("STOPPED"), Some("STOPPED")) => alive == 0,
                    _ => false,
                };
                running += alive;
                wished += usize::from(row["desired"] == "RUNNING");
                if !settled {
                    return Err(format!("{alive} containers alive, volume {volume}: {row}"));
                }
            }
        }
        if self.gpus > 0 && running != self.gpus.min(wished) {
            return Err(format!("{running} of {wished} have a GPU"));
        }
        // What is left after all rows is left over.
        if there != There::default() {
            return Err(format!("left over: {there:?}"));
        }
        Ok(())
    }
}
