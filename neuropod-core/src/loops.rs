//! The loops: claim work and run its passes, turn the backend's hints into work. Level-triggered and safe on every
//! replica, so whatever is cut off comes again.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::task::JoinSet;
use tracing::{Instrument, debug, info_span, warn};

use crate::claimed::{Claimed, UnderWay};
use crate::error::Result;
use crate::platform::Core;
use crate::store::{Changes, Claim, Wake, Work, WorkKey};
use crate::{accounts, activity, queue, reconcile, sweep};

/// How long to wait before asking again a store or a watch that failed.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What must be there before anything is claimed: the sweep's own work.
pub(crate) async fn start(core: &Core) -> Result<()> {
    let wake = Wake {
        key: WorkKey::Sweep(sweep::BACKEND.to_owned()),
        at: core.clock.now(),
    };
    core.commit(Changes {
        wakes: vec![wake],
        ..Changes::default()
    })
    .await
}

/// One piece of work.
async fn work(core: &Core, work: &Claimed) {
    let _counted = core.tally.pass(work.key());
    let pass = async {
        match work.key() {
            WorkKey::Pod(id) => reconcile::pass(core, *id, work).await,
            WorkKey::Queue(product) => queue::pass(core, product, work).await,
            WorkKey::Sweep(_) => sweep::pass(core, work).await,
            WorkKey::Account(account) => accounts::pass(core, account, work).await,
        }
    };
    let span = info_span!("pass", key = %work.key());
    if let Err(error) = pass.instrument(span).await {
        // The lease runs out, and somebody takes it up again.
        warn!(key = %work.key(), %error, "work was not finished");
    }
}

async fn claim(core: &Core, limit: usize) -> Result<Vec<Work>> {
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    core.store
        .claim(&Claim {
            limit,
            now: core.clock.now(),
            lease: core.settings.lease,
        })
        .await
}

/// Until `shutdown`; then lets the passes under way end.
pub(crate) async fn run(core: &Core, shutdown: impl Future<Output = ()> + Send) {
    let mut shutdown = pin!(shutdown);
    let mut passes = JoinSet::new();
    let under_way = Arc::new(UnderWay::default());
    let mut watch = JoinSet::new();
    watch.spawn(watch_backend(core.clone(), under_way.clone()));
    let mut hints = core.store.changed().await.ok();
    loop {
        let room = core.settings.workers.saturating_sub(passes.len());
        // With no room nothing is claimed, so no lease renewed either: another replica may begin a second pass over the
        // same key. There are never more of them than replicas, and only the newest can finish the work.
        let claimed = if room == 0 {
            Vec::new()
        } else {
            claim(core, room).await.unwrap_or_default()
        };
        let more = claimed.len() == room;
        for pass in claimed.into_iter().filter_map(|p| under_way.take_up(p)) {
            let core = core.clone();
            passes.spawn(async move { work(&core, &pass).await });
        }
        let hint = async {
            match &mut hints {
                Some(hints) => hints.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // In this order, so that a simulated history replays.
            biased;
            () = &mut shutdown => break,
            Some(_) = passes.join_next() => {}
            hint = hint, if !more => {
                if hint.is_none() {
                    hints = None;
                }
            }
            () = tokio::time::sleep(core.settings.look_every), if room > 0 => {}
        }
        while passes.try_join_next().is_some() {}
    }
    watch.abort_all();
    while passes.join_next().await.is_some() {}
    activity::write_looks(core).await;
}

/// Until nothing is due now.
pub(crate) async fn run_until_idle(core: &Core) -> Result<()> {
    while round(core).await? {}
    Ok(())
}

/// One pass over each piece of work that is due now. Answers whether there was any.
pub(crate) async fn round(core: &Core) -> Result<bool> {
    let claimed = claim(core, core.settings.workers).await?;
    let claimed: Vec<_> = claimed.into_iter().map(Claimed::new).collect();
    futures::future::join_all(claimed.iter().map(|piece| work(core, piece))).await;
    Ok(!claimed.is_empty())
}

/// Turns the backend's hints into work, for ever. A watch that ends or fails is opened again; what it missed
/// meanwhile is found by the sweep, which is brought forward.
async fn watch_backend(core: Core, under_way: Arc<UnderWay>) {
    loop {
        match core.orchestrator.watch().await {
            Ok(mut hints) => {
                while let Some(pod) = hints.next().await {
                    if under_way.hint(pod) {
                        continue;
                    }
                    let wakes = vec![Wake {
                        key: WorkKey::Pod(pod),
                        at: core.clock.now(),
                    }];
                    let changes = Changes {
                        wakes,
                        ..Changes::default()
                    };
                    if let Err(error) = core.commit(changes).await {
                        warn!(%pod, %error, "a hint was lost; the sweep will find it");
                    }
                }
                debug!("the watch ended");
            }
            Err(error) => debug!(%error, "the backend can't be watched"),
        }
        tokio::time::sleep(AGAIN_AFTER).await;
        if let Err(error) = start(&core).await {
            debug!(%error, "the sweep could not be brought forward");
        }
    }
}
