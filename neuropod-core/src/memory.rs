//! Backends that keep everything in memory: products for tests, demonstrations and small services.

mod store;

pub use store::MemoryStore;
