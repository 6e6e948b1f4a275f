//! The log of a run, put together from the engine's frames.

mod lines;

use bollard::container::LogOutput;
use bollard::errors::Error as DockerError;
use bollard::query_parameters::{LogsOptions, LogsOptionsBuilder};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use neuropod_core::Result;
use neuropod_core::id::RunId;
use neuropod_core::orchestrator::{LogCursor, LogLine, LogQuery, State};

use crate::engine::Engine;
use crate::error::{status, unreachable};
use lines::Lines;

/// So many frames more than lines are asked for at first.
const MARGIN: usize = 64;

const OPERATION: &str = "docker logs";

type Frames = BoxStream<'static, Result<LogOutput, DockerError>>;

pub(crate) async fn stream(
    engine: &Engine,
    run: RunId,
    query: &LogQuery,
) -> Result<BoxStream<'static, Result<LogLine>>> {
    let Some(container) = engine.of_run(run).await? else {
        return Ok(stream::empty().boxed());
    };
    let running = matches!(container.instance.state, State::Running { .. });
    let mut reader = Reader {
        engine: engine.clone(),
        id: container.id,
        run,
        after: query.after.filter(|after| after.run == run),
        follow: query.follow && running,
        frames: stream::empty().boxed(),
        lines: Lines::new(run),
    };
    let mut first = Vec::new();
    if let Some(tail) = query.tail {
        let last = reader.last(tail as usize).await?;
        first = last.lines;
        reader.after = last.end.or(reader.after);
    }
    if query.tail.is_none() || reader.follow {
        reader.open();
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
    engine: Engine,
    id: String,
    run: RunId,
    after: Option<LogCursor>,
    follow: bool,
    frames: Frames,
    lines: Lines,
}

/// The end of a log.
struct Last {
    lines: Vec<LogLine>,
    /// Its very last line, also if that was not wanted.
    end: Option<LogCursor>,
}

fn options() -> LogsOptionsBuilder {
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true);
    options.timestamps(true)
}

impl Reader {
    fn frames(&self, options: LogsOptions) -> Frames {
        self.engine.docker.logs(&self.id, Some(options)).boxed()
    }

    /// From the last line that was told. The engine knows whole seconds only; one more, since the lines of the two
    /// outputs may be out of order, and each has its place by all that come before it.
    fn open(&mut self) {
        let since = self.after.map_or(0, |after| {
            let seconds = after.nanos.div_euclid(1_000_000_000) - 1;
            i32::try_from(seconds).unwrap_or(0)
        });
        let options = options().follow(self.follow).since(since).build();
        self.frames = self.frames(options);
        self.lines = Lines::new(self.run);
    }

    async fn next(&mut self) -> Result<Option<LogLine>> {
        loop {
            let frame = if self.follow {
                let frame = tokio::time::timeout(self.engine.config.idle, self.frames.next());
                let Ok(frame) = frame.await else {
                    self.engine.ping().await?;
                    self.open();
                    continue;
                };
                frame
            } else {
                self.engine.call(OPERATION, self.frames.next()).await?
            };
            let line = match frame {
                Some(Ok(frame)) => match self.lines.take(&frame) {
                    Some(line) => line,
                    None => continue,
                },
                Some(Err(e)) if status(&e) == Some(404) => return Ok(None),
                Some(Err(e)) => return Err(unreachable(OPERATION, e)),
                None => match self.lines.rest() {
                    Some(line) => line,
                    None => return Ok(None),
                },
            };
            if self.after.is_none_or(|after| line.cursor > after) {
                self.after = Some(line.cursor);
                return Ok(Some(line));
            }
        }
    }

    /// The last `n` lines after `self.after`. The engine counts frames, of which a long line has many, so it is asked
    /// for more until there are enough.
    async fn last(&mut self, n: usize) -> Result<Last> {
        let mut ask = n.saturating_add(MARGIN);
        loop {
            let frames = self.frames(options().tail(&ask.to_string()).build());
            let (mut lines, whole) = self.window(frames, ask).await?;
            let reaches = |after: LogCursor| lines.first().is_some_and(|l| l.cursor <= after);
            if whole || lines.len() >= n.max(1) || self.after.is_some_and(reaches) {
                let end = lines.last().map(|l| l.cursor);
                lines.retain(|l| self.after.is_none_or(|after| l.cursor > after));
                lines.drain(..lines.len().saturating_sub(n));
                return Ok(Last { lines, end });
            }
            ask = ask.saturating_mul(4);
        }
    }

    /// The lines of some last frames, `asked` at most, and whether that is the whole log. If it is not, the first of
    /// them may be a piece, and not the first of its time.
    async fn window(&mut self, mut frames: Frames, asked: usize) -> Result<(Vec<LogLine>, bool)> {
        let mut all = Lines::new(self.run);
        let (mut lines, mut count) = (Vec::new(), 0);
        while let Some(frame) = self.engine.call(OPERATION, frames.next()).await? {
            match frame {
                Ok(frame) => {
                    count += 1;
                    lines.extend(all.take(&frame));
                }
                Err(e) if status(&e) == Some(404) => break,
                Err(e) => return Err(unreachable(OPERATION, e)),
            }
        }
        while let Some(line) = all.rest() {
            lines.push(line);
        }
        let whole = count < asked;
        if !whole && let Some(first) = lines.first().map(|l| l.cursor.nanos) {
            lines.retain(|l| l.cursor.nanos != first);
        }
        Ok((lines, whole))
    }
}
