//! Following the log of a pod, from run to run, without losing a line or telling one twice. What can't be had any more is
//! told as a gap.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::watch;

use super::hub::{Found, Hub};
use super::kept;
use crate::auth::{Action, Identity};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{PodId, RunId};
use crate::orchestrator::{LogCursor, LogLine, LogQuery};
use crate::platform::{Core, Platform};
use crate::pod::Pod;
use crate::time::Time;

/// So many lines are told together at most.
const TOGETHER: usize = 256;
/// How long to wait before a row, or a log, is looked at again.
const AGAIN: Duration = Duration::from_millis(500);

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFrom {
    /// So many lines before the end of what is there.
    Tail(u32),
    /// At that time of the backend.
    Since(Time),
    /// After that line, of whatever run.
    After(LogCursor),
}

/// What a follower is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogItem {
    /// A line.
    Line(Arc<LogLine>),
    /// Lines are missing here: they were kept no longer, or by nobody.
    Gap {
        /// How many, where somebody has counted them.
        lost: Option<u64>,
    },
}

impl Platform {
    /// The log of a pod as it is written, on and on over stop and start, until nothing is left of the pod. It is read from the
    /// backend once, however many follow it. Items come together as far as they are there.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for the place of a line in another pod's log.
    pub async fn follow_logs(
        &self,
        who: &Identity,
        id: PodId,
        from: LogFrom,
    ) -> Result<BoxStream<'static, Result<Vec<LogItem>>>> {
        self.allowed(who, Action::Read, id).await?;
        if let LogFrom::After(cursor) = from
            && cursor.run.pod != id
        {
            let message = "That is the place of a line in another pod's log.";
            return Err(Error::invalid("", message));
        }
        let follower = Follower {
            core: self.0.clone(),
            pod: id,
            begin: Some(from),
            current: None,
            told: None,
            from: Source::Seek,
        };
        let items = stream::unfold(Some(follower), |follower| async {
            let mut follower = follower?;
            match follower.next().await {
                Ok(Some(items)) => Some((Ok(items), Some(follower))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(items.boxed())
    }
}

struct Follower {
    core: Core,
    pod: PodId,
    /// Where to begin, before anything was told.
    begin: Option<LogFrom>,
    /// The run that is being told.
    current: Option<Current>,
    /// The newest run of which all was told.
    told: Option<u32>,
    from: Source,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    run: RunId,
    /// The line that was told last, or before which nothing is wanted.
    place: Option<LogCursor>,
    /// Whether there is a line at that place.
    is_line: bool,
}

enum Source {
    /// Which run comes next is to be found.
    Seek,
    /// The run that goes on.
    Live(Live),
    /// Lines that are there.
    Lines { lines: VecDeque<LogItem> },
}

struct Live {
    hub: Arc<Hub>,
    news: watch::Receiver<u64>,
    /// So many lines before the end it is to begin.
    tail: Option<u32>,
    /// The number of the next line in the ring.
    next: Option<u64>,
    /// The number that was missed in the ring.
    missed: Option<u64>,
    /// What is read from the backend meanwhile, and whether it has told anything.
    behind: Option<Behind>,
}

struct Behind {
    lines: stream::ReadyChunks<BoxStream<'static, Result<LogLine>>>,
    /// The line after which it goes on was seen, or is not looked for.
    joined: bool,
    told: bool,
}

impl Follower {
    /// Items, once there are any; `None` if there is nothing of the pod any more.
    async fn next(&mut self) -> Result<Option<Vec<LogItem>>> {
        loop {
            match &mut self.from {
                Source::Seek => {
                    let row = self.core.store.pod(self.pod).await?;
                    let Some(row) = row.filter(|row| !row.is_tombstone()) else {
                        return Ok(None);
                    };
                    if let Some(gap) = self.seek(&row).await? {
                        return Ok(Some(vec![gap]));
                    }
                }
                Source::Lines { lines } => {
                    let together = lines.len().min(TOGETHER);
                    let items: Vec<_> = lines.drain(..together).collect();
                    if items.is_empty() {
                        self.end_run();
                    } else {
                        return Ok(Some(items));
                    }
                }
                Source::Live(_) => {
                    let items = self.live().await?;
                    if !items.is_empty() {
                        return Ok(Some(items));
                    }
                }
            }
        }
    }

    /// All of the current run was told.
    fn end_run(&mut self) {
        self.told = self.current.take().map(|current| current.run.n);
        self.from = Source::Seek;
    }

    /// Turns to the run that comes next, or waits a little. Answers a gap where a run is not known any more.
    async fn seek(&mut self, row: &Pod) -> Result<Option<LogItem>> {
        let open = row.run.as_ref().filter(|run| run.started_at.is_some());
        let open = open.map(|run| row.run_id(run));
        if let Some(current) = self.current {
            if open == Some(current.run) {
                self.go_live(current);
            } else if row.last_ended == Some(current.run) {
                self.tell_kept(current, None).await?;
            } else {
                self.end_run();
                return Ok(Some(LogItem::Gap { lost: None }));
            }
            return Ok(None);
        }
        let untold = |run: &RunId| self.told.is_none_or(|told| run.n > told);
        let (open, ended) = (open.filter(untold), row.last_ended.filter(untold));
        let whole = |run| Current {
            run,
            place: None,
            is_line: false,
        };
        match self.begin.take() {
            Some(LogFrom::After(place)) => {
                self.current = Some(Current {
                    run: place.run,
                    place: Some(place),
                    is_line: true,
                });
            }
            begin => match (begin, ended, open) {
                (None, Some(ended), _) => self.tell_kept(whole(ended), None).await?,
                (None, None, Some(open)) => self.go_live(whole(open)),
                (Some(LogFrom::Tail(tail)), _, Some(open)) => {
                    self.go_live(whole(open));
                    if let Source::Live(live) = &mut self.from {
                        live.tail = Some(tail);
                    }
                }
                (Some(LogFrom::Tail(tail)), Some(ended), None) => {
                    self.tell_kept(whole(ended), Some(tail as usize)).await?;
                }
                (Some(LogFrom::Since(at)), ended, open) if ended.or(open).is_some() => {
                    // An earlier run than the open one ended before that one began.
                    let run = open.or(ended).expect("one of them");
                    let nanos = at.as_micros().saturating_mul(1000) - 1;
                    let place = Some(LogCursor {
                        run,
                        nanos,
                        k: u32::MAX,
                    });
                    self.current = Some(Current {
                        place,
                        ..whole(run)
                    });
                }
                (begin, ..) => {
                    self.begin = begin;
                    tokio::time::sleep(AGAIN).await;
                }
            },
        }
        Ok(None)
    }

    fn go_live(&mut self, current: Current) {
        let hub = self.core.hubs.of(&self.core, current.run);
        self.current = Some(current);
        self.from = Source::Live(Live {
            news: hub.news(),
            hub,
            tail: None,
            next: None,
            missed: None,
            behind: None,
        });
    }

    /// What was kept of a run that has ended, after what was told of it.
    async fn tell_kept(&mut self, current: Current, tail: Option<usize>) -> Result<()> {
        let lines = kept(&self.core, current.run, &LogQuery::default()).await?;
        let lines: Vec<LogLine> = lines.filter_map(async |line| line.ok()).collect().await;
        let place = current.place;
        let told = lines.partition_point(|line| place.is_some_and(|place| line.cursor <= place));
        let reaches = told > 0 || !current.is_line || lines.is_empty();
        let skip = told.max(lines.len().saturating_sub(tail.unwrap_or(usize::MAX)));
        let gap = (!reaches).then_some(LogItem::Gap { lost: None });
        let lines = lines
            .into_iter()
            .skip(skip)
            .map(Arc::new)
            .map(LogItem::Line);
        self.from = Source::Lines {
            lines: gap.into_iter().chain(lines).collect(),
        };
        self.current = Some(current);
        Ok(())
    }

    /// Reads from the backend what the ring does not have.
    async fn read_behind(&mut self, query: LogQuery) -> Result<()> {
        let (Source::Live(live), Some(current)) = (&mut self.from, &self.current) else {
            return Ok(());
        };
        let lines = self.core.orchestrator.logs(current.run, &query).await?;
        live.behind = Some(Behind {
            lines: lines.ready_chunks(TOGETHER),
            joined: !current.is_line,
            told: false,
        });
        Ok(())
    }

    /// Some items of the run that goes on; none if something else is to be done first.
    async fn live(&mut self) -> Result<Vec<LogItem>> {
        let (Source::Live(live), Some(current)) = (&mut self.from, &mut self.current) else {
            return Ok(Vec::new());
        };
        if live.behind.is_some() {
            return Ok(live.behind(current).await);
        }
        if let Some(tail) = live.tail.take() {
            if live.hub.tail(tail).is_none() {
                // Its reader may just have begun.
                let _ = tokio::time::timeout(2 * AGAIN, live.news.changed()).await;
            }
            live.next = live.hub.tail(tail);
            if live.next.is_none() {
                let query = LogQuery {
                    tail: Some(tail),
                    ..LogQuery::default()
                };
                self.read_behind(query).await?;
            }
            return Ok(Vec::new());
        }
        live.next = live.next.or_else(|| live.hub.after(current.place?));
        let Some(next) = live.next else {
            // From before the last line, so that one sees whether it is still there.
            let after = current.place.map(|place| LogCursor {
                nanos: place.nanos - i64::from(current.is_line),
                k: if current.is_line { u32::MAX } else { place.k },
                ..place
            });
            let query = LogQuery {
                after,
                ..LogQuery::default()
            };
            match self.read_behind(query).await {
                Err(e) if *e.kind() == ErrorKind::Unreachable => tokio::time::sleep(AGAIN).await,
                other => other?,
            }
            return Ok(Vec::new());
        };
        match live.hub.from(next, TOGETHER) {
            Found::Lines(lines, next) => {
                live.next = Some(next);
                current.told_up_to(lines.last().map(|line| line.cursor));
                return Ok(lines.into_iter().map(LogItem::Line).collect());
            }
            Found::Missed => (live.next, live.missed) = (None, Some(next)),
            Found::Nothing => live.wait().await,
            Found::End => {
                // Its row tells that soon, and what was kept may have more.
                self.from = Source::Seek;
                tokio::time::sleep(AGAIN).await;
            }
        }
        Ok(Vec::new())
    }
}

impl Current {
    fn told_up_to(&mut self, place: Option<LogCursor>) {
        if place.is_some() {
            (self.place, self.is_line) = (place, true);
        }
    }
}

impl Live {
    /// Until there is something to read, or it is time to look.
    async fn wait(&mut self) {
        let _ = tokio::time::timeout(10 * AGAIN, self.news.changed()).await;
    }

    /// Some lines that are read from the backend.
    async fn behind(&mut self, current: &mut Current) -> Vec<LogItem> {
        let Some(behind) = &mut self.behind else {
            return Vec::new();
        };
        let Some(chunk) = behind.lines.next().await else {
            let told = behind.told;
            self.behind = None;
            if !told
                && current
                    .place
                    .is_none_or(|place| self.hub.after(place).is_none())
            {
                let _ = tokio::time::timeout(AGAIN, self.news.changed()).await;
            }
            return Vec::new();
        };
        let mut items = Vec::with_capacity(chunk.len());
        for line in chunk {
            let Ok(line) = line else {
                self.behind = None;
                tokio::time::sleep(AGAIN).await;
                break;
            };
            if current.place.is_some_and(|place| line.cursor <= place) {
                behind.joined |= current.place == Some(line.cursor);
                continue;
            }
            if !behind.joined {
                behind.joined = true;
                let missed = self.missed.take();
                let number = self.hub.after(line.cursor).map(|next| next - 1);
                let lost = number.zip(missed).map(|(is, was)| is.saturating_sub(was));
                items.push(LogItem::Gap { lost });
            }
            behind.told = true;
            current.told_up_to(Some(line.cursor));
            items.push(LogItem::Line(Arc::new(line)));
        }
        items
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
