//! The server over a real socket, with store and engine in memory.

mod access;
mod bad_input;
mod client;
mod crowd;
mod edges;
mod events;
mod everybody;
mod forged;
mod fuzzed;
mod google;
mod ledger;
mod live;
mod money;
#[path = "../../../../neuropod-oidc/tests/support/mod.rs"]
mod oidc;
mod openapi;
mod original;
mod people;
mod program;
mod prometheus;
mod provider;
mod replicas;
mod restart;
mod shapes;
mod sockets;
mod support;
mod traces;
mod wrong_fields;
