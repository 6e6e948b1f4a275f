//! The log of a run, as its node's kubelet serves it: each line with its time.

mod lines;

use std::pin::Pin;

use futures::io::AsyncBufRead;
use futures::stream::{self, BoxStream};
use futures::{AsyncBufReadExt, StreamExt};
use k8s_openapi::jiff::Timestamp;
use kube::api::LogParams;
use neuropod_core::id::RunId;
use neuropod_core::orchestrator::{LogCursor, LogLine, LogQuery, State};
use neuropod_core::{Error, Result};

use crate::cluster::Cluster;
use crate::error::{status, unreachable};
use crate::manifest::CONTAINER;
use crate::observe;
use lines::Lines;

/// So many lines more than are asked for at first: those of the first time may not be all of that time.
const MARGIN: usize = 16;

const OPERATION: &str = "kubernetes logs";

type Bytes = Pin<Box<dyn AsyncBufRead + Send>>;

pub(crate) async fn stream(
    cluster: &Cluster,
    run: RunId,
    query: &LogQuery,
) -> Result<BoxStream<'static, Result<LogLine>>> {
    let Some(pod) = cluster.of_run(run).await? else {
        return Ok(stream::empty().boxed());
    };
    let running = matches!(observe::state(&pod, Vec::new), State::Running { .. });
    let mut reader = Reader {
        cluster: cluster.clone(),
        name: pod.metadata.name.unwrap_or_default(),
        run,
        after: query.after.filter(|after| after.run == run),
        follow: query.follow && running,
        bytes: Box::pin(futures::io::empty()),
        lines: Lines::new(run),
    };
    let mut first = Vec::new();
    if let Some(tail) = query.tail {
        let last = reader.last(tail as usize).await?;
        first = last.lines;
        reader.after = last.end.or(reader.after);
    }
    if query.tail.is_none() || reader.follow {
        reader.open().await?;
    }
    let rest = stream::unfold(Some(reader), |reader| async {
        let mut reader = reader?;
        match reader.next().await {
            Ok(line) => line.map(|line| (Ok(line), Some(reader))),
            Err(e) => Some((Err(e), None)),
        }
    });
    Ok(stream::iter(first.into_iter().map(Ok)).chain(rest).boxed())
}

struct Reader {
    cluster: Cluster,
    name: String,
    run: RunId,
    after: Option<LogCursor>,
    follow: bool,
    bytes: Bytes,
    lines: Lines,
}

/// The end of a log.
struct Last {
    lines: Vec<LogLine>,
    /// Its very last line, also if that was not wanted.
    end: Option<LogCursor>,
}

impl Reader {
    /// From the last line that was told. The API rounds times to seconds, and lines of two outputs may be out of order;
    /// each has its place by all that come before it.
    async fn open(&mut self) -> Result<()> {
        let since = self.after.and_then(|after| {
            let seconds = after.nanos.div_euclid(1_000_000_000) - 1;
            Timestamp::from_second(seconds.max(0)).ok()
        });
        let params = LogParams {
            follow: self.follow,
            since_time: since,
            ..LogParams::default()
        };
        self.bytes = bytes(&self.cluster, &self.name, params).await?;
        self.lines = Lines::new(self.run);
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<LogLine>> {
        loop {
            let read = read(&mut self.bytes, &mut self.lines);
            let line = if self.follow {
                let Ok(line) = tokio::time::timeout(self.cluster.config.idle, read).await else {
                    self.cluster.ping().await?;
                    self.open().await?;
                    continue;
                };
                line?
            } else {
                self.cluster.call(OPERATION, read).await??
            };
            match line {
                Some(line) if self.after.is_none_or(|after| line.cursor > after) => {
                    self.after = Some(line.cursor);
                    return Ok(Some(line));
                }
                Some(_) => {}
                None if self.follow && self.goes_on().await? => self.open().await?,
                None => return Ok(None),
            }
        }
    }

    /// Whether the program runs although its log has ended: a kubelet that was restarted does that. Once it has ended
    /// there may be more than was followed, and then no more.
    async fn goes_on(&mut self) -> Result<bool> {
        let there = self.cluster.of_run(self.run).await?;
        let running = there
            .as_ref()
            .is_some_and(|pod| matches!(observe::state(pod, Vec::new), State::Running { .. }));
        if running {
            // The kubelet tells of an end later than the log does.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        } else {
            self.follow = false;
        }
        Ok(there.is_some())
    }

    /// The last `n` lines after `self.after`. A kubelet counts pieces, of which a long line has many, so where they are not
    /// enough all of the log is read.
    async fn last(&mut self, n: usize) -> Result<Last> {
        let ask = i64::try_from(n.saturating_add(MARGIN)).unwrap_or(i64::MAX);
        let mut lines = self.window(Some(ask)).await?;
        // The first of them may be a piece, and not the first of its time.
        if let Some(first) = lines.first().map(|l| l.cursor.nanos) {
            lines.retain(|l| l.cursor.nanos != first);
        }
        let reaches = |after: LogCursor| lines.first().is_some_and(|l| l.cursor <= after);
        if lines.len() < n.max(1) && !self.after.is_some_and(reaches) {
            lines = self.window(None).await?;
        }
        let end = lines.last().map(|l| l.cursor);
        lines.retain(|l| self.after.is_none_or(|after| l.cursor > after));
        lines.drain(..lines.len().saturating_sub(n));
        Ok(Last { lines, end })
    }

    async fn window(&mut self, tail_lines: Option<i64>) -> Result<Vec<LogLine>> {
        let params = LogParams {
            tail_lines,
            ..LogParams::default()
        };
        let mut bytes = bytes(&self.cluster, &self.name, params).await?;
        let (mut all, mut lines) = (Lines::new(self.run), Vec::new());
        while let Some(line) = self
            .cluster
            .call(OPERATION, read(&mut bytes, &mut all))
            .await??
        {
            lines.push(line);
        }
        Ok(lines)
    }
}

async fn bytes(cluster: &Cluster, name: &str, params: LogParams) -> Result<Bytes> {
    let params = LogParams {
        container: Some(CONTAINER.to_owned()),
        timestamps: true,
        ..params
    };
    let api = cluster.pods();
    match cluster
        .call(OPERATION, api.log_stream(name, &params))
        .await?
    {
        Ok(bytes) => Ok(Box::pin(bytes)),
        // Gone, or it never started.
        Err(e) if matches!(status(&e), Some(400 | 404)) => Ok(Box::pin(futures::io::empty())),
        Err(e) => Err(unreachable(OPERATION, e)),
    }
}

/// The next line; what has no time is the kubelet's own word and no line.
async fn read(bytes: &mut Bytes, lines: &mut Lines) -> Result<Option<LogLine>> {
    loop {
        let buffer = bytes.fill_buf().await;
        let buffer = buffer.map_err(|e| {
            Error::unreachable("The log broke off.")
                .during(OPERATION)
                .caused_by(e)
        })?;
        if buffer.is_empty() {
            return Ok(lines.rest());
        }
        let (used, line) = lines.take(buffer);
        bytes.consume_unpin(used);
        if line.is_some() {
            return Ok(line);
        }
    }
}
