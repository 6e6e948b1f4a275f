//! NeuroPod backend: store.
