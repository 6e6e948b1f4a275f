//! NeuroPod backend: k8s.
