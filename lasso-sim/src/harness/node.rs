//! The node on which an application runs.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::time::Duration;
use std::sync::Arc;
use std::time::SystemTime;

use lasso_core::name::NodeName;

use super::ending::Ending;
use super::hooks::place;
use super::rng::Rng;
use crate::turmoil_world::site::Tenant;

/// One start of one simulated node, for the application that runs on it. Cheap to clone.
///
/// `S` is the state that the test keeps for the node; see [`Setup::state`](crate::Setup::state).
///
/// ```no_run
/// use std::time::Duration;
///
/// lasso_sim::scenario("tests/cut.toml")
///     .application(|cluster, node| async move {
///         let mut rng = node.rng();
///         for number in 1_u64.. {
///             tokio::time::sleep(rng.duration(Duration::from_secs(1))).await;
///             cluster.publish("numbers", &number)?;
///             node.note(format_args!("published {number} at {:?}", node.now()));
///         }
///         Ok::<(), Box<dyn std::error::Error>>(())
///     })
///     .check();
/// ```
pub struct Node<S = ()> {
    tenant: Tenant,
    state: Arc<S>,
}

impl<S> Clone for Node<S> {
    fn clone(&self) -> Self {
        Node {
            tenant: self.tenant.clone(),
            state: Arc::clone(&self.state),
        }
    }
}

impl<S> Node<S> {
    pub(super) fn new(tenant: Tenant, state: Arc<S>) -> Self {
        Node { tenant, state }
    }

    /// Its key in the scenario file.
    pub fn key(&self) -> &str {
        &self.tenant.spec().key
    }

    /// Its name in the cluster.
    pub fn name(&self) -> NodeName {
        self.tenant.spec().name()
    }

    /// Its region.
    pub fn region(&self) -> &str {
        self.tenant.spec().description.region.as_str()
    }

    /// Its roles.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        let roles = &self.tenant.spec().description.roles;
        roles.iter().map(|role| role.as_str())
    }

    /// How often the node has started in this run: 1 the first time, 2 after its first restart.
    pub fn start(&self) -> u32 {
        self.tenant.start()
    }

    /// The seed of the run.
    pub fn seed(&self) -> u64 {
        self.tenant.seed()
    }

    /// Simulated time since the scenario began. It is the same on all nodes; a [`tokio::time::Instant`] is not.
    pub fn now(&self) -> Duration {
        self.tenant.now().since_start()
    }

    /// The node's wall clock in simulated time. The scenario can set it wrong (`clock`).
    pub fn wall_clock(&self) -> SystemTime {
        self.tenant.wall_clock()
    }

    /// A generator that depends on the run's seed, the node, its start, and how often this was called before. Two
    /// calls give two different generators.
    pub fn rng(&self) -> Rng {
        Rng::new(self.tenant.generator())
    }

    /// Writes a line into the trace of the run. A failure shows the last lines of the trace, and two runs of a
    /// seed must write the same lines.
    pub fn note(&self, text: impl fmt::Display) {
        self.tenant.note(&text.to_string());
    }

    /// The state that the test keeps for this node. It survives restarts.
    pub fn state(&self) -> &Arc<S> {
        &self.state
    }

    /// Starts a task of this node. It pauses while the node is frozen, and is dropped when the node's process ends. An
    /// error or a panic fails the run.
    ///
    /// Code that also runs outside of tests uses [`Cluster::spawn`](lasso_net::Cluster::spawn), which does the same here.
    ///
    /// # Panics
    /// Outside of the tasks of a simulated node, for instance in a check.
    #[track_caller]
    pub fn spawn<F>(&self, task: F)
    where
        F: Future + 'static,
        F::Output: Ending,
    {
        let work = async move { task.await.into_result() };
        let place = place(Location::caller());
        self.tenant
            .spawn(place, "a task returns no error", Box::pin(work));
    }
}

impl<S> fmt::Debug for Node<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("key", &self.key())
            .field("start", &self.start())
            .finish_non_exhaustive()
    }
}
