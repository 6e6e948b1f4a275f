//! The named steps of a run: each prints its name and time, and tests are counted over all of them.

use crate::shell;
use anyhow::{Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

/// How many tests passed, failed, and were not run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// What has been done so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    failures: Vec<String>,
    count: Count,
}

impl Steps {
    /// Runs one step. A failure is noted, and the next steps run all the same.
    pub(crate) fn step<T>(&mut self, name: &str, run: impl FnOnce() -> Result<T>) -> Option<T> {
        self.attempt(name, "FAILED", true, run)
    }

    /// Sets up one of the real parts. Where it can't be had the reason is printed and the run goes
    /// on without it, except in CI, where nothing may be left out.
    pub(crate) fn part<T>(&mut self, name: &str, run: impl FnOnce() -> Result<T>) -> Option<T> {
        self.attempt(name, "CAN'T RUN HERE", shell::in_ci(), run)
    }

    fn attempt<T>(
        &mut self,
        name: &str,
        failed: &str,
        counts: bool,
        run: impl FnOnce() -> Result<T>,
    ) -> Option<T> {
        println!("\n=== {name}");
        let start = Instant::now();
        let result = run();
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(value) => {
                println!("=== {name}: done in {seconds:.1} s");
                Some(value)
            }
            Err(error) => {
                println!("=== {name}: {failed}, after {seconds:.1} s: {error:#}");
                if counts {
                    self.failures.push(format!("{name}: {error:#}"));
                }
                None
            }
        }
    }

    /// One command as a step.
    pub(crate) fn command(&mut self, name: &str, command: &mut Command) {
        self.step(name, || shell::run(command));
    }

    /// One command as a step that runs tests: what it prints is passed on and counted.
    pub(crate) fn tests(&mut self, name: &str, command: &mut Command) {
        let mut count = Count::default();
        self.step(name, || {
            let mut child = command.stdout(Stdio::piped()).spawn()?;
            for line in BufReader::new(child.stdout.take().expect("piped")).split(b'\n') {
                let line = line?;
                std::io::stdout().write_all(&line)?;
                println!();
                count.add(&String::from_utf8_lossy(&line));
            }
            let status = shell::wait(&mut child)?;
            if !status.success() {
                bail!("tests ended with {status}");
            }
            Ok(())
        });
        self.count.passed += count.passed;
        self.count.failed += count.failed;
        self.count.skipped += count.skipped;
    }

    /// The closing line of a run that had tests.
    pub(crate) fn print_count(&self) {
        let Count {
            passed,
            failed,
            skipped,
        } = self.count;
        println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    }

    /// An error that names what failed.
    pub(crate) fn finish(self) -> Result<()> {
        if self.failures.is_empty() {
            return Ok(());
        }
        bail!(
            "{} failed:\n  {}",
            self.failures.len(),
            self.failures.join("\n  ")
        )
    }
}

impl Count {
    /// Adds what a closing line of libtest says; other lines say nothing.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.trim().split_once("test result: ") else {
            return;
        };
        for part in counts.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_libtest_are_summed() {
        let mut count = Count::default();
        count.add("test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 9 filtered out; finished in 0.25s");
        count.add("test a::b ... ok");
        count.add("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        assert_eq!(
            count,
            Count {
                passed: 13,
                failed: 2,
                skipped: 3
            }
        );
    }

    #[test]
    fn a_failed_step_is_named_at_the_end_and_stops_nothing() {
        let mut steps = Steps::default();
        assert_eq!(steps.step("good", || Ok(1)), Some(1));
        assert_eq!(steps.step::<()>("bad", || bail!("no luck")), None);
        assert_eq!(steps.step("after", || Ok(2)), Some(2));
        let error = steps.finish().unwrap_err().to_string();
        assert_eq!(error, "1 failed:\n  bad: no luck");
    }
}
