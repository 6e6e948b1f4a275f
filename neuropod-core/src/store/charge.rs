//! What a meter's transfer is for.

use serde::{Deserialize, Serialize};

use super::{Meter, MeterTotal, Posted};
use crate::money::Money;
use crate::time::Time;

/// What the store booked for a meter: usage by pod, product or day needs no other source than the transfers. A refund
/// gives the span back that it names. A span may have time in it that was not counted, while a volume was paused:
/// money follows from the transfer's amount alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// Which meter.
    pub meter: Meter,
    /// What it has counted since its transfer before this one.
    pub used: Used,
}

/// What was used, over a span of our time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Used {
    /// The entry of the price list, or `volume`.
    pub product: String,
    /// How many devices, or GB of a volume.
    pub quantity: u32,
    /// Per hour, for all of that.
    pub rate: Money,
    /// From here on.
    pub from: Time,
    /// Up to here.
    pub to: Time,
}

impl MeterTotal {
    /// What books `after` on top of `before`: the span between the two, which lies the other way round if the last
    /// total gives something back.
    pub(super) fn charge(&self, before: Option<Posted>) -> Charge {
        let started = before.and_then(|posted| posted.until);
        let (from, to) = (started.unwrap_or(self.used.from), self.used.to);
        Charge {
            meter: self.meter,
            used: Used {
                from: from.min(to),
                to: from.max(to),
                ..self.used.clone()
            },
        }
    }
}
