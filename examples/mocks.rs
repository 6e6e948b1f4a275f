//! Tests your service without any backend: mocks of the traits, by the feature `mock`.
//! `cargo run --example mocks --features mock`

use neuropod::auth::Identity;
use neuropod::billing::MockBilling;
use neuropod::orchestrator::{Capacity, MockOrchestrator, Seen};
use neuropod::pod::{Phase, Reason};
use neuropod::{Error, ErrorKind, Launch, Platform, Refusal, Result, Time};

#[tokio::main]
async fn main() -> Result<()> {
    a_biller_that_is_down_stops_a_launch().await?;
    an_image_that_is_denied_ends_in_an_error().await
}

async fn a_biller_that_is_down_stops_a_launch() -> Result<()> {
    let mut billing = MockBilling::new();
    billing
        .expect_quote()
        .times(1)
        .returning(|_| Err(Error::unreachable("The biller does not answer.")));
    let platform = Platform::builder().billing(billing).build().await?;
    let me = Identity::local();

    let refused = platform.launch(&me, &Launch::image("demo")).await;

    assert_eq!(*refused.unwrap_err().kind(), ErrorKind::Unreachable);
    let pods = platform.pods(&me, me.user.id, None, 10).await?;
    assert!(pods.items.is_empty(), "nothing was written");
    println!("a biller that is down: nothing was launched");
    Ok(())
}

async fn an_image_that_is_denied_ends_in_an_error() -> Result<()> {
    let mut engine = MockOrchestrator::new();
    engine
        .expect_capacity()
        .returning(|| Ok(Capacity::default()));
    engine
        .expect_list()
        .returning(|| Ok(Box::pin(futures::stream::empty())));
    engine.expect_observe().returning(|_| {
        Ok(Seen {
            at: Time::EPOCH,
            instances: Vec::new(),
            volume: None,
        })
    });
    // Once: a refusal is for good, so nobody asks again.
    engine.expect_ensure().times(1).returning(|_, _| {
        Err(Error::new(
            ErrorKind::Refused(Refusal::ImageDenied),
            "The registry wants a password.",
        ))
    });
    let platform = Platform::builder().orchestrator(engine).build().await?;
    let me = Identity::local();

    let pod = platform.launch(&me, &Launch::image("secret")).await?;
    platform.run_until_idle().await?;

    let pod = platform.pod(&me, pod.id).await?;
    assert_eq!(pod.phase(), Phase::Error);
    assert_eq!(pod.reason, Some(Reason::ImagePull));
    println!(
        "an image that is denied: {}",
        pod.message.unwrap_or_default()
    );
    Ok(())
}
