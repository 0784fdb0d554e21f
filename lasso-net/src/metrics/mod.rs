//! Cluster-wide answers at the speed of memory: what [`lasso_core::metrics`] decides, made readable
//! from many threads.
//!
//! [`Cluster::record`](crate::Cluster::record) counts a call of this node.
//! [`Cluster::metrics`](crate::Cluster::metrics) answers for the cluster, from what was gathered
//! before: a read never waits, and takes no lock that gathering holds. What is read and not fresh is
//! gathered anew by a task of the node, one refresh per key at a time, from every node that responds.
//!
//! ```
//! use core::time::Duration;
//! use lasso_net::Cluster;
//! use lasso_net::metrics::{Call, Leaderboard, Outcome, ProviderKey, SeriesKey};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::builder().start().await?;
//! let call = SeriesKey {
//!     profile: "free",
//!     provider: "alchemy",
//!     chain: "ethereum",
//!     method: "eth_call",
//!     region: "iad",
//! };
//! cluster.record(&call, Call::new(Outcome::Success, Duration::from_millis(80)));
//!
//! let chain = ProviderKey { profile: "free".into(), chain: "ethereum".into() };
//! // Not there yet, and on its way now:
//! assert!(cluster.metrics().get::<Leaderboard>(&chain)?.is_loading());
//! let wait = Duration::from_secs(6);
//! let readout = cluster.metrics().get_or_wait::<Leaderboard>(&chain, wait).await?;
//! let board = readout.value().expect("a node alone has waited for nobody");
//! assert_eq!(board.providers[0].figures.calls, 1);
//! assert_eq!(readout.coverage().expect("it is there").responding, 1);
//! # Ok(())
//! # }
//! ```

mod boards;
pub mod cache;
mod handle;
mod refresher;
mod state;
mod watch;

pub use handle::{Metrics, MetricsStats, Reader};
pub use lasso_core::metrics::aggregate::{CALLS_MIN, Figures, Slice, Spread};
pub use lasso_core::metrics::queries::{
    AllMethods, Leaderboard, MethodKey, MethodPerformance, MethodRow, MethodTable, ProviderKey,
    ProviderRow, Query, Ranking, Realtime, RealtimeStats, Untold,
};
pub use lasso_core::metrics::recorder::{Call, Limits, Outcome, RecorderCounters, SeriesKey};
pub use lasso_core::metrics::service::{AskError, METHOD, MetricsSettings, RegisterError};
pub use lasso_core::metrics::store::{
    Ages, AnswerCoverage, Failure, Freshness, Reading, Reads, StoreCounters, StoreSettings,
};
pub use lasso_core::metrics::{SharedRecorder, Tally};

/// An answer of a query as it is now, and what it is worth.
pub type Readout<A> = Reading<cache::Held<A>>;

pub use watch::Watch;

pub(crate) use refresher::start;
pub(crate) use state::State;
