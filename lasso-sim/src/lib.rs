//! Scenarios for lasso clusters: a language, the worlds in which it runs, and a tool.

pub mod app;
pub mod checks;
pub mod coverage;
pub mod direct;
pub mod fabric;
pub mod inspect;
pub mod invariants;
pub mod liar;
mod random;
pub mod record;
pub mod runner;
pub mod scenario;
pub mod seed;
pub mod stage;
pub mod sweep;
pub mod tool;
pub mod trace;
pub mod turmoil_world;
pub mod verbs;
pub mod world;
pub mod zone;
