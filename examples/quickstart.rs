//! Launches a pod in memory, waits until it runs, and deletes it: `cargo run --example quickstart`

use neuropod::pod::{Phase, Pod};
use neuropod::{Launch, Platform, Result, auth::Identity};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    // What is not given is in memory: a simulated engine, a store, no bills, no sign-in.
    let platform = Platform::builder().build().await?;
    let loops = platform.clone();
    tokio::spawn(async move { loops.run(std::future::pending()).await });

    let me = Identity::local();
    let launch = Launch::image("neuropod/demo").name("hello").port(8080);
    let pod = platform.launch(&me, &launch).await?;
    let pod = wait_for(&platform, &me, pod, Phase::Running).await?;
    for endpoint in &pod.run.as_ref().expect("it runs").endpoints {
        println!("http://{}:{}", endpoint.host, endpoint.port);
    }

    let pod = platform.stop(&me, pod.id).await?;
    let pod = wait_for(&platform, &me, pod, Phase::Stopped).await?;
    platform.delete(&me, pod.id).await?;
    Ok(())
}

async fn wait_for(platform: &Platform, me: &Identity, mut pod: Pod, phase: Phase) -> Result<Pod> {
    while pod.phase() != phase {
        tokio::time::sleep(Duration::from_millis(100)).await;
        pod = platform.pod(me, pod.id).await?;
    }
    println!("{} is {phase:?}", pod.spec.name);
    Ok(pod)
}
