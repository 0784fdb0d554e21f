//! Clusters of Rust services: nodes find each other by DNS or by name, hold one encrypted link per
//! pair, and know at any time who is there and how much of the cluster they speak for. They publish
//! to each other's subscribers, and call each other's methods.
//!
//! ```
//! use lasso::{Cluster, Received};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # const SOON: std::time::Duration = std::time::Duration::from_secs(20);
//! let cookie = "a secret of 32 bytes or more, the same on every node";
//! // Two nodes, which would be two processes:
//! let a = Cluster::builder().name("lasso@127.0.43.1").cookie(cookie);
//! let a = a.peer("lasso@127.0.43.2").start().await?;
//! let b = Cluster::builder().name("lasso@127.0.43.2").cookie(cookie);
//! let b = b.peer("lasso@127.0.43.1").start().await?;
//! println!("{}", b.wait_for(2, SOON).await?);
//! # a.wait_for(2, SOON).await?;
//!
//! // B calls a method of A.
//! let _serving = a.serve("double", |number: u64, _| async move { Ok(2 * number) })?;
//! let doubled: u64 = b.call(&a.name(), "double", &21_u64).await?;
//! assert_eq!(doubled, 42);
//!
//! // B publishes, and whoever subscribes gets it, on any node.
//! let mut news = a.subscribe::<String>("news")?;
//! # while b.publish("news", "B is here")?.nodes == 0 { tokio::task::yield_now().await }
//! b.publish("news", "B is here")?;
//! if let Some(Received::Message { value, source, .. }) = news.recv().await {
//!     assert_eq!((value.as_str(), &source.node), ("B is here", &b.name()));
//! }
//!
//! // A node counts its own calls, and any node answers for all of them.
//! use lasso::metrics::{Call, Leaderboard, Outcome, ProviderKey, SeriesKey};
//! let series = SeriesKey {
//!     profile: "free",
//!     provider: "alchemy",
//!     chain: "ethereum",
//!     method: "eth_call",
//!     region: "iad",
//! };
//! a.record(&series, Call::new(Outcome::Success, std::time::Duration::from_millis(80)));
//! let chain = ProviderKey { profile: "free".into(), chain: "ethereum".into() };
//! let board = b.metrics().get_or_wait::<Leaderboard>(&chain, SOON).await?;
//! let (figures, coverage) = (board.value().unwrap(), board.coverage().unwrap());
//! assert_eq!(figures.providers[0].figures.calls, 1);
//! assert_eq!((coverage.responding, coverage.total), (2, 2));
//!
//! // Whoever looks at a profile sees what all nodes publish of their requests.
//! use lasso::events::{Pass, Scope, Segment};
//! let profile = Segment::new("free")?;
//! let pass = Pass::operator(profile.clone());
//! let mut viewer = b.events(profile).viewer(&pass, Scope::Profile).await?;
//! let snapshot = viewer.recv().await.expect("a snapshot is there at once");
//! assert!(snapshot.events.is_empty(), "nobody has published an event yet");
//! # Ok(())
//! # }
//! ```
//!
//! [`Cluster`] is the handle of a running node: when its last clone is dropped, the node says
//! goodbye and stops. [`Cluster::topology`] and [`Cluster::coverage`] are snapshots,
//! [`Cluster::topology_events`] tells every change. [`Cluster::publish`] and [`Cluster::subscribe`] are for
//! what everybody may hear, at most once; [`Cluster::call`] and [`Cluster::call_many`] ask nodes that
//! [`Cluster::serve`], and tell what came of it for each; see [`messaging`]. What nodes see of their
//! requests is shown live to whoever looks, from any node: [`Cluster::publish_event`] and
//! [`Cluster::events`]; see [`mod@events`]. What they have measured is one answer on any of them, with its
//! age and coverage: [`Cluster::record`] and [`Cluster::metrics`]; see [`metrics`]. A node may also be
//! configured from flags, environment and a file: see [`config`].
//!
//! What more than one part has a word for stands in its part alone: [`messaging::Call`] is a call under way
//! and [`metrics::Call`] one that is counted, [`events::Outcome`] is a request's and [`metrics::Outcome`] a
//! call's, [`messaging::Row`] is a row of numbers and [`events::Row`] one of figures, and
//! [`discovery::Query`] is a name that is looked up and [`metrics::Query`] a question to all nodes.
//!
//! Three crates stand behind this one: `lasso-core` decides and does no IO, `lasso-net` runs it over
//! tokio, `lasso-sim` runs both in simulation.

pub use lasso_core::config::Settings;
pub use lasso_core::event::{Change, CloseReason, DownReason, Notice, TopologyEvent};
pub use lasso_core::health::{HealthReport, HealthStatus};
pub use lasso_core::name::{
    Basename, Description, Identity, Incarnation, Label, NameError, NodeName,
};
pub use lasso_core::time;
pub use lasso_core::topology::{Coverage, Island, Member, NodeState, Pair, Partitions};
pub use lasso_net::events::{
    Delivery, Events, Pass, RoutingDecision, RoutingEvent, Scope, ScopeError, Segment, ViewError,
    Viewer,
};
#[cfg(feature = "http")]
pub use lasso_net::http;
pub use lasso_net::messaging::{
    Answers, Audience, CallCoverage, CallError, CallMany, CallOptions, Context, FailedCall, Half,
    Message, PublishError, PublishTimes, RawAnswers, RawCall, RawCallMany, RawSubscription, Reach,
    Received, Reject, ServeError, Serving, Source, SubscribeError, SubscribeOptions, Subscription,
    Targets, Undecodable, Update,
};
pub use lasso_net::{
    Builder, Cluster, StartError, TopologyEvents, TopologySnapshot, TopologyUpdate,
};
pub use lasso_net::{config, events, log, messaging, metrics, process, responder};

/// What a node looks up to find the others.
pub mod discovery {
    pub use lasso_core::discovery::{Query, QueryState, QueryStatus};
}

#[cfg(feature = "sim")]
pub use lasso_sim as sim;
