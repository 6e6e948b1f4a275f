//! From the kubelet's bytes to lines, each with its place. Pure.

use k8s_openapi::jiff::Timestamp;
use neuropod_core::id::RunId;
use neuropod_core::orchestrator::{LogCursor, LogLine};

/// A longer line is cut, in bytes.
const LIMIT: usize = 1 << 20;
/// Room for its time.
const STAMP: usize = 64;

/// Puts lines together.
#[derive(Debug)]
pub(super) struct Lines {
    run: RunId,
    open: Vec<u8>,
    last: Option<(i64, u32)>,
}

impl Lines {
    /// Of a log that is read from a place where a line begins.
    pub(super) fn new(run: RunId) -> Self {
        Self {
            run,
            open: Vec::new(),
            last: None,
        }
    }

    /// How many of these bytes belong to the next line, and that line if they end it.
    pub(super) fn take(&mut self, bytes: &[u8]) -> (usize, Option<LogLine>) {
        let end = bytes.iter().position(|b| *b == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = (LIMIT + STAMP).saturating_sub(self.open.len());
        self.open.extend(&part[..part.len().min(room)]);
        match end {
            Some(end) => (end + 1, self.rest()),
            None => (bytes.len(), None),
        }
    }

    /// The line whose end has not come, if there is one.
    pub(super) fn rest(&mut self) -> Option<LogLine> {
        let line = std::mem::take(&mut self.open);
        let space = line.iter().position(|b| *b == b' ').unwrap_or(line.len());
        let stamp: Timestamp = std::str::from_utf8(&line[..space]).ok()?.parse().ok()?;
        let text = line.get(space + 1..).unwrap_or_default();
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let text = &text[..text.len().min(LIMIT)];
        let nanos = i64::try_from(stamp.as_nanosecond()).ok()?;
        let place = match self.last {
            // The two outputs may be out of order.
            Some((last, k)) if nanos <= last => (last, k + 1),
            _ => (nanos, 0),
        };
        self.last = Some(place);
        let (nanos, k) = place;
        Some(LogLine {
            cursor: LogCursor {
                run: self.run,
                nanos,
                k,
            },
            stderr: false,
            text: String::from_utf8_lossy(text).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use neuropod_core::id::{PodId, RunKey};

    fn read(pieces: &[&str]) -> Vec<(i64, u32, String)> {
        let run = RunId {
            pod: PodId::from_bytes([1; 8]),
            n: 1,
            key: RunKey::from_bytes([2; 8]),
        };
        let mut lines = Lines::new(run);
        let mut all = Vec::new();
        for piece in pieces {
            let mut bytes = piece.as_bytes();
            while !bytes.is_empty() {
                let (used, line) = lines.take(bytes);
                bytes = &bytes[used..];
                all.extend(line);
            }
        }
        all.extend(lines.rest());
        all.into_iter()
            .map(|l| (l.cursor.nanos, l.cursor.k, l.text))
            .collect()
    }

    #[test]
    fn lines_are_put_together_and_have_their_places() {
        let pieces = [
            "1970-01-01T00:00:00.000000005Z a b\n1970-01-01T00:0",
            "0:00.000000005Z \n",
            "1970-01-01T00:00:00.000000004Z late",
        ];
        let expected = [
            (5, 0, "a b".to_owned()),
            (5, 1, String::new()),
            (5, 2, "late".to_owned()),
        ];
        assert_eq!(read(&pieces), expected);
    }

    #[test]
    fn what_has_no_time_is_no_line() {
        assert_eq!(
            read(&["unable to retrieve container logs for containerd://1f"]),
            []
        );
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let line = format!("1970-01-01T00:00:00Z {}\n", "x".repeat(3 << 20));
        assert_eq!(read(&[&line])[0].2.len(), LIMIT);
    }
}
