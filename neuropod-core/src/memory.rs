//! Backends in memory. Products, not mocks: they keep the whole contract of their trait, and say that they simulate.

mod orchestrator;
mod store;

pub use orchestrator::{Behaviour, MemoryOrchestrator, MemoryOrchestratorBuilder};
#[cfg(feature = "testing")]
pub use orchestrator::{Inventory, Kept, Ran};
pub use store::MemoryStore;
