//! Clusters of Rust services: nodes find each other by DNS or by name, hold one encrypted link per
//! pair, and know at any time who is there and how much of the cluster they speak for.
//!
//! ```
//! # async fn start() -> Result<(), lasso::StartError> {
//! use lasso::{Cluster, TopologyUpdate};
//!
//! let cluster = Cluster::builder()
//!     .name("lasso@127.0.0.1:9155")
//!     .cookie("a secret of 32 bytes or more, the same on every node")
//!     .peer("lasso@127.0.0.2:9155")
//!     .start()
//!     .await?;
//! let mut events = cluster.events();
//! while let Some(TopologyUpdate::Event(event)) = events.recv().await {
//!     println!("{:?}: {} nodes", event.change, event.coverage.connected);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Cluster`] is the handle of a running node: when its last clone is dropped, the node says
//! goodbye and stops. [`Cluster::topology`] and [`Cluster::coverage`] are snapshots,
//! [`Cluster::events`] tells every change. A node may also be configured from flags, environment
//! and a file: see [`config`].
//!
//! Three crates stand behind this one: `lasso-core` decides and does no IO, `lasso-net` runs it over
//! tokio, `lasso-sim` runs both in simulation.

pub use lasso_core::config::Settings;
pub use lasso_core::discovery::{Query, QueryState, QueryStatus};
pub use lasso_core::event::{Change, CloseReason, DownReason, Notice, TopologyEvent};
pub use lasso_core::health::{HealthReport, HealthStatus};
pub use lasso_core::name::{
    Basename, Description, Identity, Incarnation, Label, NameError, NodeName,
};
pub use lasso_core::topology::{Coverage, Island, Member, NodeState, Pair, Partitions};
#[cfg(feature = "http")]
pub use lasso_net::http;
pub use lasso_net::{
    Builder, Cluster, StartError, TopologyEvents, TopologySnapshot, TopologyUpdate,
};
pub use lasso_net::{config, messaging, responder};

#[cfg(feature = "sim")]
pub use lasso_sim as sim;
