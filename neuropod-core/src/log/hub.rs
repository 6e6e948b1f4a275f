//! One reader of a run's log however many follow it. What it reads is kept for a while in a bounded ring; who is slower than
//! that reads what he has missed from the backend, which keeps more, and comes back.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::watch;
use tracing::debug;

use crate::id::RunId;
use crate::orchestrator::{LogCursor, LogLine, LogQuery};
use crate::platform::Core;

/// So many bytes of lines are kept for each run that is followed.
const ROOM: usize = 2 << 20;
/// What a line costs beside its text.
const LINE: usize = 96;
/// The reader begins so many lines before the end.
const BEGIN: u32 = 500;
/// How long to wait before a log that could not be read is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The logs that are followed on this replica.
#[derive(Debug, Default)]
pub(crate) struct Hubs(Mutex<HashMap<RunId, Weak<Hub>>>);

/// One log that is followed. Its reader ends with the last who holds it.
#[derive(Debug)]
pub(super) struct Hub {
    state: Mutex<State>,
    /// Raised whenever there is something to read.
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
    /// The number of the first of them.
    first: u64,
    /// What was there when the reader began has come.
    begun: bool,
    /// Nothing more comes.
    ended: bool,
}

/// What a follower finds in the ring.
#[derive(Debug)]
pub(super) enum Found {
    /// These lines, and where to go on.
    Lines(Vec<Arc<LogLine>>, u64),
    /// What comes next is not there any more.
    Missed,
    /// Nothing yet.
    Nothing,
    /// Nothing more comes.
    End,
}

impl State {
    fn push(&mut self, line: LogLine) {
        self.bytes += line.text.len() + LINE;
        self.lines.push_back(Arc::new(line));
        while self.bytes > ROOM && self.lines.len() > 1 {
            if let Some(line) = self.lines.pop_front() {
                self.bytes -= line.text.len() + LINE;
                self.first += 1;
            }
        }
    }

    /// At most `limit` lines from number `from` on.
    fn from(&self, from: u64, limit: usize) -> Found {
        let Some(skip) = from.checked_sub(self.first) else {
            return Found::Missed;
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let lines: Vec<_> = (self.lines.iter().skip(skip).take(limit).cloned()).collect();
        match lines.len() {
            0 if self.ended => Found::End,
            0 => Found::Nothing,
            n => Found::Lines(lines, from + n as u64),
        }
    }

    /// The number of the line so many before the end, if the ring reaches back that far.
    fn tail(&self, lines: u32) -> Option<u64> {
        let all = self.first == 0 && lines <= BEGIN;
        let reaches = self.begun && (all || self.lines.len() >= lines as usize);
        let skip = self.lines.len().saturating_sub(lines as usize);
        reaches.then_some(self.first + skip as u64)
    }

    /// The number of the first line that comes after `after`, if the ring reaches back that far.
    fn after(&self, after: LogCursor) -> Option<u64> {
        let known = self
            .lines
            .front()
            .is_some_and(|first| first.cursor <= after);
        let before = self.lines.partition_point(|line| line.cursor <= after);
        known.then_some(self.first + before as u64)
    }
}

impl Hubs {
    /// The hub of a run, which is read from now on as long as somebody holds it.
    pub(super) fn of(&self, core: &Core, run: RunId) -> Arc<Hub> {
        let mut hubs = self.0.lock().expect("no panic while held");
        if let Some(hub) = hubs.get(&run).and_then(Weak::upgrade) {
            return hub;
        }
        hubs.retain(|_, hub| hub.strong_count() > 0);
        let hub = Arc::new(Hub {
            state: Mutex::default(),
            news: watch::Sender::new(0),
        });
        hubs.insert(run, Arc::downgrade(&hub));
        tokio::spawn(read(core.clone(), run, Arc::downgrade(&hub)));
        hub
    }

    /// How many logs are read.
    pub(crate) fn len(&self) -> u64 {
        let hubs = self.0.lock().expect("no panic while held");
        hubs.values().filter(|hub| hub.strong_count() > 0).count() as u64
    }
}

impl Hub {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    pub(super) fn from(&self, from: u64, limit: usize) -> Found {
        self.state().from(from, limit)
    }

    /// Where what comes after `after` is; `None` if it has to be read from the backend.
    pub(super) fn after(&self, after: LogCursor) -> Option<u64> {
        self.state().after(after)
    }

    /// Where the line so many before the end is; `None` if it has to be read from the backend.
    pub(super) fn tail(&self, lines: u32) -> Option<u64> {
        self.state().tail(lines)
    }

    #[cfg(all(test, feature = "testing"))]
    pub(super) fn forget_all_but(&self, lines: usize) {
        let mut state = self.state();
        while state.lines.len() > lines {
            state.lines.pop_front();
            state.first += 1;
        }
    }

    /// Tells when there is something to read.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }
}

/// Reads a log for as long as somebody holds its hub.
async fn read(core: Core, run: RunId, hub: Weak<Hub>) {
    let mut after = None;
    loop {
        let query = LogQuery {
            after,
            tail: after.is_none().then_some(BEGIN),
            follow: true,
        };
        let mut failed = false;
        match core.orchestrator.logs(run, &query).await {
            Err(error) => {
                debug!(%run, %error, "the log can't be read");
                failed = true;
            }
            Ok(lines) => {
                // What is there already comes together: followers are told once.
                let mut lines = lines.ready_chunks(BEGIN as usize);
                loop {
                    let next = tokio::select! {
                        biased;
                        next = lines.next() => next,
                        () = abandoned(&hub) => return,
                    };
                    let Some(chunk) = next else { break };
                    let Some(hub) = hub.upgrade() else { return };
                    let mut state = hub.state();
                    state.begun = true;
                    for line in chunk {
                        match line {
                            Ok(line) => {
                                after = Some(line.cursor);
                                state.push(line);
                            }
                            Err(error) => {
                                debug!(%run, %error, "the log was cut off");
                                failed = true;
                            }
                        }
                    }
                    drop(state);
                    hub.news.send_modify(|n| *n += 1);
                }
            }
        }
        if !failed {
            let Some(hub) = hub.upgrade() else { return };
            let mut state = hub.state();
            (state.begun, state.ended) = (true, true);
            drop(state);
            hub.news.send_modify(|n| *n += 1);
            return;
        }
        tokio::time::sleep(AGAIN).await;
        if hub.strong_count() == 0 {
            return;
        }
    }
}

/// Until nobody holds the hub any more.
async fn abandoned(hub: &Weak<Hub>) {
    while hub.strong_count() > 0 {
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PodId, RunKey};

    fn line(n: i64, bytes: usize) -> LogLine {
        LogLine {
            cursor: cursor(n),
            stderr: false,
            text: "x".repeat(bytes),
        }
    }

    fn cursor(nanos: i64) -> LogCursor {
        let run = RunId {
            pod: PodId::from_bytes([1; 8]),
            n: 1,
            key: RunKey::from_bytes([2; 8]),
        };
        LogCursor { run, nanos, k: 0 }
    }

    fn numbers(found: Found) -> (Vec<i64>, u64) {
        match found {
            Found::Lines(lines, next) => (lines.iter().map(|l| l.cursor.nanos).collect(), next),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_ring_is_bounded_in_bytes_and_counts_what_it_drops() {
        let mut state = State::default();
        for n in 0..10 {
            state.push(line(n, ROOM / 4));
        }
        assert_eq!(state.lines.len(), 3);
        assert!(matches!(state.from(2, 9), Found::Missed));
        assert_eq!(numbers(state.from(8, 9)), (vec![8, 9], 10));
        assert!(matches!(state.from(10, 9), Found::Nothing));
        state.push(line(10, 4 * ROOM));
        assert_eq!(
            numbers(state.from(10, 9)),
            (vec![10], 11),
            "the newest stays"
        );
        state.ended = true;
        assert!(matches!(state.from(11, 9), Found::End));
    }

    #[test]
    fn a_place_is_found_where_the_ring_reaches_back_that_far() {
        let mut state = State::default();
        assert_eq!(state.after(cursor(0)), None);
        for n in [10, 20, 30] {
            state.push(line(n, 1));
        }
        assert_eq!(state.after(cursor(9)), None, "perhaps there were others");
        assert_eq!(state.after(cursor(10)), Some(1));
        assert_eq!(state.after(cursor(25)), Some(2));
        assert_eq!(state.after(cursor(30)), Some(3));
        assert_eq!(state.tail(2), None, "more may have been there");
        state.begun = true;
        assert_eq!((state.tail(2), state.tail(9)), (Some(1), Some(0)));
        assert_eq!(state.tail(BEGIN + 1), None);
        state.first = 7;
        assert_eq!((state.tail(3), state.tail(4)), (Some(7), None));
    }
}
