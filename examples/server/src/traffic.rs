//! What was answered to requests, by route: counted at the edge, so that what never reached a handler counts too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use neuropod::figures::{Histogram, Spread};

/// Most answers take milliseconds; a backend may take seconds.
const BOUNDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// The answers of one server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traffic(Arc<Mutex<BTreeMap<(&'static str, String), Answers>>>);

#[derive(Debug)]
struct Answers {
    by_status: BTreeMap<u16, u64>,
    took: Histogram,
}

/// The answers of one route to one method.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) method: &'static str,
    pub(crate) route: String,
    pub(crate) by_status: BTreeMap<u16, u64>,
    pub(crate) took: Spread,
}

impl Traffic {
    /// Counts one answer. `route` is a pattern of ours, so there are never more than there are routes.
    pub(crate) fn count(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let mut all = self.0.lock().expect("no panic while held");
        let key = (known(method), route.to_owned());
        let answers = all.entry(key).or_insert_with(|| Answers {
            by_status: BTreeMap::new(),
            took: Histogram::new(BOUNDS),
        });
        *answers.by_status.entry(status.as_u16()).or_default() += 1;
        answers.took.observe(took);
    }

    /// What was counted so far.
    pub(crate) fn so_far(&self) -> Vec<Answered> {
        let all = self.0.lock().expect("no panic while held");
        let answered = all.iter().map(|((method, route), answers)| Answered {
            method,
            route: route.clone(),
            by_status: answers.by_status.clone(),
            took: answers.took.spread(),
        });
        answered.collect()
    }
}

/// Anybody may make methods up.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
