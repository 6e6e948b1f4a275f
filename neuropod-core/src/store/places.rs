//! Where a pod stands in the answers to each [`PodFilter`]: one pure function that every index follows.

use std::fmt;

use super::{Page, PodFilter};
use crate::error::{Error, Result};
use crate::id::PodId;
use crate::pod::{Desired, Pod};

impl Pod {
    /// Every filter that this pod answers, with its position there.
    pub fn places(&self) -> Vec<(PodFilter, i64)> {
        let mut filters = Vec::with_capacity(6);
        if self.is_tombstone() {
            filters.push(PodFilter::Tombstones);
        } else {
            filters.extend([PodFilter::Alive, PodFilter::LeftOf(self.owner)]);
        }
        if self.desired != Desired::Deleted {
            filters.push(PodFilter::OwnedBy(self.owner));
        }
        if self.run.is_some() {
            filters.push(PodFilter::Open);
        }
        if self.queued_at.is_some() {
            filters.push(PodFilter::QueuedFor(self.spec.gpu.clone()));
        }
        let run = self.run.as_ref().map(|r| &r.terms.payer);
        let hold = self.hold.as_ref().map(|h| &h.payer);
        let volume = self.volume.as_ref().filter(|v| !v.closed).map(|v| &v.payer);
        for payer in [run, hold, volume].into_iter().flatten() {
            let paid = PodFilter::PaidBy(payer.clone());
            if !filters.contains(&paid) {
                filters.push(paid);
            }
        }
        filters
            .into_iter()
            .map(|f| {
                let position = f.position(self);
                (f, position)
            })
            .collect()
    }
}

impl PodFilter {
    /// What this filter orders a pod by, before its id; rising.
    pub fn position(&self, pod: &Pod) -> i64 {
        match self {
            // `!x` falls as `x` rises, and has no overflow.
            Self::OwnedBy(_) => !pod.created_at.as_micros(),
            Self::QueuedFor(_) => pod.queued_at.unwrap_or_default().as_micros(),
            _ => 0,
        }
    }

    /// The page of this filter that `rows` begin: its first `limit`, and where to go on if there are more.
    pub fn page(&self, rows: Vec<Pod>, limit: usize) -> Page<Pod> {
        Page::of(rows, limit, |pod| {
            format!("{}.{}", self.position(pod), pod.id)
        })
    }

    /// The position and id that a page of this filter ended at.
    ///
    /// # Errors
    /// `Invalid` if no page ends like that.
    pub fn parse_after(after: &str) -> Result<(i64, PodId)> {
        after
            .split_once('.')
            .and_then(|(position, id)| Some((position.parse().ok()?, id.parse().ok()?)))
            .ok_or_else(|| Error::invalid("/after", "This is not where a page of pods ended."))
    }
}

impl fmt::Display for PodFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alive => f.write_str("alive"),
            Self::OwnedBy(owner) => write!(f, "owned/{owner}"),
            Self::LeftOf(owner) => write!(f, "left/{owner}"),
            Self::PaidBy(account) => write!(f, "paid/{account}"),
            Self::QueuedFor(product) => write!(f, "queued/{product}"),
            Self::Open => f.write_str("open"),
            Self::Tombstones => f.write_str("tombstones"),
        }
    }
}
