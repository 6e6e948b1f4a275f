//! Pods that are launched, stopped, started and deleted at once, by requests of which some are not waited for. In the end
//! all are deleted, and nothing is left.
//!
//! `NEUROPOD_SEED` repeats what is asked.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use neuropod::Store;
use neuropod::sql::SqlStore;

use crate::engine::{Engine, There};
use crate::given::given;
use crate::http::Request;
use crate::program::Program;
use crate::{a_pod, alone, folder, settings, sign_in};

const AT_ONCE: usize = 6;
const WITHIN: Duration = Duration::from_secs(60);

#[tokio::test]
async fn races_leave_nothing() {
    let Some(docker) = given("NEUROPOD_TEST_DOCKER") else {
        return;
    };
    let _alone = alone().await;
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let seed = number("NEUROPOD_SEED").unwrap_or_else(|| fastrand::u64(..));
    let races = number("NEUROPOD_RACES").unwrap_or(60);
    println!("NEUROPOD_SEED={seed}");
    let folder = folder("races");
    let database = format!("sqlite://{}/races.db", folder.display());
    let store = SqlStore::open(&database).await.unwrap();
    let engine = Engine::watch(&docker, &store.installation().await.unwrap()).await;
    drop(store);
    let program = Program::start(&folder, &settings(&docker, &database, "28000-28999")).await;
    let token = sign_in(program.address, "ana@example.com").await;
    let all = (0..races).map(|n| race(program.address, &token, seed.wrapping_add(n)));
    stream::iter(all)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>()
        .await;
    let deadline = Instant::now() + WITHIN;
    loop {
        let (there, networks) = (engine.there().await, engine.networks().await);
        if there == There::default() && networks == 0 {
            break;
        }
        let said = program.said();
        assert!(
            Instant::now() < deadline,
            "left: {there:?}, {networks} networks\n{said}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(engine.doubles(), Vec::<String>::new());
    program.kill().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

async fn race(to: SocketAddr, token: &str, seed: u64) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let launch = Request::new(to, "POST", "/api/pods").bearer(token);
    let answer = launch.json(&a_pod(&format!("race-{seed}"))).send().await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let id = answer.json()["data"]["podId"].as_str().unwrap().to_owned();
    let path = format!("/api/pods/{id}");
    let asked = (0..dice.usize(0..5)).map(|_| {
        let (method, path) = match dice.u8(..6) {
            0 => ("DELETE", path.clone()),
            1 | 2 => ("POST", format!("{path}/start")),
            _ => ("POST", format!("{path}/stop")),
        };
        let after = Duration::from_millis(dice.u64(0..600));
        let patience = match dice.bool() {
            true => WITHIN,
            false => Duration::from_micros(dice.u64(0..3000)),
        };
        async move {
            tokio::time::sleep(after).await;
            let request = Request::new(to, method, &path).bearer(token);
            // Who has gone away gets no answer, and what was asked may have been done or not.
            if let Ok(answer) = tokio::time::timeout(patience, request.send()).await {
                assert!(answer.status < 500, "{method} {path}: {answer:?}");
            }
        }
    });
    join_all(asked).await;
    let deleted = Request::new(to, "DELETE", &path).bearer(token).send().await;
    assert!(matches!(deleted.status, 200 | 404), "{deleted:?}");
}
