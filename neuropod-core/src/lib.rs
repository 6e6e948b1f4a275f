//! The traits, types and loops of NeuroPod. See the crate `neuropod` for the whole and the repository's
//! `ARCHITECTURE.md` for the map.
//!
//! Core does no IO of its own: it depends on none of sqlx, bollard, kube or axum.

mod accounts;
pub mod activity;
mod alarm;
pub mod auth;
mod believed;
pub mod billing;
pub mod budget;
mod calendar;
mod claimed;
#[cfg(feature = "testing")]
pub mod conformance;
pub mod decide;
mod error;
pub mod event;
mod farewell;
#[cfg(feature = "testing")]
pub mod fault;
pub mod feed;
pub mod figures;
#[cfg(test)]
mod fixture;
mod forward;
pub mod funds;
pub mod id;
pub mod idle;
pub mod jupyter;
pub mod ladder;
pub mod launch;
pub mod ledger;
pub mod life;
mod log;
mod loops;
pub mod memory;
pub mod metrics;
pub mod money;
#[cfg(feature = "openapi")]
mod openapi;
pub mod orchestrator;
mod platform;
pub mod pod;
mod posting;
pub mod pricing;
mod probe;
mod queue;
pub mod receipt;
mod reconcile;
#[cfg(feature = "testing")]
pub mod rule;
#[cfg(not(feature = "testing"))]
#[allow(dead_code, unreachable_pub)] // switches that only test builds can turn
mod rule;
#[cfg(all(test, feature = "testing"))]
mod scene;
mod settling;
pub mod spending;
pub mod store;
mod sweep;
pub mod template;
pub mod time;
pub mod usage;
pub mod user;
pub mod visit;
pub mod wish;
mod workload;

pub use auth::Auth;
pub use billing::Billing;
pub use error::{Error, ErrorKind, FieldError, Refusal, Result, RetryCause};
pub use launch::Launch;
pub use log::{LogFrom, LogItem};
pub use orchestrator::Orchestrator;
pub use platform::{Ended, Offer, Person, Platform, PlatformBuilder, Repaired, Settings};
pub use store::Store;
pub use time::{Clock, Time};
