//! The server is killed by `kill -9` at moments of launches, stops and deletions. Nothing that was acknowledged is lost,
//! nothing is left over, and no pod ever has two Pods that run.
//!
//! `NEUROPOD_SEED` repeats what the client does and when the server is killed, as far as a real cluster repeats itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Client, Wish};
use crate::program::Program;
use crate::there::There;
use crate::user::{User, WITHIN};
use crate::{alone, cluster};

/// By default; `NEUROPOD_CLUSTER_KILLS` says otherwise.
const KILLS: u64 = 8;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[tokio::test]
async fn nothing_is_lost_left_or_doubled_by_kills() {
    let Some(kubeconfig) = cluster() else { return };
    let _alone = alone().await;
    let seed = number("NEUROPOD_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("NEUROPOD_SEED={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut user = User::new("kill9", &kubeconfig).await;
    let mut client = Client::new(user.program.address, 0, seed, "cpu").await;
    for _ in 0..number("NEUROPOD_CLUSTER_KILLS").unwrap_or(KILLS) {
        let killed = Arc::new(AtomicBool::new(false));
        let (flag, to) = (Arc::clone(&killed), user.program.address);
        let load = tokio::spawn(async move {
            client.load(to, &flag).await;
            client
        });
        tokio::time::sleep(Duration::from_millis(dice.u64(50..2500))).await;
        killed.store(true, Ordering::SeqCst);
        user.program.kill().await;
        client = load.await.unwrap();
        user.program = Program::start(&user.folder, &user.settings).await;
        settled(&user, &mut client).await;
    }
    assert!(client.acknowledged > 0, "something was acknowledged");
    client.leave(user.program.address).await;
    user.until_there_is(&There::default()).await;
    user.end().await;
}

/// Until the cluster has what was acknowledged, and nothing else.
async fn settled(user: &User, client: &mut Client) {
    let deadline = Instant::now() + WITHIN;
    loop {
        let said = match client.rows(user.program.address).await {
            Ok(rows) => {
                client.compare(&rows);
                let there = user.cluster.there().await;
                for (id, pods) in &there.alive {
                    assert!(
                        pods.len() < 2,
                        "{id} has two: {pods:?}\n{}",
                        user.program.said()
                    );
                }
                let wished = |wish: &[Wish]| {
                    let pods = client
                        .pods
                        .iter()
                        .filter(|known| wish.contains(&known.may[0]));
                    pods.map(|known| known.id.clone())
                        .collect::<std::collections::BTreeSet<_>>()
                };
                let running = there.alive.keys().cloned().collect();
                let all = wished(&[Wish::Running, Wish::Stopped]);
                // A pod that was stopped before it ever started has no volume.
                let kept = there.claims.is_subset(&all) && there.routes.is_subset(&all);
                if wished(&[Wish::Running]) == running && kept && there.others == 0 {
                    return;
                }
                format!("{there:?} is there, and wished is {:?}", client.pods)
            }
            Err(said) => said,
        };
        assert!(Instant::now() < deadline, "{said}\n{}", user.program.said());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
