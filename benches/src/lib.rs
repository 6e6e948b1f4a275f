//! What the benches share: how figures are printed, what a process has used, databases, and a fleet of pods.

pub mod counted;
pub mod fleet;
pub mod jupyterhub;
pub mod process;
pub mod raw;
pub mod report;
pub mod writes;

#[allow(missing_docs, clippy::new_without_default)] // that of the store's own tests
#[path = "../../neuropod-store/tests/support/mod.rs"]
pub mod databases;

/// How much a bench does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// What the limits are about: `cargo bench`.
    Full,
    /// Enough to see that it works: `cargo test`.
    Smoke,
}

impl Scale {
    /// What the command line asks for: cargo says `--bench` where it measures.
    pub fn asked() -> Self {
        if std::env::args().any(|argument| argument == "--bench") {
            Self::Full
        } else {
            Self::Smoke
        }
    }

    /// One of two counts.
    pub fn of<T>(self, full: T, smoke: T) -> T {
        match self {
            Self::Full => full,
            Self::Smoke => smoke,
        }
    }
}
