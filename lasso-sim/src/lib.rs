//! Tests of services that run in a lasso cluster, on simulated nodes.
//!
//! A test names a scenario file, which lists the nodes and the faults, and gives the application that runs on
//! every node. Everything but the network, DNS and time is real: the application gets the same
//! [`Cluster`](lasso_net::Cluster) that it gets in production.
//!
//! ```
//! use lasso_net::messaging::Received;
//!
//! lasso_sim::scenario_text(
//!     "hello.toml",
//!     r#"
//!     lasso = 1
//!     title = "Every node hears of the others"
//!     nodes = { a = {}, b = {}, c = {} }
//!     [[step]]
//!     at = "20s"
//!     expect = { on = "all", connected = 3 }
//!     "#,
//! )
//! .state(std::sync::atomic::AtomicUsize::default)
//! .application(|cluster, node| async move {
//!     let mut hellos = cluster.subscribe::<String>("hello")?;
//!     cluster.wait_for(3, std::time::Duration::from_secs(10)).await?;
//!     tokio::time::sleep(std::time::Duration::from_secs(1)).await;
//!     cluster.publish("hello", node.key())?;
//!     while let Some(Received::Message { .. }) = hellos.recv().await {
//!         node.state().fetch_add(1, std::sync::atomic::Ordering::Relaxed);
//!     }
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })
//! .seeds(1..=2)
//! .check_end(|world| {
//!     for (key, heard) in world.states() {
//!         assert_eq!(heard.load(std::sync::atomic::Ordering::Relaxed), 3, "at {key}");
//!     }
//! })
//! .check();
//! ```
//!
//! [`scenario`](fn@scenario) reads a file of the user's crate, [`Setup`] takes the application, [`Harness`] the checks.
//! A [`Node`] tells the application on which node it runs, and a [`Snapshot`] shows all nodes to a check. The guide is
//! `docs/testing.md`, the language of scenarios `docs/scenarios.md`.
//!
//! All other modules serve the tool `lasso-sim` and this repository's own tests, and may change at any time.

#[doc(hidden)]
pub mod app;
#[doc(hidden)]
pub mod checks;
#[doc(hidden)]
pub mod coverage;
#[doc(hidden)]
pub mod direct;
#[doc(hidden)]
pub mod fabric;
mod harness;
#[doc(hidden)]
pub mod inspect;
#[doc(hidden)]
pub mod invariants;
#[doc(hidden)]
pub mod liar;
#[doc(hidden)]
pub mod random;
#[doc(hidden)]
pub mod record;
#[doc(hidden)]
pub mod runner;
#[doc(hidden)]
pub mod scenario;
#[doc(hidden)]
pub mod seed;
#[doc(hidden)]
pub mod stage;
#[doc(hidden)]
pub mod sweep;
#[doc(hidden)]
pub mod tool;
#[doc(hidden)]
pub mod trace;
#[doc(hidden)]
pub mod turmoil_world;
#[doc(hidden)]
pub mod verbs;
mod work;
#[doc(hidden)]
pub mod world;
#[doc(hidden)]
pub mod zone;

pub use harness::{
    Ending, Failed, Harness, Node, NodeSnapshot, Report, Rng, Setup, Snapshot, scenario,
    scenario_text,
};
