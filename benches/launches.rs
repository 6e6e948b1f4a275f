//! Durable launches: from the call to the container that is recorded as running, over each store, beside the rate at
//! which the same store takes the same rows in plain batches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use neuropod_benches::databases::{Folder, new_schema, postgres};
use neuropod_benches::fleet::{engine, fill, launch, running_pod, stopped};
use neuropod_benches::report::{Limit, figure, heading};
use neuropod_benches::{Scale, process, raw};
use neuropod_core::auth::Identity;
use neuropod_core::id::PodId;

use neuropod_core::pod::Phase;
use neuropod_core::store::Store;
use neuropod_core::{Platform, Result, Settings};
use neuropod_store::SqlStore;

/// So many callers launch at the same time.
const CALLERS: usize = 256;

/// When a pass looks once more at what it has started.
const SECOND_LOOK: Duration = Duration::from_millis(1500);

#[tokio::main]
async fn main() -> Result<()> {
    let scale = Scale::asked();
    heading("Launches on SQLite");
    let folder = Folder::new();
    over(&folder.url(), scale).await?;
    let folder = Folder::new();
    raw::measure(&folder.url(), scale).await?;
    let Some(server) = postgres() else {
        println!("\nLaunches on PostgreSQL: not measured, NEUROPOD_TEST_POSTGRES names no server");
        return Ok(());
    };
    heading("Launches on PostgreSQL (its own CPU time is not counted)");
    let schema = new_schema(&server).await;
    over(&schema.url, scale).await?;
    schema.remove().await;
    let schema = new_schema(&server).await;
    raw::measure(&schema.url, scale).await?;
    schema.remove().await;
    Ok(())
}

async fn over(url: &str, scale: Scale) -> Result<()> {
    let store: Arc<dyn Store> = Arc::new(SqlStore::open(url).await?);
    let launches = scale.of(4000, 20);
    rates(&store, launches, "no pods before").await?;
    let existing = scale.of(100_000, 100);
    let sample = running_pod().await?;
    fill(&store, &stopped(sample), existing).await?;
    rates(&store, launches, &format!("{existing} pods before")).await
}

async fn rates(store: &Arc<dyn Store>, launches: usize, when: &str) -> Result<()> {
    let platform = Platform::builder()
        .store(store.clone())
        .orchestrator(engine())
        .settings(Settings {
            port_range: (1024, u16::MAX),
            ..Settings::default()
        })
        .build()
        .await?;
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let loops = {
        let platform = platform.clone();
        tokio::spawn(async move { platform.run(async { drop(ended.await) }).await })
    };
    let (began, cpu) = (Instant::now(), process::cpu());
    let me = Identity::local();
    let launched: Vec<PodId> = futures::stream::iter(0..launches)
        .map(|_| async { Ok::<_, neuropod_core::Error>(platform.launch(&me, &launch()).await?.id) })
        .buffered(CALLERS)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect::<Result<_>>()?;
    let accepted = began.elapsed();
    // The last ones first: nearly always they are the last to run, so nearly nothing is read while it counts.
    for id in launched.iter().rev() {
        while store.pod(*id).await?.map(|pod| pod.phase()) != Some(Phase::Running) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let running = began.elapsed();
    tokio::time::sleep(SECOND_LOOK).await;
    let cpu = process::cpu() - cpu;
    let _ = end.send(());
    let _ = loops.await;
    let per_second = |time: Duration| launches as f64 / time.as_secs_f64().max(0.01);
    let least = Limit::AtLeast(2000.0);
    figure(
        &format!("running per second of CPU time, {when}"),
        per_second(cpu),
        "/s",
        least,
    );
    figure(
        "  accepted per second",
        per_second(accepted),
        "/s",
        Limit::None,
    );
    figure(
        "  running per second",
        per_second(running),
        "/s",
        Limit::None,
    );
    Ok(())
}
