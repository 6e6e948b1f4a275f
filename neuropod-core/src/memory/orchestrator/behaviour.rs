//! How the containers of an image behave: all that a simulated program can do.

use std::time::Duration;

use crate::error::Refusal;
use crate::orchestrator::{ExitCause, Usage};

/// What an image, and a program started from it, does. All times count from the start of the pull or the container.
///
/// ```
/// # use std::time::Duration;
/// use neuropod_core::memory::Behaviour;
///
/// let fails_after_a_minute = Behaviour {
///     runs_for: Some(Duration::from_secs(60)),
///     code: 3,
///     ..Behaviour::default()
/// };
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Behaviour {
    /// How long its pull takes; zero if the image is there already.
    pub pull: Duration,
    /// How its pull ends, if not well.
    pub pull_fails: Option<Refusal>,
    /// How long the program runs; `None` for ever.
    pub runs_for: Option<Duration>,
    /// Its exit code when it ends by itself.
    pub code: i64,
    /// How it ends when it ends by itself.
    pub cause: ExitCause,
    /// How long it takes to end when asked to; `None` if it ignores that and has to be killed.
    pub ends_within: Option<Duration>,
    /// When its ports answer; `None` never.
    pub ready_after: Option<Duration>,
    /// When Jupyter answers, if it was asked for; `None` if the image can't have one.
    pub jupyter_after: Option<Duration>,
    /// What it prints, and when.
    pub prints: Vec<(Duration, String)>,
    /// What it uses while it runs; what is `None` here can't be measured.
    pub usage: Usage,
}

impl Default for Behaviour {
    /// There already, runs for ever, ends at once when asked, answers at once, with Jupyter too, prints nothing, and nothing that it
    /// uses can be measured.
    fn default() -> Self {
        Self {
            pull: Duration::ZERO,
            pull_fails: None,
            runs_for: None,
            code: 0,
            cause: ExitCause::Ended,
            ends_within: Some(Duration::ZERO),
            ready_after: Some(Duration::ZERO),
            jupyter_after: Some(Duration::ZERO),
            prints: Vec::new(),
            usage: Usage::default(),
        }
    }
}

impl Behaviour {
    /// What an image does that nobody described: it is pulled for 2 s; its registry has nothing under `missing/` and
    /// lets nobody have what is under `denied/`.
    pub(super) fn of_unknown(image: &str) -> Self {
        Self {
            pull: Duration::from_secs(2),
            pull_fails: match image.split('/').next() {
                Some("missing") => Some(Refusal::ImageNotFound),
                Some("denied") => Some(Refusal::ImageDenied),
                _ => None,
            },
            prints: vec![(Duration::ZERO, format!("{image} is simulated."))],
            ..Self::default()
        }
    }
}

/// Whether `image` can be an image reference at all.
pub(super) fn is_reference(image: &str) -> bool {
    let name = image.split(['@', ':']).next().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let tagged = last.split('@').next().unwrap_or_default();
    !image.is_empty()
        && image.len() <= 512
        && image
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._/:@-".contains(&b))
        && !name.bytes().any(|b| b.is_ascii_uppercase())
        && !image.ends_with(['/', ':', '@'])
        && tagged.matches(':').count() <= 1
}
