//! Runs lasso's machines over tokio: TCP, DNS, wall clock, HTTP.

pub mod config;
pub mod responder;
pub mod seam;
