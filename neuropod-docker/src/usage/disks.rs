//! How much is on disks. The engine adds up files to tell that, which takes the longer the more there are: so it is asked
//! beside, and then rests for many times as long as it took. What is told is what was found last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use neuropod_core::id::PodId;
use tracing::debug;

use crate::convert;
use crate::engine::Engine;

/// How long a container's disk is not looked at again, at least.
const CONTAINER: Duration = Duration::from_secs(1);
/// And volumes, of which the engine tells all or none, and all its images with them.
const VOLUMES: Duration = Duration::from_secs(30);
/// It rests so many times as long as it took.
const REST: u32 = 20;

#[derive(Debug, Clone, Default)]
pub(super) struct Disks(Arc<Mutex<All>>);

#[derive(Debug, Default)]
struct All {
    containers: HashMap<String, Measured<u64>>,
    volumes: Measured<HashMap<PodId, u64>>,
}

/// What was found last, and when to look again.
#[derive(Debug)]
struct Measured<T> {
    found: Option<T>,
    /// `None` while somebody looks.
    again_at: Option<Instant>,
}

impl<T> Default for Measured<T> {
    fn default() -> Self {
        Self {
            found: None,
            again_at: Some(Instant::now()),
        }
    }
}

impl<T> Measured<T> {
    /// Whether the caller is to look now.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.again_at.is_some_and(|at| at <= now);
        if due {
            self.again_at = None;
        }
        due
    }

    /// What can't be told now is what it was.
    fn note(&mut self, found: Option<T>, began: Instant, now: Instant, at_least: Duration) {
        self.found = found.or(self.found.take());
        self.again_at = Some(now + at_least.max((now - began) * REST));
    }
}

impl Disks {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().expect("no panic while held")
    }

    /// Bytes on the container's own disk, and on the volume of its pod.
    pub(super) fn of(
        &self,
        engine: &Engine,
        container: &str,
        volume: Option<PodId>,
    ) -> (Option<u64>, Option<u64>) {
        let began = Instant::now();
        let mut all = self.all();
        let disk = all.containers.entry(container.to_owned()).or_default();
        if disk.is_due(began) {
            tokio::spawn(self.clone().look_at(engine.clone(), container.to_owned()));
        }
        let disk = disk.found;
        let Some(pod) = volume else {
            return (disk, None);
        };
        if all.volumes.is_due(began) {
            tokio::spawn(self.clone().look_at_volumes(engine.clone()));
        }
        let volumes = all.volumes.found.as_ref();
        (disk, volumes.and_then(|volumes| volumes.get(&pod)).copied())
    }

    pub(super) fn forget(&self, container: &str) {
        self.all().containers.remove(container);
    }

    async fn look_at(self, engine: Engine, container: String) {
        let began = Instant::now();
        let size = engine.size(&container).await;
        let size = size.inspect_err(|error| debug!(%error, "no size of a container"));
        // Unless it was forgotten meanwhile.
        if let Some(disk) = self.all().containers.get_mut(&container) {
            disk.note(size.ok().flatten(), began, Instant::now(), CONTAINER);
        }
    }

    async fn look_at_volumes(self, engine: Engine) {
        let began = Instant::now();
        let sizes = engine.sizes_of_volumes().await;
        let sizes = sizes.inspect_err(|error| debug!(%error, "no sizes of volumes"));
        let ours = sizes.ok().map(|sizes| {
            let named = sizes.into_iter();
            named
                .filter_map(|(name, size)| Some((convert::pod_of_volume(&name)?, size)))
                .collect()
        });
        let mut all = self.all();
        all.volumes.note(ours, began, Instant::now(), VOLUMES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_looked_at_less_often_and_by_one_at_a_time() {
        let mut disk = Measured::default();
        let began = Instant::now() + Duration::from_secs(1);
        assert!(disk.is_due(began));
        assert!(!disk.is_due(began + Duration::from_secs(100)), "one looks");
        let ended = began + Duration::from_secs(2);
        disk.note(Some(7), began, ended, CONTAINER);
        assert!(!disk.is_due(ended + Duration::from_secs(39)));
        assert!(disk.is_due(ended + Duration::from_secs(40)));
        disk.note(None, ended, ended, CONTAINER);
        assert_eq!(disk.found, Some(7), "unknown is not nothing");
        assert!(!disk.is_due(ended + Duration::from_millis(999)));
        assert!(disk.is_due(ended + CONTAINER));
    }
}
