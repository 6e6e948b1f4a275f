//! The log of a run after its container is gone: its last lines, kept in the store for a week. And logs that are followed.

mod follow;
mod hub;

use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde::{Deserialize, Serialize};
use tracing::debug;

use crate::error::Result;
use crate::id::RunId;
use crate::orchestrator::{LogCursor, LogLine, LogQuery};
use crate::platform::Core;
use crate::store::{DocChange, Document, StoreExt};

pub use follow::{LogFrom, LogItem};
pub(crate) use hub::Hubs;

const KIND: &str = "log";
/// So much of a log is kept.
const KEEP_BYTES: usize = 256 << 10;
/// So many lines are asked for to find that much.
const KEEP_LINES: u32 = 10_000;
/// Reading it may take so long: an end is not held up for it.
const READ_WITHIN: Duration = Duration::from_secs(5);
const KEEP_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Serialize, Deserialize)]
struct Kept {
    nanos: i64,
    k: u32,
    stderr: bool,
    text: String,
}

/// The document that keeps the end of the log of `run`; none if it can't be read now.
pub(crate) async fn keep(core: &Core, run: RunId) -> Option<DocChange> {
    let read = async {
        let query = LogQuery {
            tail: Some(KEEP_LINES),
            ..LogQuery::default()
        };
        let mut lines = core.orchestrator.logs(run, &query).await?;
        let mut kept = std::collections::VecDeque::new();
        let mut bytes = 0;
        while let Some(line) = lines.next().await {
            let line = line?;
            bytes += line.text.len();
            kept.push_back(Kept {
                nanos: line.cursor.nanos,
                k: line.cursor.k,
                stderr: line.stderr,
                text: line.text,
            });
            while bytes > KEEP_BYTES {
                bytes -= kept.pop_front().map_or(bytes, |line| line.text.len());
            }
        }
        Ok::<_, crate::Error>(kept)
    };
    match tokio::time::timeout(READ_WITHIN, read).await {
        Ok(Ok(kept)) if kept.is_empty() => None,
        Ok(Ok(kept)) => Some(DocChange::Put(Document {
            kind: KIND.to_owned(),
            key: run.to_string(),
            body: serde_json::to_value(kept).ok()?,
            index: [Some(run.pod.to_string()), None, None],
            expires_at: Some(core.clock.now() + KEEP_FOR),
            version: 0,
        })),
        Ok(Err(e)) => {
            debug!(%run, error = %e, "its log is not kept");
            None
        }
        Err(_) => {
            debug!(%run, "its log is not kept: it could not be read in time");
            None
        }
    }
}

/// What was kept of the log of `run`.
pub(crate) async fn kept(
    core: &Core,
    run: RunId,
    query: &LogQuery,
) -> Result<BoxStream<'static, Result<LogLine>>> {
    let document = core
        .store
        .document(KIND, &run.to_string(), core.clock.now())
        .await?;
    let kept: Vec<Kept> = document
        .and_then(|d| serde_json::from_value(d.body).ok())
        .unwrap_or_default();
    let mut lines: Vec<LogLine> = kept
        .into_iter()
        .map(|l| LogLine {
            cursor: LogCursor {
                run,
                nanos: l.nanos,
                k: l.k,
            },
            stderr: l.stderr,
            text: l.text,
        })
        .filter(|l| {
            query
                .after
                .is_none_or(|after| after.run != run || l.cursor > after)
        })
        .collect();
    let skip = query
        .tail
        .map_or(0, |tail| lines.len().saturating_sub(tail as usize));
    lines.drain(..skip);
    Ok(stream::iter(lines.into_iter().map(Ok)).boxed())
}
