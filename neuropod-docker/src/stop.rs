//! Ending a container: asked once, and the engine goes on with it by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bollard::query_parameters::StopContainerOptionsBuilder;
use neuropod_core::Result;
use neuropod_core::orchestrator::State;

use crate::engine::{Container, Engine};
use crate::error::{status, unreachable};

/// So long the answer is waited for: most programs have ended by then, and an engine that can't do it says so.
const SOON: Duration = Duration::from_millis(100);
/// So long after the grace the engine may take to kill.
const TO_KILL: Duration = Duration::from_secs(60);

/// The stops under way, by container, and when each kills. A second one would send the signal again, which many
/// programs take for "at once".
#[derive(Debug, Clone, Default)]
pub(crate) struct Stops(Arc<Mutex<HashMap<String, Instant>>>);

impl Stops {
    /// Whether a stop that kills at `kills_at` comes before the one under way, if there is one; it is under way then.
    fn begin(&self, id: &str, kills_at: Instant) -> bool {
        let mut all = self.0.lock().expect("no panic while held");
        let earlier = all.get(id).is_none_or(|under_way| kills_at < *under_way);
        if earlier {
            all.insert(id.to_owned(), kills_at);
        }
        earlier
    }

    fn end(&self, id: &str, kills_at: Instant) {
        let mut all = self.0.lock().expect("no panic while held");
        if all.get(id) == Some(&kills_at) {
            all.remove(id);
        }
    }
}

/// What has run ends and stays; what never ran is removed.
pub(crate) async fn stop(
    engine: &Engine,
    stops: &Stops,
    container: Container,
    grace: Duration,
) -> Result<()> {
    match container.instance.state {
        State::Running { .. } => {}
        State::Exited {
            started_at: Some(_),
            ..
        } => return Ok(()),
        _ => return engine.delete(&container.id).await,
    }
    let id = container.id;
    // The engine knows whole seconds only, and less than one must not become none.
    let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
    let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
    let whole = Duration::from_secs(seconds.unsigned_abs().into());
    let kills_at = Instant::now() + whole;
    if !stops.begin(&id, kills_at) {
        return Ok(());
    }
    let docker = engine.docker.clone().with_timeout(whole + TO_KILL);
    let stops = stops.clone();
    let asked = tokio::spawn(async move {
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let answer = docker.stop_container(&id, Some(options)).await;
        stops.end(&id, kills_at);
        answer
    });
    match tokio::time::timeout(SOON, asked).await {
        Ok(Ok(Err(e))) if status(&e) != Some(404) => Err(unreachable("docker stop", e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_earlier_stop_is_sent_again() {
        let (stops, now) = (Stops::default(), Instant::now());
        let later = now + Duration::from_secs(9);
        assert!(stops.begin("a", later));
        assert!(!stops.begin("a", later + SOON));
        assert!(stops.begin("b", later + SOON));
        assert!(stops.begin("a", now));
        stops.end("a", later);
        assert!(!stops.begin("a", later), "the other one goes on");
        stops.end("a", now);
        assert!(stops.begin("a", later));
    }
}
