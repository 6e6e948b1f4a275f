//! Prometheus's text format: families of series, each with its help.

use std::fmt::Write;

use neuropod::figures::Spread;

/// What this is, for whoever reads it.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Labels of one series.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A text that grows.
#[derive(Debug, Default)]
pub(crate) struct Exposition(String);

impl Exposition {
    /// Something that goes up and down, or is not there now.
    pub(crate) fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    /// Something that only goes up as long as the process lives.
    pub(crate) fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    /// How long things take.
    pub(crate) fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "histogram", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family {
            text: &mut self.0,
            name,
        }
    }

    /// The whole text.
    pub(crate) fn end(self) -> String {
        self.0
    }
}

/// Series of one name.
#[derive(Debug)]
pub(crate) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    /// One value.
    pub(crate) fn is(&mut self, labels: Labels, value: f64) -> &mut Self {
        self.line("", labels, None, value);
        self
    }

    /// Whole numbers, as counters are.
    pub(crate) fn counts(&mut self, labels: Labels, value: u64) -> &mut Self {
        self.is(labels, value as f64)
    }

    /// A value, if it is known: what can't be measured has no series.
    pub(crate) fn may_be(&mut self, labels: Labels, value: Option<f64>) -> &mut Self {
        if let Some(value) = value {
            self.is(labels, value);
        }
        self
    }

    /// All of a histogram.
    pub(crate) fn spreads(&mut self, labels: Labels, spread: &Spread) -> &mut Self {
        for (bound, count) in &spread.at_most {
            self.line("_bucket", labels, Some(&bound.to_string()), *count as f64);
        }
        self.line("_bucket", labels, Some("+Inf"), spread.count as f64);
        self.line("_sum", labels, None, spread.sum);
        self.line("_count", labels, None, spread.count as f64);
        self
    }

    fn line(&mut self, suffix: &str, labels: Labels, bound: Option<&str>, value: f64) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        let bound = bound.map(|bound| ("le", bound));
        let mut before = '{';
        for (name, value) in labels.iter().copied().chain(bound) {
            let _ = write!(self.text, "{before}{name}=\"{}\"", escaped(value));
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\");
    value.replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_what_is_not_known_has_no_series() {
        let mut text = Exposition::default();
        let mut things = text.gauge("things", "How many.");
        things.is(&[("a", "x\"y\\z\n"), ("b", "")], 1.5);
        things.may_be(&[], None).counts(&[], 2);
        assert_eq!(
            text.end(),
            "# HELP things How many.\n# TYPE things gauge\nthings{a=\"x\\\"y\\\\z\\n\",b=\"\"} 1.5\nthings 2\n"
        );
    }

    #[test]
    fn a_histogram_ends_with_infinity_sum_and_count() {
        let mut text = Exposition::default();
        let spread = Spread {
            at_most: vec![(0.5, 1), (2.0, 3)],
            count: 4,
            sum: 7.25,
        };
        let mut times = text.histogram("t_seconds", "How long.");
        times.spreads(&[("k", "v")], &spread);
        let lines: Vec<_> = text.0.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "t_seconds_bucket{k=\"v\",le=\"0.5\"} 1",
                "t_seconds_bucket{k=\"v\",le=\"2\"} 3",
                "t_seconds_bucket{k=\"v\",le=\"+Inf\"} 4",
                "t_seconds_sum{k=\"v\"} 7.25",
                "t_seconds_count{k=\"v\"} 4",
            ]
        );
    }
}
