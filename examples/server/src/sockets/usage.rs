//! What pods use, once a second, for those who have subscribed to them: one watch a pod, however many they are.

use std::sync::Arc;
use std::time::Duration;

use neuropod::auth::Identity;
use neuropod::id::PodId;
use neuropod::metrics::Watch;

use super::hall::{Hall, text};
use super::payload;

/// How often it is looked whether anybody is there yet.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Hall {
    /// Tells the room of a pod what it uses, from now on as long as somebody is in it.
    pub(super) fn tell_usage(self: &Arc<Self>, who: &Identity, pod: PodId) {
        if !self.measured().insert(pod) {
            return;
        }
        let (hall, who) = (Arc::clone(self), who.clone());
        tokio::spawn(async move {
            match hall.app().platform.watch_usage(&who, pod).await {
                Ok(watch) => hall.relay_usage(pod, watch).await,
                // Whoever subscribes next begins it.
                Err(error) => {
                    tracing::warn!(%pod, %error, "what a pod uses can't be watched");
                    hall.measured().remove(&pod);
                }
            }
        });
    }

    async fn relay_usage(&self, pod: PodId, mut watch: Watch) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            let point = tokio::select! {
                point = watch.next() => point,
                _ = looks.tick() => {
                    if self.is_over(pod) {
                        return;
                    }
                    continue;
                }
            };
            self.tell(vec![self.pod_room(pod)], "podMetrics", || {
                text(&payload::pod_metrics(
                    pod,
                    point.as_deref(),
                    self.app().now(),
                ))
            });
        }
    }

    /// Whether nobody is there any more. Who comes in later finds it so, and begins anew.
    fn is_over(&self, pod: PodId) -> bool {
        let mut measured = self.measured();
        let over = self.is_closing() || self.members(vec![self.pod_room(pod)]).is_empty();
        if over {
            measured.remove(&pod);
        }
        over
    }
}
