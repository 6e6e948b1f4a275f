//! What happens to a database that is in use: others lock it, its disk is full, its server is killed and its connections
//! are cut. What was acknowledged is there, nothing is there twice or in part, and it goes on by itself.
//! `NEUROPOD_SEED=n` draws the same again.

#[path = "../kill9/check.rs"]
mod check;
mod full_disk;
mod load;
mod own_postgres;
mod pool;
mod postgres;
mod sqlite;
#[path = "../support/mod.rs"]
mod support;
#[path = "../kill9/writer.rs"]
#[allow(dead_code)] // only what it commits
mod writer;
