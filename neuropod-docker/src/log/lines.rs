//! From the engine's frames to lines, each with its place. Pure.

use std::collections::VecDeque;

use bollard::container::LogOutput;
use neuropod_core::id::RunId;
use neuropod_core::orchestrator::{LogCursor, LogLine};
use neuropod_core::time::Time;

/// A longer line is cut, in bytes.
const LIMIT: usize = 1 << 20;
/// So many lines of an output are known again: more than a file of its log has.
const REMEMBERED: usize = 1 << 17;

/// Puts lines together. The engine gives a long line in pieces of 16 KiB, all but the last without its end, and the
/// pieces of its two outputs between each other.
#[derive(Debug)]
pub(super) struct Lines {
    run: RunId,
    out: Option<Open>,
    err: Option<Open>,
    last: (i64, u32),
    /// Of each output.
    told: [Told; 2],
}

/// The times of the lines of one output that were told last, rising. An engine that is followed while it turns to a new file
/// may send again what it has sent: one output's times never fall otherwise, but for a clock that is set.
#[derive(Debug, Default)]
struct Told {
    times: VecDeque<i64>,
    /// The line before this one was told before.
    again: bool,
}

impl Told {
    /// Whether a line of that time is told for the second time.
    fn is_again(&mut self, nanos: i64) -> bool {
        let newest = self.times.back().copied();
        let behind = newest.is_some_and(|newest| nanos < newest || (nanos == newest && self.again));
        if behind {
            self.again = self.times.binary_search(&nanos).is_ok();
            return self.again;
        }
        self.again = false;
        if self.times.len() == REMEMBERED {
            self.times.pop_front();
        }
        self.times.push_back(nanos);
        false
    }
}

/// A line whose end has not come.
#[derive(Debug)]
struct Open {
    nanos: i64,
    text: Vec<u8>,
}

impl Lines {
    /// Of a log that is read from a place where a line begins.
    pub(super) fn new(run: RunId) -> Self {
        Self {
            run,
            out: None,
            err: None,
            last: (i64::MIN, 0),
            told: Default::default(),
        }
    }

    /// The line that this frame ends, if it ends one.
    pub(super) fn take(&mut self, frame: &LogOutput) -> Option<LogLine> {
        let stderr = matches!(frame, LogOutput::StdErr { .. });
        let bytes: &[u8] = frame.as_ref();
        let space = bytes.iter().position(|b| *b == b' ').unwrap_or(bytes.len());
        let (stamp, text) = bytes.split_at(space);
        let text = text.get(1..).unwrap_or_default();
        let ends = text.ends_with(b"\n");
        let open = if stderr { &mut self.err } else { &mut self.out };
        let line = open.get_or_insert_with(|| Open {
            nanos: nanos(stamp).unwrap_or(self.last.0),
            text: Vec::new(),
        });
        let room = LIMIT.saturating_sub(line.text.len());
        line.text.extend(&text[..text.len().min(room)]);
        let line = open.take_if(|_| ends)?;
        let again = self.told[usize::from(stderr)].is_again(line.nanos);
        (!again).then(|| self.place(line, stderr))
    }

    /// A line whose end never came, once no more frames do.
    pub(super) fn rest(&mut self) -> Option<LogLine> {
        match (self.out.take(), self.err.take()) {
            (Some(out), err) => {
                self.err = err;
                Some(self.place(out, false))
            }
            (None, Some(err)) => Some(self.place(err, true)),
            (None, None) => None,
        }
    }

    /// Times never go back along a log: the two outputs may come out of order, and a place is a place.
    fn place(&mut self, line: Open, stderr: bool) -> LogLine {
        let (nanos, k) = match self.last {
            (last, k) if line.nanos <= last => (last, k + 1),
            _ => (line.nanos, 0),
        };
        self.last = (nanos, k);
        let run = self.run;
        let text = String::from_utf8_lossy(&line.text);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        LogLine {
            cursor: LogCursor { run, nanos, k },
            stderr,
            text: text.to_owned(),
        }
    }
}

/// Nanoseconds since 1970 of a time stamp, which `Time` would cut to microseconds.
fn nanos(stamp: &[u8]) -> Option<i64> {
    let stamp = std::str::from_utf8(stamp).ok()?;
    let micros = stamp.parse::<Time>().ok()?.as_micros();
    let fraction = stamp.split_once('.').map_or("", |(_, fraction)| fraction);
    let digits = fraction.bytes().take_while(u8::is_ascii_digit);
    let below = digits.chain(std::iter::repeat(b'0')).skip(6).take(3);
    let below = below.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some(micros * 1000 + below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use neuropod_core::id::{PodId, RunKey};

    const T: &str = "2026-11-24T08:48:25";

    fn lines() -> Lines {
        Lines::new(RunId {
            pod: PodId::from_bytes([1; 8]),
            n: 1,
            key: RunKey::from_bytes([2; 8]),
        })
    }

    fn out(fraction: &str, text: &str) -> LogOutput {
        let message = format!("{T}.{fraction}Z {text}").into();
        LogOutput::StdOut { message }
    }

    fn err(fraction: &str, text: &str) -> LogOutput {
        let message = format!("{T}.{fraction}Z {text}").into();
        LogOutput::StdErr { message }
    }

    /// The last digits of the time, which of that time, and the text.
    fn told(line: Option<LogLine>) -> (i64, u32, String) {
        let line = line.expect("a line");
        (line.cursor.nanos % 1000, line.cursor.k, line.text)
    }

    #[test]
    fn times_have_nanoseconds() {
        let whole = nanos(b"2026-11-24T08:48:25Z").unwrap();
        assert_eq!(nanos(b"2026-11-24T08:48:25.000000001Z"), Some(whole + 1));
        assert_eq!(
            nanos(b"2026-11-24T08:48:25.12345678Z"),
            Some(whole + 123_456_780)
        );
        assert_eq!(nanos(b"yesterday"), None);
    }

    #[test]
    fn pieces_of_one_line_are_one_line_also_between_each_other() {
        let mut lines = lines();
        assert_eq!(lines.take(&out("000000001", "a b ")), None);
        assert_eq!(lines.take(&err("000000002", "x")), None);
        assert_eq!(lines.take(&out("000000003", "c")), None);
        let line = lines.take(&err("000000004", "y\n"));
        assert_eq!(told(line), (2, 0, "xy".to_owned()));
        let line = lines.take(&out("000000005", "d\r\n"));
        assert_eq!(told(line), (2, 1, "a b cd".to_owned()));
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn what_has_no_end_is_told_at_the_end() {
        let mut lines = lines();
        lines.take(&err("000000002", "two"));
        lines.take(&out("000000001", "one"));
        assert_eq!(told(lines.rest()), (1, 0, "one".to_owned()));
        assert_eq!(told(lines.rest()), (2, 0, "two".to_owned()));
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn lines_of_the_same_time_or_out_of_order_have_places_of_their_own() {
        let mut lines = lines();
        let places: Vec<_> = ["000000005", "000000005", "000000004", "000000006"]
            .map(|at| lines.take(&out(at, "\n")).unwrap().cursor)
            .into();
        assert!(places.is_sorted_by(|a, b| a < b));
        assert_eq!((places[2].nanos % 10, places[2].k), (5, 2));
        assert_eq!((places[3].nanos % 10, places[3].k), (6, 0));
    }

    #[test]
    fn what_the_engine_sends_again_is_not_told_again() {
        let mut lines = lines();
        let times = ["000000001", "000000002", "000000003", "000000003"];
        for at in times {
            assert!(lines.take(&out(at, "x\n")).is_some());
        }
        assert!(lines.take(&err("000000001", "other\n")).is_some());
        for at in &times[1..] {
            assert_eq!(lines.take(&out(at, "x\n")), None, "{at}");
        }
        let next = lines.take(&out("000000004", "y\n"));
        assert_eq!(told(next), (4, 0, "y".to_owned()));
        assert!(lines.take(&out("000000004", "z\n")).is_some());
    }

    #[test]
    fn a_line_is_cut_at_its_limit_and_the_next_one_is_whole() {
        let mut lines = lines();
        let piece = out("000000001", &"x".repeat(LIMIT - 1));
        lines.take(&piece);
        lines.take(&piece);
        let line = lines.take(&out("000000001", "end\n")).unwrap();
        assert_eq!(line.text.len(), LIMIT);
        let next = lines.take(&out("000000002", "next\n"));
        assert_eq!(told(next).2, "next");
    }
}
