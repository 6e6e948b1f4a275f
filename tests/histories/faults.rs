//! What goes wrong with the calls of the replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use neuropod::fault::{Call, Fault, Reply};
use tokio::sync::Notify;

use crate::once::VERY_LATE;
use crate::rng::Dice;
use crate::watched::Watch;
use crate::world::LEASE;

/// What goes wrong in a history.
#[derive(Debug, Clone)]
pub(crate) enum Faults {
    /// Two replicas, whose calls are late often, and refused or lost now and then.
    Thrown,
    /// One call alone.
    Once(Arc<Once>),
}

/// The call that goes wrong, counted over all that are made, from 1.
#[derive(Debug)]
pub(crate) struct Once {
    pub(crate) at: u64,
    pub(crate) point: Point,
    pub(crate) calls: AtomicU64,
    /// Told when its replica dies.
    pub(crate) died: Notify,
}

/// What becomes of that call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Point {
    /// The replica dies, and it never arrives.
    Before,
    /// It takes effect, and the replica dies before it hears the answer.
    After,
    /// The replica dies, and it takes effect when the replica has long been started again.
    Late,
    /// The same, but when the pod has its next run.
    NextRun,
    /// It is so slow that another replica takes the pod up, and both go on.
    Slow,
}

impl Point {
    pub(crate) const ALL: [Self; 5] = [
        Self::Before,
        Self::After,
        Self::Late,
        Self::NextRun,
        Self::Slow,
    ];
}

impl Faults {
    pub(crate) fn replicas(&self) -> usize {
        match self {
            Self::Thrown => 2,
            Self::Once(once) => match once.point {
                Point::Slow => 2,
                _ => 1,
            },
        }
    }

    /// Whether some calls are later than a lease lasts, so that two passes are over one pod at once.
    pub(crate) fn outlast_leases(&self, dice: &Dice) -> bool {
        match self {
            Self::Thrown => dice.one_in(3),
            Self::Once(_) => true,
        }
    }

    /// What becomes of each call. While `calm`, nothing goes wrong.
    pub(crate) fn plan(
        &self,
        dice: &Dice,
        calm: &Arc<AtomicBool>,
        watch: &Watch,
        outlast_leases: bool,
    ) -> impl Fn(Call) -> Fault + Send + Sync + 'static {
        let (faults, dice, calm, watch) = (self.clone(), dice.clone(), calm.clone(), watch.clone());
        move |call| {
            watch.called();
            if calm.load(Ordering::Relaxed) {
                return Fault::default();
            }
            match &faults {
                Self::Thrown => thrown(&dice, outlast_leases),
                Self::Once(once) => once.fault(call, &watch),
            }
        }
    }
}

fn thrown(dice: &Dice, outlast_leases: bool) -> Fault {
    Fault {
        before: if outlast_leases && dice.one_in(40) {
            LEASE + dice.delay() * 3
        } else {
            dice.delay()
        },
        refuse: dice.one_in(60),
        after: dice.delay(),
        reply: if dice.one_in(40) {
            Reply::Lost
        } else {
            Reply::Given
        },
    }
}

impl Once {
    fn fault(&self, call: Call, watch: &Watch) -> Fault {
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 != self.at {
            return Fault::default();
        }
        watch.note(|| format!("{:?}: {}", self.point, call.operation));
        let survives = matches!(self.point, Point::Slow);
        if !survives {
            self.died.notify_one();
        }
        Fault {
            before: match self.point {
                Point::Before | Point::After => Duration::ZERO,
                Point::Late => LEASE / 2,
                Point::NextRun => VERY_LATE,
                Point::Slow => LEASE * 3,
            },
            refuse: matches!(self.point, Point::Before),
            reply: if survives { Reply::Given } else { Reply::Never },
            ..Fault::default()
        }
    }
}
