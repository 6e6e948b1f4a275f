//! Figures, one a line, each beside its limit where it has one.

use crate::Scale;

/// What a figure has to keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// It stands beside others to compare them with.
    None,
}

/// Says what the following figures are about.
pub fn heading(text: &str) {
    println!("\n{text}");
}

/// Prints one figure.
pub fn figure(what: &str, value: f64, unit: &str, limit: Limit) {
    let (sign, bound, kept) = match limit {
        Limit::AtMost(most) => ("≤", most, value <= most),
        Limit::AtLeast(least) => ("≥", least, value >= least),
        Limit::None => return println!("  {what:<58} {:>12} {unit}", short(value)),
    };
    let verdict = match (Scale::asked(), kept) {
        (Scale::Smoke, _) => "(too few to tell)",
        (Scale::Full, true) => "kept",
        (Scale::Full, false) => "MISSED",
    };
    println!(
        "  {what:<58} {:>12} {unit:<6} {sign} {:<8} {verdict}",
        short(value),
        short(bound)
    );
}

/// Three digits that count, or all whole ones.
fn short(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The middle one.
pub fn median<T: Ord + Copy>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}
