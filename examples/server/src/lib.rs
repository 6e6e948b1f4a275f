//! A full NeuroPod server, assembled from the library.
