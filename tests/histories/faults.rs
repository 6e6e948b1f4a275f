//! What goes wrong with the calls of the replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use neuropod::fault::{Call, Fault, Reply};
use tokio::sync::Notify;

use crate::rng::Dice;
use crate::watched::Watch;
use crate::world::LEASE;

/// What goes wrong in a history.
#[derive(Debug, Clone)]
pub(crate) enum Faults {
    /// Two replicas, whose calls are late often, and refused or lost now and then.
    Thrown,
    /// One replica, that dies at one call.
    Crash(Arc<Crash>),
}

/// The call at which the replica dies, counted over all it makes, from 1.
#[derive(Debug)]
pub(crate) struct Crash {
    pub(crate) at: u64,
    pub(crate) point: Point,
    pub(crate) calls: AtomicU64,
    /// Told when that call is made.
    pub(crate) now: Notify,
}

/// What becomes of the last call of a replica.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Point {
    /// It never arrives.
    Before,
    /// It takes effect, and nobody is there to hear the answer.
    After,
    /// It takes effect when the replica has long been started again.
    Late,
}

impl Point {
    pub(crate) const ALL: [Self; 3] = [Self::Before, Self::After, Self::Late];
}

impl Faults {
    pub(crate) fn replicas(&self) -> usize {
        match self {
            Self::Thrown => 2,
            Self::Crash(_) => 1,
        }
    }

    /// Whether some calls are later than a lease lasts, so that two passes are over one pod at once.
    pub(crate) fn outlast_leases(&self, dice: &Dice) -> bool {
        match self {
            Self::Thrown => dice.one_in(3),
            Self::Crash(_) => true,
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
                Self::Crash(crash) => crash.fault(call, &watch),
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

impl Crash {
    fn fault(&self, call: Call, watch: &Watch) -> Fault {
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 != self.at {
            return Fault::default();
        }
        watch.note(|| format!("crash at {} {:?}", call.operation, self.point));
        self.now.notify_one();
        Fault {
            before: match self.point {
                Point::Late => LEASE / 2,
                _ => std::time::Duration::ZERO,
            },
            refuse: matches!(self.point, Point::Before),
            reply: Reply::Never,
            ..Fault::default()
        }
    }
}
