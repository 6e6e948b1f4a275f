//! What every [`Orchestrator`] must pass.
//!
//! Each case gets a [`Subject`]: a backend that is still empty, and a [`Fixture`] that starts known programs on it and
//! plays everybody else who has a hand in it. What a fixture can't do it says, and the case is left out for that
//! reason. A backend with a runtime of its own wants several threads; one in memory can pause tokio's clock.
//!
//! ```
//! use std::sync::Arc;
//! use neuropod_core::conformance::orchestrator::{Subject, cases, memory};
//!
//! # fn main() {
//! for case in cases().into_iter().take(9) {
//!     let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
//!     let outcome = runtime.block_on(async { (case.run)(memory::subject()).await });
//!     match outcome {
//!         Ok(()) => println!("{}", case.name),
//!         Err(unable) => println!("{}: left out. {unable}", case.name),
//!     }
//! }
//! # }
//! ```
//!
//! [`Orchestrator`]: crate::Orchestrator

mod ends;
mod ensure;
mod fence;
mod fixture;
mod hints;
mod jupyter;
mod logs;
pub mod memory;
mod observe;
mod places;
mod pulls;
mod remove;
mod stop;
mod subject;
#[cfg(test)]
mod tests;
mod unreachable;
mod usage;
mod volumes;

pub use fixture::{Able, Fixture, Has, Image, Outside, Own, Program, Unable};
pub use subject::{Subject, volume, workload};

use super::Case;

/// Every case.
pub fn cases() -> Vec<Case<Subject, Able>> {
    let mut cases = Vec::new();
    cases.extend(ensure::cases());
    cases.extend(fence::cases());
    cases.extend(places::cases());
    cases.extend(stop::cases());
    cases.extend(ends::cases());
    cases.extend(remove::cases());
    cases.extend(volumes::cases());
    cases.extend(observe::cases());
    cases.extend(hints::cases());
    cases.extend(logs::cases());
    cases.extend(usage::cases());
    cases.extend(pulls::cases());
    cases.extend(jupyter::cases());
    cases.extend(unreachable::cases());
    cases
}
