//! What every backend must pass, as data: a case is a name and a function over the trait. Run them with any test
//! runner, each over a backend of its own that is still empty.
//!
//! ```
//! use std::sync::Arc;
//! use neuropod_core::{conformance, memory::MemoryStore};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! for case in conformance::store::cases() {
//!     println!("{}", case.name);
//!     (case.run)(Arc::new(MemoryStore::new())).await;
//! }
//! # }
//! ```

pub mod orchestrator;
pub mod store;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

/// One case. It panics with what was expected if the backend fails it; else it answers an `O`.
pub struct Case<T: ?Sized, O = ()> {
    /// What it shows, in `snake_case`.
    pub name: &'static str,
    /// Runs it.
    pub run: fn(Arc<T>) -> BoxFuture<'static, O>,
}

impl<T: ?Sized, O> fmt::Debug for Case<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The functions by their own names, as cases.
macro_rules! cases {
    ($($case:ident,)*) => {
        [$($crate::conformance::Case {
            name: stringify!($case),
            run: |backend| Box::pin($case(backend)),
        },)*]
    };
}
pub(crate) use cases;
