//! Cluster-wide answers at the speed of memory: what [`lasso_core::metrics`] decides, made readable
//! from many threads.

pub mod cache;
