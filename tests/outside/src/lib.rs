//! Somebody else's program, over the packed crates: the example of embedding as it is, and a backend of its own.

#[path = "../../../examples/embed.rs"]
pub mod embed;
pub mod tasks;
