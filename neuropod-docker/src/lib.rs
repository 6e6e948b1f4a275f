//! NeuroPod backend: docker.
