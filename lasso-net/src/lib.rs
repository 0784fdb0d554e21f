//! Runs lasso's machines over tokio: TCP, DNS, wall clock, HTTP.
//!
//! [`Cluster::builder`] starts a node; [`Cluster`] is its handle. What decides is in `lasso-core`;
//! here is what waits, carries bytes, and asks the system.
//!
//! [`messaging`] has topics and calls, [`events`] what nodes see of their requests, live, and [`metrics`] what
//! they have measured, as one answer:
//!
//! ```
//! use core::time::Duration;
//! use lasso_net::Cluster;
//! use lasso_net::metrics::{AllMethods, Call, Outcome, ProviderKey, SeriesKey};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::builder().start().await?;
//! let series = SeriesKey {
//!     profile: "free",
//!     provider: "alchemy",
//!     chain: "ethereum",
//!     method: "eth_call",
//!     region: "iad",
//! };
//! cluster.record(&series, Call::new(Outcome::Success, Duration::from_millis(80)));
//! let chain = ProviderKey { profile: "free".into(), chain: "ethereum".into() };
//! let wait = Duration::from_secs(6);
//! let answer = cluster.metrics().get_or_wait::<AllMethods>(&chain, wait).await?;
//! assert_eq!(answer.value().expect("a node alone waits for nobody").methods[0].method, "eth_call");
//! # Ok(())
//! # }
//! ```

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
pub mod log;
pub mod messaging;
pub mod metrics;
pub mod process;
pub mod responder;
pub mod seam;
mod shared;
mod tokio_platform;

pub use builder::Builder;
pub use cluster::{
    Cluster, Observer, StartError, TopologyEvents, TopologySnapshot, TopologyUpdate,
};
pub use lasso_core::event::TopologyEvent;
pub use lasso_core::node::Unsent;
