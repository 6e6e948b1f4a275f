//! The last ten minutes of a pod, and the minutes that have just ended. Pure.

use std::collections::VecDeque;

use super::point::{Point, average};
use crate::time::Time;

/// So many points are kept: ten minutes, one a second.
const ROOM: usize = 600;
/// In microseconds.
const MINUTE: i64 = 60_000_000;

#[derive(Debug, Default)]
pub(super) struct Ring {
    points: VecDeque<Point>,
    /// Of the minute that goes on.
    minute: Vec<Point>,
}

/// When the minute of an instant began.
pub(super) fn minute(at: Time) -> Time {
    Time::from_micros(at.as_micros().div_euclid(MINUTE) * MINUTE)
}

impl Ring {
    /// Takes a point. Answers the average of the minute before, if that ended with it.
    pub(super) fn push(&mut self, point: Point) -> Option<Point> {
        let ended = (self.minute.first())
            .filter(|first| minute(first.at) != minute(point.at))
            .is_some();
        let ended = ended.then(|| self.end()).flatten();
        self.minute.push(point.clone());
        if self.points.len() == ROOM {
            self.points.pop_front();
        }
        self.points.push_back(point);
        ended
    }

    /// The average of what there is of a minute that does not go on.
    pub(super) fn end(&mut self) -> Option<Point> {
        let at = minute(self.minute.first()?.at);
        Some(average(&std::mem::take(&mut self.minute), at))
    }

    pub(super) fn points(&self) -> impl Iterator<Item = &Point> {
        self.points.iter()
    }
}
