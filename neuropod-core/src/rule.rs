//! The rules that keep pods, containers and money right, by name, so that a test can take one out and see it missed.
//!
//! Without the feature `testing` every rule holds and [`broken`] is a constant.

/// A rule of the design. Each is kept at one place, where [`broken`] names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Rule {
    /// The total of a meter is set, never added to.
    ChargesAreSet,
    /// A run is written down before its container is made.
    RunBeforeContainer,
    /// The end of a run is recorded before its container is removed.
    RecordedBeforeRemoved,
    /// The row of a deleted pod stays until nothing of it is left.
    RowOutlivesContainer,
    /// A row is only replaced at the version it was read at.
    VersionCheck,
    /// A run of an older generation is not what its owner wishes.
    GenerationFence,
    /// Whether a container is a stray is judged on a row that was read after it was seen.
    StrayOnFreshRow,
    /// Claiming work does not clear the wish for it.
    ClaimKeepsWish,
    /// Finishing work compares the wake number.
    FinishComparesWake,
    /// Containers are removed by run, not by pod.
    RemoveByRun,
    /// A container that started at another time is another container.
    StartIsIdentity,
    /// Devices are freed only when nothing of the pod is seen.
    DevicesOutliveClose,
    /// Freeing devices wakes the queue.
    FreeingWakesQueue,
    /// Queueing wakes the queue.
    QueueingWakesQueue,
    /// Only the calling pass creates; a pull in the background does not.
    OnlyThePassCreates,
    /// A container is started by its id, behind the fence.
    StartBehindFence,
    /// A pod's own hold does not count against its own restart.
    OwnHoldIsExcluded,
    /// A cutoff only ever moves earlier.
    CutoffOnlyEarlier,
    /// An end that nobody observed is where the run was last seen.
    UnobservedEndIsLastSeen,
    /// A backend that does not answer has not lost anything.
    UnknownIsNotNothing,
    /// What runs dry is charged to the instant at which nothing was left, not to the one at which that is found.
    DryIsAnInstant,
}

#[cfg(feature = "testing")]
mod switch {
    use super::Rule;
    use std::cell::Cell;

    thread_local!(static BROKEN: Cell<Option<Rule>> = const { Cell::new(None) });

    /// Whether a test has taken `rule` out on this thread.
    pub fn broken(rule: Rule) -> bool {
        BROKEN.get() == Some(rule)
    }

    /// Takes `rule` out on this thread until the guard is dropped.
    pub fn break_rule(rule: Rule) -> impl Drop {
        struct Guard;
        impl Drop for Guard {
            fn drop(&mut self) {
                BROKEN.set(None);
            }
        }
        BROKEN.set(Some(rule));
        Guard
    }
}

#[cfg(feature = "testing")]
pub use switch::{break_rule, broken};

/// Rules can't be taken out of a build without the feature `testing`.
#[cfg(not(feature = "testing"))]
pub(crate) const fn broken(_: Rule) -> bool {
    false
}
