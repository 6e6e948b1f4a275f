//! What administrators are told of a backend: that it does not answer, that it does again, and that a GPU of it is lost.
//! Each once, whatever replica has seen it: what was told last is a document.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::{Error, ErrorKind, Result};
use crate::event::{EventKind, NewEvent};
use crate::id::DeviceId;
use crate::orchestrator::Capacity;
use crate::platform::Core;
use crate::store::{Changes, DocChange, Document, StoreExt};

const KIND: &str = "alarm";

/// What was told last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Told {
    unreachable: bool,
    /// The devices that worked.
    devices: BTreeSet<DeviceId>,
}

/// What is seen of a backend.
#[derive(Debug)]
pub(crate) enum Backend {
    /// It does not answer.
    Silent,
    /// It does, and has this, if it says so.
    Answers(Option<Capacity>),
}

/// What is to be told: kind and sentence.
type News = (&'static str, String);

/// What has been told after this, and what is to be told now.
fn judge(told: &Told, seen: &Backend) -> (Told, Vec<News>) {
    let mut after = told.clone();
    let mut news = Vec::new();
    match seen {
        Backend::Silent => {
            after.unreachable = true;
            if !told.unreachable {
                let message = "The backend does not answer. Pods go on as they are, and what is asked of them waits.";
                news.push(("backendUnreachable", message.to_owned()));
            }
        }
        Backend::Answers(capacity) => {
            after.unreachable = false;
            if told.unreachable {
                news.push(("backendRecovered", "The backend answers again.".to_owned()));
            }
            // A backend that finds devices by itself also knows what becomes of them.
            if let Some(capacity) = capacity.as_ref().filter(|c| !c.places_itself) {
                let healthy = capacity.devices.iter().filter(|device| device.healthy);
                after.devices = healthy.map(|device| device.id.clone()).collect();
                for lost in told.devices.difference(&after.devices) {
                    let message = format!("GPU {lost} does not work any more, or is gone.");
                    news.push(("gpuLost", message));
                }
            }
        }
    }
    (after, news)
}

/// Tells administrators what has changed of the backend since somebody was told last.
pub(crate) async fn tell(core: &Core, backend: &str, seen: &Backend) -> Result<()> {
    let now = core.clock.now();
    let document = core.store.document(KIND, backend, now).await?;
    let told: Told = document
        .as_ref()
        .and_then(|document| serde_json::from_value(document.body.clone()).ok())
        .unwrap_or_default();
    let (after, news) = judge(&told, seen);
    if after == told {
        return Ok(());
    }
    let event = |(kind, message): News| NewEvent {
        kind: EventKind::AdminNotice,
        at: now,
        pod: None,
        owner: None,
        body: json!({ "kind": kind, "message": message }),
    };
    let changes = Changes {
        events: news.into_iter().map(event).collect(),
        documents: vec![DocChange::Put(Document {
            kind: KIND.to_owned(),
            key: backend.to_owned(),
            body: serde_json::to_value(&after).map_err(|e| Error::internal(e.to_string()))?,
            index: [None, None, None],
            expires_at: None,
            version: document.map_or(0, |document| document.version),
        })],
        ..Changes::default()
    };
    match core.commit(changes).await {
        // Another replica has told it.
        Err(e) if *e.kind() == ErrorKind::Conflict => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrator::Device;

    fn answers(devices: &[(&str, bool)]) -> Backend {
        let devices = devices.iter().map(|&(id, healthy)| Device {
            id: DeviceId::from(id),
            product: "x".to_owned(),
            memory_mib: 1,
            healthy,
        });
        Backend::Answers(Some(Capacity {
            devices: devices.collect(),
            places_itself: false,
            needs_host_ports: true,
            disk_limit: false,
            caveats: Vec::new(),
            simulated: false,
        }))
    }

    #[test]
    fn each_is_told_once_when_it_begins() {
        let mut told = Told::default();
        for (seen, wanted) in [
            (answers(&[("a", true), ("b", true), ("c", false)]), vec![]),
            (answers(&[("a", true), ("b", true), ("c", true)]), vec![]),
            (Backend::Silent, vec!["backendUnreachable"]),
            (Backend::Silent, vec![]),
            (Backend::Answers(None), vec!["backendRecovered"]),
            (Backend::Answers(None), vec![]),
            (answers(&[("a", false), ("c", true)]), vec!["gpuLost"; 2]),
            (answers(&[("a", false), ("c", true)]), vec![]),
            (answers(&[("a", true), ("c", true)]), vec![]),
            (Backend::Silent, vec!["backendUnreachable"]),
            (answers(&[("a", true)]), vec!["backendRecovered", "gpuLost"]),
        ] {
            let (after, news) = judge(&told, &seen);
            let kinds: Vec<_> = news.iter().map(|(kind, _)| *kind).collect();
            assert_eq!(kinds, wanted, "{told:?} {seen:?}");
            told = after;
        }
    }
}
