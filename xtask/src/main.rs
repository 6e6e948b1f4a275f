//! `cargo xtask up | test`.
fn main() {}
