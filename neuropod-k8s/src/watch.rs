//! Hints from the cluster: what has become of Pods and claims, from now on.
//!
//! A watch goes on from where it was when the API server ends it, as it does every few minutes; when it can't, the stream
//! ends, and whoever asks for another one looks at everything anew. Bookmarks keep the place fresh in quiet times, and tell
//! that the watch is alive.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Error as Kube, ResourceExt};
use neuropod_core::id::PodId;
use neuropod_core::orchestrator::State;
use neuropod_core::{Error, Result};

use crate::cluster::Cluster;
use crate::{labels, observe};

const OPERATION: &str = "kubernetes watch";
/// The API server ends a watch after so long: less than what load balancers take for a dead connection.
const SERVED: Duration = Duration::from_secs(200);
/// Bookmarks come every minute or so. A watch that says nothing for longer than this is dead, whatever its connection says.
const SILENT: Duration = Duration::from_secs(150);

/// When each open watch has last said something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Freshness(Arc<Mutex<HashMap<&'static str, Instant>>>);

impl Freshness {
    fn heard(&self, kind: &'static str) {
        self.0
            .lock()
            .expect("no panic while held")
            .insert(kind, Instant::now());
    }

    fn closed(&self) {
        self.0.lock().expect("no panic while held").clear();
    }

    /// # Errors
    /// If a watch is open and has said nothing for too long.
    pub(crate) fn check(&self) -> Result<()> {
        let all = self.0.lock().expect("no panic while held");
        let stale = all.iter().find(|(_, heard)| heard.elapsed() > SILENT);
        match stale {
            None => Ok(()),
            Some((kind, heard)) => Err(Error::unreachable(
                "The watch of the cluster says nothing any more.",
            )
            .during(OPERATION)
            .with("of", kind)
            .with("seconds", heard.elapsed().as_secs())),
        }
    }
}

type Events<K> = BoxStream<'static, std::result::Result<WatchEvent<K>, Kube>>;

/// One kind of object, watched on and on.
struct Watch<K> {
    kind: &'static str,
    api: Api<K>,
    params: WatchParams,
    version: String,
    events: Events<K>,
    freshness: Freshness,
    /// What was last told of each object, so that nothing is hinted at twice.
    told: HashMap<String, u64>,
    /// Of which pod an object is, if its change is worth a hint, and what would not be worth another.
    hint: fn(&K, gone: bool) -> Option<(PodId, u64)>,
}

/// Hints from now on. The stream ends when one of the watches can't go on.
pub(crate) async fn watch(cluster: &Cluster) -> Result<BoxStream<'static, PodId>> {
    let (pods, claims) = tokio::try_join!(
        open(cluster, "pods", cluster.pods(), of_pod),
        open(cluster, "claims", cluster.claims(), of_claim),
    )?;
    let freshness = cluster.freshness.clone();
    let both = stream::select(hints(pods), hints(claims));
    let ended = both.take_while(|hint| futures::future::ready(hint.is_some()));
    let closes = stream::once(async move {
        freshness.closed();
        None
    });
    Ok(ended
        .chain(closes)
        .filter_map(futures::future::ready)
        .boxed())
}

async fn open<K>(
    cluster: &Cluster,
    kind: &'static str,
    api: Api<K>,
    hint: fn(&K, bool) -> Option<(PodId, u64)>,
) -> Result<Watch<K>>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let selector = labels::selector(&cluster.config, None);
    // For the place to begin at only.
    let one = ListParams::default().labels(&selector).limit(1);
    let now = cluster.done(OPERATION, api.list(&one)).await?;
    let seconds = u32::try_from(SERVED.as_secs()).unwrap_or(u32::MAX);
    let mut watch = Watch {
        kind,
        api,
        params: WatchParams::default().labels(&selector).timeout(seconds),
        version: now.metadata.resource_version.unwrap_or_default(),
        events: stream::empty().boxed(),
        freshness: cluster.freshness.clone(),
        told: HashMap::new(),
        hint,
    };
    let events = watch.api.watch(&watch.params, &watch.version);
    watch.events = cluster.done(OPERATION, events).await?.boxed();
    watch.freshness.heard(kind);
    Ok(watch)
}

/// `None` is its end.
fn hints<K>(watch: Watch<K>) -> impl futures::Stream<Item = Option<PodId>>
where
    K: ResourceExt + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        match watch.next().await {
            Some(pod) => Some((Some(pod), Some(watch))),
            None => Some((None, None)),
        }
    })
}

impl<K> Watch<K>
where
    K: ResourceExt + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    async fn next(&mut self) -> Option<PodId> {
        loop {
            let Ok(event) = tokio::time::timeout(SILENT, self.events.next()).await else {
                return None;
            };
            self.freshness.heard(self.kind);
            let (object, gone) = match event {
                Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                    (object, false)
                }
                Some(Ok(WatchEvent::Deleted(object))) => (object, true),
                Some(Ok(WatchEvent::Bookmark(mark))) => {
                    self.version = mark.metadata.resource_version;
                    continue;
                }
                // The place is too old to go on from, or the connection broke.
                Some(Ok(WatchEvent::Error(_)) | Err(_)) => return None,
                None => {
                    let again = self.api.watch(&self.params, &self.version);
                    let again = tokio::time::timeout(SILENT, again).await;
                    self.events = again.ok()?.ok()?.boxed();
                    continue;
                }
            };
            self.version = object.resource_version().unwrap_or_default();
            let uid = object.uid().unwrap_or_default();
            let hint = (self.hint)(&object, gone);
            let before = match (&hint, gone) {
                (_, true) => self.told.remove(&uid),
                (Some((_, what)), false) => self.told.insert(uid, *what),
                (None, false) => continue,
            };
            if let Some((pod, what)) = hint
                && (gone || before != Some(what))
            {
                return Some(pod);
            }
        }
    }
}

/// What is new of a Pod: that it runs, has ended, is to go, or waits for another reason. What was only created does nothing.
fn of_pod(pod: &Pod, gone: bool) -> Option<(PodId, u64)> {
    let id = labels::pod_of(&pod.metadata)?;
    let state = observe::state(pod, Vec::new);
    let waits = matches!(&state, State::Pending { reason } if reason.is_empty());
    let mut hasher = DefaultHasher::new();
    observe::is_leaving(pod).hash(&mut hasher);
    format!("{state:?}").hash(&mut hasher);
    (gone || !waits).then(|| (id, hasher.finish()))
}

/// Of a claim: that it is gone.
fn of_claim(claim: &PersistentVolumeClaim, gone: bool) -> Option<(PodId, u64)> {
    labels::pod_of(&claim.metadata)
        .filter(|_| gone)
        .map(|id| (id, 0))
}
