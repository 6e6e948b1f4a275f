//! A workstation of your own: one pod on this machine's Docker engine, written down in SQLite. Ctrl-C stops it; started
//! again, it has what was on its volume. `cargo run --example workstation --features docker,sqlite`

use futures::StreamExt;
use neuropod::docker::{Config, DockerOrchestrator};
use neuropod::orchestrator::LogQuery;
use neuropod::pod::{Phase, Pod};
use neuropod::sql::SqlStore;
use neuropod::{Launch, Platform, Result, Store, auth::Identity};
use std::time::Duration;
use tokio::sync::oneshot;

#[tokio::main]
async fn main() -> Result<()> {
    // What is on the engine carries this installation's id, so it is found again, and nothing else is touched.
    let store = SqlStore::open("sqlite://workstation.db").await?;
    let engine = DockerOrchestrator::connect(Config::new(store.installation().await?)).await?;
    let platform = Platform::builder().store(store).orchestrator(engine);
    let platform = platform.build().await?;
    let (end, ended) = oneshot::channel::<()>();
    let loops = platform.clone();
    let loops = tokio::spawn(async move { loops.run(async { drop(ended.await) }).await });

    let me = Identity::local();
    let mine = platform.pods(&me, me.user.id, None, 1).await?;
    let pod = match mine.items.first() {
        Some(pod) => platform.start(&me, pod.id).await?,
        None => {
            let launch = Launch::image("neuropod/demo").name("workstation");
            platform.launch(&me, &launch.port(8080)).await?
        }
    };
    let pod = arrive(&platform, &me, pod).await?;
    for endpoint in pod.run.iter().flat_map(|run| &run.endpoints) {
        println!("http://{}:{}", endpoint.host, endpoint.port);
    }

    tokio::select! {
        followed = follow(&platform, &me, &pod) => followed?,
        _ = tokio::signal::ctrl_c() => {}
    }
    let pod = platform.stop(&me, pod.id).await?;
    arrive(&platform, &me, pod).await?;
    drop(end);
    let _ = loops.await;
    Ok(())
}

/// Prints the pod's log until the pod has ended.
async fn follow(platform: &Platform, me: &Identity, pod: &Pod) -> Result<()> {
    let follow = LogQuery {
        follow: true,
        ..LogQuery::default()
    };
    let mut lines = platform.logs(me, pod.id, &follow).await?;
    while let Some(line) = lines.next().await {
        println!("{}", line?.text);
    }
    Ok(())
}

/// Waits until the pod is where it is wished to be, or has ended by itself.
async fn arrive(platform: &Platform, me: &Identity, mut pod: Pod) -> Result<Pod> {
    use Phase::{Provisioning, Queued, Starting, Stopping};
    while matches!(pod.phase(), Queued | Provisioning | Starting | Stopping) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        pod = platform.pod(me, pod.id).await?;
    }
    println!("{} is {:?}", pod.spec.name, pod.phase());
    if let Some(why) = &pod.message {
        println!("{why}");
    }
    Ok(pod)
}
