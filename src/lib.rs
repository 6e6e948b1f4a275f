//! NeuroPod: rent GPU containers from your own Rust service.

pub use neuropod_core::*;
#[cfg(feature = "docker")]
pub use neuropod_docker as docker;
#[cfg(feature = "k8s")]
pub use neuropod_k8s as k8s;
#[cfg(feature = "oidc")]
pub use neuropod_oidc as oidc;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use neuropod_store as sql;
