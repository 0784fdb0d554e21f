//! Scenarios for lasso clusters: a language, the worlds in which it runs, and a tool.

pub mod checks;
pub mod fabric;
pub mod scenario;
pub mod seed;
pub mod tool;
pub mod verbs;
pub mod world;
