//! Runs lasso's machines over tokio: TCP, DNS, wall clock, HTTP.
//!
//! [`Cluster::builder`] starts a node; [`Cluster`] is its handle. What decides is in `lasso-core`;
//! here is what waits, carries bytes, and asks the system.

mod builder;
mod cluster;
pub mod config;
mod conn;
mod direct;
pub mod dns;
mod driver;
pub mod events;
#[cfg(feature = "http")]
pub mod http;
pub mod messaging;
pub mod metrics;
mod notice;
pub mod responder;
pub mod seam;
mod shared;
mod tokio_platform;

pub use builder::Builder;
pub use cluster::{
    Cluster, Observer, StartError, TopologyEvents, TopologySnapshot, TopologyUpdate,
};
pub use lasso_core::event::TopologyEvent;
