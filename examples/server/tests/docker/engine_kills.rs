//! The engine is killed by `kill -9` in each state of a pod, with and without `live-restore`. Within ten seconds of the
//! first answer of the next one the server's rows and the engine agree, and nothing is left over or doubled.
//!
//! `NEUROPOD_SEED` repeats the moments.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use neuropod::Store;
use neuropod::sql::SqlStore;
use serde_json::{Value, json};

use crate::engine::{Engine, There};
use crate::given::given;
use crate::http::Request;
use crate::own_engine::OwnEngine;
use crate::program::Program;
use crate::registry::Registry;
use crate::trap::{Call, Trap};
use crate::{IMAGE, a_pod, alone, settings, sign_in, space};

const SETTLED_WITHIN: Duration = Duration::from_secs(10);
/// Of the registry, in bytes a second: a pull takes half a second, so that it is what is settled and not waited for.
const SPEED: usize = 16 << 20;
const WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the pod does when its engine is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    Pulling,
    Created,
    Starting,
    Running,
    Stopping,
    Removing,
}

use Moment::*;

impl Moment {
    const ALL: [Self; 6] = [Pulling, Created, Starting, Running, Stopping, Removing];

    /// The call that comes just before; whether it may not get there; so many milliseconds later, at most.
    fn call(self) -> Option<(Call, bool, u64)> {
        match self {
            Pulling => Some((("POST", "/images/create"), false, 400)),
            Created => Some((("POST", "/start"), true, 0)),
            Starting => Some((("POST", "/start"), false, 60)),
            Running => None,
            Stopping => Some((("POST", "/stop"), false, 60)),
            // No later, or it meets the removal of the network: see `until_forgotten`.
            Removing => Some((("DELETE", "/containers/"), false, 15)),
        }
    }
}

#[tokio::test]
async fn the_world_agrees_after_each_kill_of_the_engine() {
    let test = "engine_kills::the_world_agrees_after_each_kill_of_the_engine";
    kill(test, false).await;
}

#[tokio::test]
async fn the_world_agrees_after_each_kill_of_an_engine_that_restores() {
    let test = "engine_kills::the_world_agrees_after_each_kill_of_an_engine_that_restores";
    kill(test, true).await;
}

async fn kill(test: &str, live_restore: bool) {
    let Some(image_from) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let Some(folder) = space::enter(test).await else {
        return;
    };
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let seed = number("NEUROPOD_SEED").unwrap_or_else(|| fastrand::u64(..));
    let times = number("NEUROPOD_ENGINE_KILLS").unwrap_or(1);
    println!("NEUROPOD_SEED={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut trial = Trial::begin(&folder, live_restore, &image_from).await;
    let mut slowest = Duration::ZERO;
    for time in 1..=times {
        for moment in Moment::ALL {
            let settled = trial.kill(moment, &mut dice).await;
            println!("kill {time}, {moment:?}: settled after {settled:.1?}");
            slowest = slowest.max(settled);
        }
    }
    // Past the test harness, which keeps what a test that passes has printed to itself.
    let kills = times * Moment::ALL.len() as u64;
    let told = format!(
        "{kills} kills of an engine, live-restore {live_restore}: the slowest was settled {slowest:.1?} after its first answer\n"
    );
    std::io::stderr().write_all(told.as_bytes()).unwrap();
    trial.program.kill().await;
}

struct Trial {
    own: OwnEngine,
    trap: Trap,
    program: Program,
    token: String,
    engine: Engine,
}

impl Trial {
    async fn begin(folder: &Path, live_restore: bool, image_from: &str) -> Self {
        let own = OwnEngine::start(folder, live_restore, image_from).await;
        let trap = Trap::new(folder.join("trap.sock"), own.socket());
        let database = format!("sqlite://{}/kills.db", folder.display());
        let store = SqlStore::open(&database).await.unwrap();
        let installation = store.installation().await.unwrap();
        let engine = Engine::unwatched(own.docker.clone(), &installation);
        let settings = settings(&trap.host(), &database, "26000-26999");
        let program = Program::start(folder, &settings).await;
        let token = sign_in(program.address, "ana@example.com").await;
        Self {
            own,
            trap,
            program,
            token,
            engine,
        }
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = Request::new(self.program.address, method, path).bearer(&self.token);
        let answer = request.json(body).send().await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
        answer.json()["data"].clone()
    }

    /// Kills the engine at such a moment, and says how long it took until all was settled.
    async fn kill(&mut self, moment: Moment, dice: &mut fastrand::Rng) -> Duration {
        let registry = match moment {
            Pulling => Some(Registry::with_speed(&self.own.docker, SPEED).await),
            _ => None,
        };
        let image = registry.as_ref().map(|registry| registry.image("pulled"));
        let mut body = a_pod(&format!("{moment:?}"));
        body["dockerImage"] = json!(image.as_deref().unwrap_or(IMAGE));
        let launch = async || {
            let launched = self.ask("POST", "/api/pods", &body).await;
            launched["podId"].as_str().unwrap().to_owned()
        };
        let at_launch = matches!(moment, Pulling | Created | Starting);
        let mut pod = String::new();
        if !at_launch {
            pod = launch().await;
            self.until(&pod, |look| look.is_running()).await;
        }
        let was = self.engine.there().await.alive;
        if let Some((call, holds, later)) = moment.call() {
            let sprung = self.trap.arm(call, holds);
            let path = format!("/api/pods/{pod}");
            match moment {
                Stopping => drop(self.ask("POST", &format!("{path}/stop"), &json!({})).await),
                Removing => drop(self.ask("DELETE", &path, &json!({})).await),
                _ => pod = launch().await,
            }
            let sprung = tokio::time::timeout(WITHIN, sprung).await;
            sprung.expect("the call is made").unwrap();
            tokio::time::sleep(Duration::from_millis(dice.u64(0..=later))).await;
        }
        self.own.kill_and_start().await;
        let answered = Instant::now();
        let settled = loop {
            let look = self.look(&pod).await;
            if look.is_settled(moment) {
                break answered.elapsed();
            }
            let said = self.program.said();
            let in_time = answered.elapsed() < SETTLED_WITHIN;
            assert!(in_time, "{moment:?}, not settled: {look:?}\n{said}");
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let look = self.look(&pod).await;
        match moment {
            Pulling | Created => assert!(look.is_running(), "{look:?}"),
            Running if self.own.restores() => assert_eq!(look.there.alive, was, "it stays up"),
            // The next engine tells it to end, and it does.
            Running => assert_eq!(look.row["phase"], "EXITED", "{look:?}"),
            Stopping => assert_eq!(look.row["phase"], "STOPPED", "{look:?}"),
            Starting | Removing => {}
        }
        if moment != Removing {
            self.ask("DELETE", &format!("/api/pods/{pod}"), &json!({}))
                .await;
        }
        self.until(&pod, |look| {
            look.row.is_null() && look.there == There::default()
        })
        .await;
        self.until_forgotten(&pod).await;
        settled
    }

    async fn look(&self, pod: &str) -> Look {
        let rows = self.ask("GET", "/api/pods", &Value::Null).await;
        let rows = rows.as_array().unwrap();
        let row = rows.iter().find(|row| row["podId"] == pod).cloned();
        let there = self.engine.there().await;
        let alive = there.alive.values().map(Vec::len).sum::<usize>();
        assert!(alive <= 1, "two containers are alive: {there:?}");
        Look {
            row: row.unwrap_or_default(),
            there,
        }
    }

    /// Waits until the server has removed the last thing of a pod, its owner's network. Docker 20.10 does not start again
    /// once it was killed amid that, whose ever the network is: it finds one without addresses (libnetwork's
    /// `reservePools`), and panics.
    async fn until_forgotten(&self, pod: &str) {
        let path = format!("/api/pods/{pod}");
        let deadline = Instant::now() + WITHIN;
        loop {
            let request = Request::new(self.program.address, "GET", &path).bearer(&self.token);
            let answer = request.send().await;
            if answer.status == 404 {
                return;
            }
            assert!(Instant::now() < deadline, "{answer:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn until(&self, pod: &str, holds: impl Fn(&Look) -> bool) {
        let deadline = Instant::now() + WITHIN;
        loop {
            let look = self.look(pod).await;
            if holds(&look) {
                return;
            }
            let said = self.program.said();
            assert!(Instant::now() < deadline, "{look:?}\n{said}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// The only pod, as the server and as the engine see it.
#[derive(Debug)]
struct Look {
    /// Null if it is gone.
    row: Value,
    there: There,
}

impl Look {
    /// Whether its port answers already is no matter; that of the pulled image never does.
    fn is_running(&self) -> bool {
        let runs = self.row["phase"] == "RUNNING" || self.row["phase"] == "STARTING";
        runs && self.there.alive.len() == 1
    }

    /// Whether the two agree, on something that is no way to something else.
    fn is_settled(&self, moment: Moment) -> bool {
        let ends = ["STOPPED", "EXITED", "ERROR"];
        let ended = ends.iter().any(|phase| self.row["phase"] == *phase);
        let nothing_ended_is_kept = self.there.ended.is_empty();
        let agree = match moment {
            Removing => self.row.is_null() && self.there == There::default(),
            _ => self.is_running() || (ended && self.there.alive.is_empty()),
        };
        agree && nothing_ended_is_kept
    }
}
