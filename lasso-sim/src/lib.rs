//! Scenarios for lasso clusters: a language, the worlds in which it runs, and a tool.

pub mod checks;
pub mod scenario;
pub mod verbs;
pub mod world;
