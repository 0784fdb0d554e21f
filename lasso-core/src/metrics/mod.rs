//! What a cluster measures of its calls, and the answers that all nodes give together.
//!
//! Each node records its own calls ([`recorder`]). An answer for the cluster is gathered: every node
//! hands in its part of a query ([`queries`]), the parts are put together by rules that do not care
//! about their order ([`aggregate`]), percentiles come from latencies that can be merged
//! ([`sketch`]), and the result is kept and renewed while it is being read ([`store`]).
//!
//! [`service`] puts these together for one node. Nothing here calls another node: it says what to
//! gather, and takes what was gathered.
//!
//! ```
//! use core::time::Duration;
//! use lasso_core::metrics::queries::{Leaderboard, ProviderKey, Query};
//! use lasso_core::metrics::recorder::{Call, Outcome, Recorder, SeriesKey};
//! use lasso_core::time::Instant;
//!
//! let (mut near, mut far) = (Recorder::new(1), Recorder::new(2));
//! let key = SeriesKey {
//!     profile: "free",
//!     provider: "alchemy",
//!     chain: "ethereum",
//!     method: "eth_call",
//!     region: "iad",
//! };
//! let took = |millis| Call::new(Outcome::Success, Duration::from_millis(millis));
//! for _ in 0..1_000 {
//!     near.record(Instant::ZERO, &key, took(100));
//! }
//! for _ in 0..100 {
//!     far.record(Instant::ZERO, &key, took(200));
//! }
//!
//! let asked = ProviderKey { profile: "free".into(), chain: "ethereum".into() };
//! let (near, far) = (Leaderboard(near), Leaderboard(far));
//! let parts = vec![
//!     ("app@10.0.0.1".parse()?, near.collect(Instant::ZERO, &asked)),
//!     ("app@10.0.0.2".parse()?, far.collect(Instant::ZERO, &asked)),
//! ];
//! let ranking = near.merge(&asked, parts);
//! assert_eq!(ranking.providers[0].figures.calls, 1_100);
//! assert_eq!(format!("{:.2}", ranking.providers[0].figures.mean_latency_ms), "109.09");
//! # Ok::<(), lasso_core::name::NameError>(())
//! ```

pub mod aggregate;
pub mod queries;
pub mod recorder;
pub mod service;
mod shared;
pub mod sketch;
pub mod store;
mod tally;

pub use shared::SharedRecorder;
pub use tally::Tally;
