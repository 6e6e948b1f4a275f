//! Hints from the engine's events, and from the pulls, of which it has none that name a pod.

use std::time::Duration;

use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptionsBuilder;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use neuropod_core::Result;
use neuropod_core::id::PodId;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::convert::{self, INSTANCE, POD};
use crate::engine::Engine;

/// Events from now on. The stream ends when the engine does not answer any more.
pub(crate) async fn watch(
    engine: &Engine,
    pulls: Receiver<PodId>,
) -> Result<BoxStream<'static, PodId>> {
    engine.ping().await?;
    // The request goes out with the first poll; what happens until then is not missed.
    let since = engine.now().await? - Duration::from_secs(1);
    let mut watch = Watch {
        engine: engine.clone(),
        events: stream::empty().boxed(),
        since: since.as_micros() * 1000,
        pulls,
    };
    watch.open();
    Ok(stream::unfold(watch, |mut watch| async {
        let pod = watch.next().await?;
        Some((pod, watch))
    })
    .boxed())
}

struct Watch {
    engine: Engine,
    events: BoxStream<'static, Result<EventMessage, bollard::errors::Error>>,
    /// The first event that was not heard of, in nanoseconds since 1970.
    since: i64,
    pulls: Receiver<PodId>,
}

impl Watch {
    fn open(&mut self) {
        let (seconds, nanos) = (self.since / 1_000_000_000, self.since % 1_000_000_000);
        let types = ["container", "volume"].map(str::to_owned).to_vec();
        let options = EventsOptionsBuilder::new()
            .since(&format!("{seconds}.{nanos:09}"))
            .filters(&[("type".to_owned(), types)].into())
            .build();
        self.events = self.engine.docker.events(Some(options)).boxed();
    }

    async fn next(&mut self) -> Option<PodId> {
        loop {
            let event = tokio::time::timeout(self.engine.config.idle, self.events.next());
            tokio::select! {
                event = event => match event {
                    Ok(event) => {
                        let event = event?.ok()?;
                        self.since = event.time_nano.map_or(self.since, |at| at + 1);
                        if let Some(pod) = hinted(&self.engine.config.installation, &event) {
                            return Some(pod);
                        }
                    }
                    Err(_) => {
                        self.engine.ping().await.ok()?;
                        self.open();
                    }
                },
                pulled = self.pulls.recv() => match pulled {
                    Ok(pod) => return Some(pod),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }
}

/// The pod whose state an event may have changed; what was created alone does nothing yet. Events of volumes carry no
/// labels, but their names do.
fn hinted(installation: &str, event: &EventMessage) -> Option<PodId> {
    let actor = event.actor.as_ref()?;
    let action = event.action.as_deref()?;
    if event.typ == Some(EventMessageTypeEnum::VOLUME) {
        return convert::pod_of_volume(actor.id.as_deref()?).filter(|_| action == "destroy");
    }
    let labels = actor.attributes.as_ref()?;
    let ours = labels.get(INSTANCE)? == installation;
    let told = matches!(action, "start" | "oom" | "die" | "destroy");
    labels.get(POD)?.parse().ok().filter(|_| ours && told)
}
