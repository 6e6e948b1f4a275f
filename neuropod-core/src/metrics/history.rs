//! Minutes in the store: a document each, under a key that no other replica writes, many in one write.

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::KEPT;
use super::point::Point;
use super::ring::minute;
use crate::error::{Error, Result};
use crate::id::PodId;
use crate::platform::Core;
use crate::store::{Changes, DocChange, DocQuery, Document};
use crate::time::Time;

const KIND: &str = "usage";
/// So many are written at once.
const AT_ONCE: usize = 1000;

#[derive(Serialize, Deserialize)]
struct Minute {
    point: Point,
}

/// Keys come in the order of time.
fn key(pod: PodId, at: Time) -> String {
    format!("{pod}/{:020}", minute(at).as_micros().max(0))
}

/// The document of a minute, as this replica has seen it.
pub(super) fn document(pod: PodId, point: Point, replica: u32) -> Document {
    Document {
        kind: KIND.to_owned(),
        key: format!("{}/{replica:08x}", key(pod, point.at)),
        index: [None, None, None],
        expires_at: Some(point.at + KEPT),
        body: serde_json::to_value(Minute { point }).expect("plain data"),
        version: 0,
    }
}

/// Writes minutes that have ended. What can't be written is lost: a plot has a gap, and says so.
pub(super) async fn write(core: &Core, documents: Vec<Document>) {
    for documents in documents.chunks(AT_ONCE) {
        let changes = Changes {
            documents: documents.iter().cloned().map(DocChange::Put).collect(),
            ..Changes::default()
        };
        if let Err(error) = core.commit(changes).await {
            warn!(%error, lost = documents.len(), "minutes of usage could not be kept");
        }
    }
}

/// The minutes of a pod that touch that span.
pub(super) async fn read(core: &Core, pod: PodId, from: Time, to: Time) -> Result<Vec<Point>> {
    let mut query = DocQuery {
        kind: KIND.to_owned(),
        prefix: format!("{pod}/"),
        // The keys of a minute are longer than this, so they come after it.
        after: Some(key(pod, from)),
        limit: 1000,
        now: core.clock.now(),
        ..DocQuery::default()
    };
    let mut points = Vec::new();
    loop {
        let page = core.store.documents(&query).await?;
        for document in page.items {
            let Minute { point } = serde_json::from_value(document.body).map_err(|e| {
                Error::internal("A minute of usage in the store can't be read.").caused_by(e)
            })?;
            if point.at >= to {
                return Ok(points);
            }
            points.push(point);
        }
        query.after = page.next;
        if query.after.is_none() {
            return Ok(points);
        }
    }
}
