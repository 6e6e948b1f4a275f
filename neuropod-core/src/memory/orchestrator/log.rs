//! What simulated programs print, as a stream.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::Shared;
use super::engine::Engine;
use crate::error::Result;
use crate::id::RunId;
use crate::orchestrator::{LogCursor, LogLine, LogQuery};
use crate::time::Time;

/// The lines that `query` asks for, from now on.
pub(super) fn stream(
    shared: Arc<Shared>,
    run: RunId,
    query: LogQuery,
) -> BoxStream<'static, Result<LogLine>> {
    let reader = Reader {
        shared,
        run,
        after: query.after,
        tail: query.tail,
        follow: query.follow,
        buffered: VecDeque::new(),
    };
    stream::unfold(Some(reader), |reader| async {
        let mut reader = reader?;
        match reader.next().await {
            Ok(line) => line.map(|line| (Ok(line), Some(reader))),
            Err(e) => Some((Err(e), None)),
        }
    })
    .boxed()
}

struct Reader {
    shared: Arc<Shared>,
    run: RunId,
    after: Option<LogCursor>,
    tail: Option<u32>,
    follow: bool,
    buffered: VecDeque<LogLine>,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<LogLine>> {
        loop {
            if let Some(line) = self.buffered.pop_front() {
                self.after = Some(line.cursor);
                return Ok(Some(line));
            }
            let (mut hints, next_line) = {
                let engine = self.shared.engine()?;
                self.buffered = lines(&engine, self.run, self.after);
                if let Some(tail) = self.tail.take() {
                    let surplus = self.buffered.len().saturating_sub(tail as usize);
                    self.buffered.drain(..surplus);
                }
                if !self.buffered.is_empty() {
                    continue;
                }
                let running = engine.containers.get(&self.run).filter(|c| c.is_running());
                let Some(container) = running.filter(|_| self.follow) else {
                    return Ok(None);
                };
                let mut later = container.printed.iter().map(|(at, _)| *at);
                let next = later.find(|at| *at > engine.now);
                (engine.hints.subscribe(), next)
            };
            self.shared.next_change(&mut hints, next_line).await;
        }
    }
}

/// Lines printed by now, after `after`.
fn lines(engine: &Engine, run: RunId, after: Option<LogCursor>) -> VecDeque<LogLine> {
    let Some(container) = engine.containers.get(&run) else {
        return VecDeque::new();
    };
    let mut previous = (Time::EPOCH, 0);
    let numbered = container.printed.iter().map(|(at, text)| {
        let k = if previous.0 == *at { previous.1 + 1 } else { 0 };
        previous = (*at, k);
        let nanos = at.as_micros().saturating_mul(1000);
        LogLine {
            cursor: LogCursor { run, nanos, k },
            stderr: false,
            text: text.clone(),
        }
    });
    let now = engine.now.as_micros().saturating_mul(1000);
    numbered
        .filter(|line| line.cursor.nanos <= now && after.is_none_or(|after| line.cursor > after))
        .collect()
}
