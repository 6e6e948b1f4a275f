//! Logs: every line once and in order, from any place again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use super::{Able, Program, Subject};
use crate::conformance::{Case, cases};
use crate::orchestrator::{LogLine, LogQuery};

pub(super) fn cases() -> impl IntoIterator<Item = Case<Subject, Able>> {
    cases![
        lines_come_in_order_each_at_its_own_place,
        a_log_goes_on_after_every_line,
        a_tail_is_the_end_of_the_log,
        a_tail_of_nothing_is_empty,
        a_followed_log_ends_with_the_program,
        a_followed_log_goes_on_while_the_program_prints,
        a_followed_log_goes_on_after_a_line,
        a_followed_tail_goes_on,
        a_log_stays_until_its_run_is_removed,
        what_never_ran_has_no_log,
        a_last_line_without_its_end_is_there,
        a_very_long_line_is_one_line,
        standard_error_is_told_apart,
        a_log_whose_beginning_was_dropped_is_readable,
    ]
}

const FOLLOW: LogQuery = LogQuery {
    after: None,
    tail: None,
    follow: true,
};

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|l| l.text.as_str()).collect()
}

fn hundred() -> Vec<String> {
    (0..100).map(|n| format!("line {n}")).collect()
}

/// The next `n` lines of a log that goes on.
async fn following(
    s: &Subject,
    w: &crate::orchestrator::Workload,
    query: &LogQuery,
    n: usize,
) -> Vec<LogLine> {
    let log = s.orchestrator.logs(w.run, query).await.expect("a log");
    let lines = log.take(n).map(|l| l.expect("a line")).collect();
    let lines = tokio::time::timeout(Duration::from_secs(60), lines).await;
    lines.expect("the lines should have come by now")
}

async fn lines_come_in_order_each_at_its_own_place(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::PrintsAndEnds)?;
    s.start(&w).await;
    s.ended(w.run).await;
    let log = s.log(w.run).await;
    assert_eq!(texts(&log), hundred());
    assert!(log.windows(2).all(|two| two[0].cursor < two[1].cursor));
    assert!(log.iter().all(|l| l.cursor.run == w.run && !l.stderr));
    assert_eq!(s.log(w.run).await, log, "it is the same when read again");
    Ok(())
}

/// Also between lines of the same time.
async fn a_log_goes_on_after_every_line(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::PrintsAndEnds)?;
    s.start(&w).await;
    s.ended(w.run).await;
    let log = s.log(w.run).await;
    for (n, line) in log.iter().enumerate() {
        let query = LogQuery {
            after: Some(line.cursor),
            ..LogQuery::default()
        };
        assert_eq!(s.lines(w.run, &query).await, log[n + 1..]);
    }
    Ok(())
}

async fn a_tail_is_the_end_of_the_log(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::PrintsAndEnds)?;
    s.start(&w).await;
    s.ended(w.run).await;
    let log = s.log(w.run).await;
    for tail in [1, 7, 100, 1000] {
        let query = LogQuery {
            tail: Some(tail),
            ..LogQuery::default()
        };
        let from = 100_usize.saturating_sub(tail as usize);
        assert_eq!(s.lines(w.run, &query).await, log[from..]);
    }
    // Both: the last of what is after that line.
    let query = LogQuery {
        after: Some(log[96].cursor),
        tail: Some(2),
        follow: false,
    };
    assert_eq!(s.lines(w.run, &query).await, log[98..]);
    let query = LogQuery {
        after: Some(log[98].cursor),
        ..query
    };
    assert_eq!(s.lines(w.run, &query).await, log[99..]);
    Ok(())
}

async fn a_tail_of_nothing_is_empty(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::PrintsAndEnds)?;
    s.start(&w).await;
    s.ended(w.run).await;
    let query = LogQuery {
        tail: Some(0),
        ..LogQuery::default()
    };
    assert_eq!(s.lines(w.run, &query).await, []);
    Ok(())
}

async fn a_followed_log_ends_with_the_program(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Prints)?;
    s.start(&w).await;
    let (subject, run) = (s.clone(), w.run);
    let lines = tokio::spawn(async move { subject.lines(run, &FOLLOW).await });
    s.log_of(w.run, 100).await;
    s.stop(w.run, Duration::from_secs(1)).await;
    assert_eq!(texts(&lines.await.expect("no panic")), hundred());
    Ok(())
}

async fn a_followed_log_goes_on_while_the_program_prints(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::PrintsOn)?;
    s.start(&w).await;
    let lines = following(&s, &w, &FOLLOW, 8).await;
    assert!(lines.windows(2).all(|two| two[0].cursor < two[1].cursor));
    assert_eq!(s.log_of(w.run, 8).await[..8], lines);
    Ok(())
}

async fn a_followed_log_goes_on_after_a_line(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::PrintsOn)?;
    s.start(&w).await;
    let mut lines = Vec::new();
    for _ in 0..4 {
        let query = LogQuery {
            after: lines.last().map(|l: &LogLine| l.cursor),
            ..FOLLOW
        };
        lines.extend(following(&s, &w, &query, 3).await);
    }
    assert_eq!(s.log_of(w.run, 12).await[..12], lines);
    Ok(())
}

async fn a_followed_tail_goes_on(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::PrintsOn)?;
    s.start(&w).await;
    s.log_of(w.run, 5).await;
    let query = LogQuery {
        tail: Some(2),
        ..FOLLOW
    };
    let lines = following(&s, &w, &query, 6).await;
    let all = s.log_of(w.run, 8).await;
    let from = all
        .iter()
        .position(|l| *l == lines[0])
        .expect("it is there");
    assert!(from >= 3);
    assert_eq!(all[from..from + 6], lines);
    Ok(())
}

async fn a_log_stays_until_its_run_is_removed(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Prints)?;
    s.start(&w).await;
    s.log_of(w.run, 100).await;
    s.stop(w.run, Duration::from_secs(1)).await;
    s.ended(w.run).await;
    assert_eq!(s.log(w.run).await.len(), 100);
    assert_eq!(s.lines(w.run, &FOLLOW).await.len(), 100);
    s.remove(w.run).await;
    assert_eq!(s.log(w.run).await, []);
    assert_eq!(s.lines(w.run, &FOLLOW).await, []);
    Ok(())
}

async fn what_never_ran_has_no_log(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Prints)?;
    assert_eq!(s.log(w.run).await, []);
    s.create(&w).await;
    assert_eq!(s.log(w.run).await, []);
    Ok(())
}

async fn a_last_line_without_its_end_is_there(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::PrintsUnfinished)?;
    s.start(&w).await;
    s.ended(w.run).await;
    let log = s.log(w.run).await;
    assert_eq!(texts(&log), ["one", "two"]);
    let after = LogQuery {
        after: Some(log[0].cursor),
        ..FOLLOW
    };
    assert_eq!(s.lines(w.run, &after).await, log[1..]);
    Ok(())
}

/// A backend may cut it, but not before 16 KiB, and not into several lines.
async fn a_very_long_line_is_one_line(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::PrintsLongLine)?;
    s.start(&w).await;
    s.ended(w.run).await;
    let log = s.log(w.run).await;
    assert_eq!(log.len(), 2, "not so many lines");
    assert!(log[0].text.bytes().all(|b| b == b'x'));
    assert!((16 << 10..=1 << 20).contains(&log[0].text.len()));
    assert_eq!(log[1].text, "after");
    let tail = LogQuery {
        tail: Some(2),
        ..LogQuery::default()
    };
    assert!(s.lines(w.run, &tail).await == log, "the tail is the same");
    let after = LogQuery {
        after: Some(log[0].cursor),
        ..LogQuery::default()
    };
    assert_eq!(s.lines(w.run, &after).await, log[1..]);
    Ok(())
}

async fn standard_error_is_told_apart(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::PrintsToBoth)?;
    s.start(&w).await;
    s.ended(w.run).await;
    let log = s.log(w.run).await;
    let told: Vec<_> = log.iter().map(|l| (l.stderr, l.text.as_str())).collect();
    assert_eq!(told, [(false, "out"), (true, "err")]);
    Ok(())
}

async fn a_log_whose_beginning_was_dropped_is_readable(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::PrintsMuch)?;
    s.start(&w).await;
    s.ended(w.run).await;
    let log = s.log(w.run).await;
    let (end, lines) = log.split_last().expect("it printed");
    assert_eq!(end.text, "end");
    let number = |l: &LogLine| l.text.split(' ').next().and_then(|n| n.parse().ok());
    let numbers: Vec<u64> = lines.iter().filter_map(number).collect();
    assert_eq!(numbers.len(), lines.len());
    assert!(
        numbers.windows(2).all(|two| two[0] + 1 == two[1]),
        "only the beginning may be missing"
    );
    let places: BTreeSet<_> = log.iter().map(|l| l.cursor).collect();
    assert_eq!(places.len(), log.len());
    let from = log.len() - 10;
    let after = LogQuery {
        after: Some(log[from - 1].cursor),
        ..LogQuery::default()
    };
    assert_eq!(s.lines(w.run, &after).await, log[from..]);
    Ok(())
}
