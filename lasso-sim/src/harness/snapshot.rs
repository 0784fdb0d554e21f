//! The snapshot that a check inspects.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use lasso_core::name::NodeName;
use lasso_core::topology::Coverage;
use lasso_net::{Cluster, TopologySnapshot};

use crate::world::Process;

/// All nodes at one moment of a run, for a check. `S` is the state that the test keeps for each node.
///
/// ```no_run
/// # use std::sync::atomic::{AtomicU64, Ordering};
/// lasso_sim::scenario("tests/cut.toml")
///     .state(AtomicU64::default)
///     .application(|cluster, node| async move {
///         let mut news = cluster.subscribe::<String>("news")?;
///         while news.recv().await.is_some() {
///             node.state().fetch_add(1, Ordering::Relaxed);
///         }
///         Ok::<(), lasso_net::messaging::SubscribeError>(())
///     })
///     .check_at("60s", |world| {
///         let coverage = world.node("a").coverage().ok_or("a does not run")?;
///         if coverage.connected != 1 {
///             return Err("a is cut off, and does not know it");
///         }
///         Ok(())
///     })
///     .check_end(|world| {
///         for node in world.nodes() {
///             assert!(node.state().load(Ordering::Relaxed) > 0, "{} got nothing", node.key());
///         }
///     })
///     .check();
/// ```
pub struct Snapshot<S = ()> {
    pub(super) seed: u64,
    pub(super) now: Duration,
    pub(super) nodes: Vec<NodeSnapshot<S>>,
}

impl<S> Snapshot<S> {
    /// The seed of the run.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Simulated time since the scenario began.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// All nodes of the scenario, running or not, in the order of the file.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeSnapshot<S>> {
        self.nodes.iter()
    }

    /// The node that the scenario file calls `key`.
    ///
    /// # Panics
    /// When there is none, which fails the run.
    #[track_caller]
    pub fn node(&self, key: &str) -> &NodeSnapshot<S> {
        // No closure: the panic names the line of the caller.
        match self.nodes.iter().find(|node| node.key == key) {
            Some(node) => node,
            None => panic!("the scenario has no node `{key}`"),
        }
    }

    /// The state of each node, with the node's key in the file.
    pub fn states(&self) -> impl Iterator<Item = (&str, &S)> {
        self.nodes.iter().map(|node| (node.key(), node.state()))
    }
}

impl<S> fmt::Debug for Snapshot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .field("nodes", &self.nodes)
            .finish()
    }
}

/// One node in a [`Snapshot`].
pub struct NodeSnapshot<S = ()> {
    pub(super) key: String,
    pub(super) name: NodeName,
    pub(super) process: Process,
    pub(super) starts: u32,
    pub(super) cluster: Option<Cluster>,
    pub(super) state: Arc<S>,
}

impl<S> NodeSnapshot<S> {
    /// Its key in the scenario file.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its name in the cluster.
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// Whether its process runs and is not frozen.
    pub fn is_running(&self) -> bool {
        self.process == Process::Running
    }

    /// Whether its process is frozen.
    pub fn is_frozen(&self) -> bool {
        self.process == Process::Paused
    }

    /// How often it has started so far.
    pub fn starts(&self) -> u32 {
        self.starts
    }

    /// The state that the test keeps for it.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// Its coverage; `None` when its process does not run.
    pub fn coverage(&self) -> Option<Coverage> {
        self.cluster.as_ref().map(Cluster::coverage)
    }

    /// The other nodes as it sees them; `None` when its process does not run.
    pub fn topology(&self) -> Option<TopologySnapshot> {
        self.cluster.as_ref().map(Cluster::topology)
    }
}

impl<S> fmt::Debug for NodeSnapshot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSnapshot")
            .field("key", &self.key)
            .field("process", &self.process)
            .field("starts", &self.starts)
            .finish_non_exhaustive()
    }
}
