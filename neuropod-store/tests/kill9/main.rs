//! `kill -9`: a process that writes is killed again and again while many commits are under way. What was acknowledged
//! is there, nothing is half there, and who follows the events misses none. `NEUROPOD_SEED=n` draws the same moments.

mod check;
#[path = "../support/mod.rs"]
mod support;
mod writer;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use neuropod_core::store::Store;
use sqlx::{AnyConnection, Connection, Row};

/// What the process that writes is told: the database, the name of its life, a seed.
const WRITER: [&str; 3] = [
    "NEUROPOD_KILL9_URL",
    "NEUROPOD_KILL9_LIFE",
    "NEUROPOD_KILL9_SEED",
];

const SIGKILL: i32 = 9;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let [Ok(url), Ok(life), Ok(seed)] = WRITER.map(std::env::var) {
        runtime.block_on(writer::write(&url, &life, seed.parse().expect("a number")));
        return ExitCode::FAILURE;
    }
    let (one, other) = (runtime.handle().clone(), runtime.handle().clone());
    let trials = vec![
        Trial::test("sqlite", move || {
            one.block_on(on_sqlite());
            Ok(())
        }),
        Trial::test("postgres", move || {
            other.block_on(on_postgres());
            Ok(())
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

async fn on_sqlite() {
    let folder = support::Folder::new();
    kill_again_and_again(&folder.url(), &folder.url(), async || {}).await;
}

async fn on_postgres() {
    let Some(server) = support::postgres_or_say_why() else {
        return;
    };
    let schema = support::new_schema(&server).await;
    let url = format!("{}&application_name={}", schema.url, schema.name);
    let mut connection = AnyConnection::connect(&server).await.unwrap();
    let left = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = $1";
    let connection = tokio::sync::Mutex::new(&mut connection);
    // The server may still be at the last commits of a client that is dead.
    let quiet = async || loop {
        let query = sqlx::query(left).bind(&schema.name);
        let row = query.fetch_one(&mut **connection.lock().await).await;
        if row.unwrap().get::<i64, _>(0) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    kill_again_and_again(&schema.url, &url, quiet).await;
    schema.remove().await;
}

/// Opens the database at `url` after each kill of a writer at `writer_url`, once it is `quiet`, and looks.
async fn kill_again_and_again(url: &str, writer_url: &str, quiet: impl AsyncFn()) {
    let (seed, kills) = (support::seed(), support::effort("KILLS", 5));
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut follower = Follower::default();
    let mut acknowledged = BTreeSet::new();
    for life in 0..kills {
        // A database that nobody else has open is repaired by who opens it next; so somebody has it only now and then.
        let reader = match dice.bool() {
            true => Some(support::open(url).await),
            false => None,
        };
        let writer = start(writer_url, life, dice.u64(..));
        let moment = (
            dice.usize(1..300),
            Duration::from_micros(dice.u64(0..5_000)),
        );
        let death = tokio::task::spawn_blocking(move || kill(writer, moment));
        while let Some(store) = &reader
            && !death.is_finished()
        {
            follower.follow(&**store).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        acknowledged.extend(death.await.unwrap());
        drop(reader);
        quiet().await;

        let store = support::open(url).await;
        let there = check::whole(&*store).await;
        follower.follow(&*store).await;
        assert_eq!(
            follower.names, there,
            "who follows the events has seen others"
        );
        let there: BTreeSet<_> = there.into_iter().collect();
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        assert!(
            lost.is_empty(),
            "kill {life}: acknowledged, but lost: {lost:?}"
        );
    }
    check::proven(&*support::open(url).await).await;
    let (told, there) = (acknowledged.len(), follower.names.len());
    println!("{kills} kills, {there} commits there, {told} of them acknowledged");
}

/// Somebody who reads the events page after page.
#[derive(Default)]
struct Follower {
    names: Vec<String>,
    cursor: Option<String>,
}

impl Follower {
    async fn follow(&mut self, store: &dyn Store) {
        let (names, cursor) = check::events_after(store, self.cursor.take()).await;
        self.names.extend(names);
        self.cursor = cursor;
    }
}

fn start(url: &str, life: u64, seed: u64) -> Child {
    let told = [url.to_owned(), life.to_string(), seed.to_string()];
    Command::new(std::env::current_exe().unwrap())
        .envs(WRITER.into_iter().zip(told))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills it so long after so many acknowledgements, and answers all there were.
fn kill(mut writer: Child, (after, delay): (usize, Duration)) -> Vec<String> {
    let mut printed = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut acknowledged: Vec<_> = printed.by_ref().take(after).map(Result::unwrap).collect();
    std::thread::sleep(delay);
    writer.kill().unwrap();
    acknowledged.extend(printed.map(Result::unwrap));
    let status = writer.wait().unwrap();
    assert_eq!(status.signal(), Some(SIGKILL), "the writer ended by itself");
    acknowledged
}
