//! The handle of a running node, and how one is started.

use core::fmt;
use core::future::Future;
use core::hash::{Hash, Hasher};
use core::time::Duration;
use std::hash::DefaultHasher;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use lasso_core::config::{NodeConfig, SettingsError};
use lasso_core::event::TopologyEvent;
use lasso_core::health::HealthReport;
use lasso_core::name::{Description, Identity, NodeName};
use lasso_core::node::{Command, ConnId, Input, Node, Output, Unsent};
use lasso_core::time::Instant;
use lasso_core::topology::{Coverage, Member, Partitions};
use tokio::sync::broadcast;

use crate::builder::Builder;
use crate::config::ConfigErrors;
use crate::driver;
use crate::events::Desk;
use crate::log::Lines;
use crate::metrics;
use crate::seam::Platform;
use crate::shared::Shared;

/// Watches a node from inside, for simulations and journals. Called under the node's lock: must be
/// quick, and must not call back.
pub trait Observer: Send + Sync + 'static {
    /// An input is about to be handled.
    fn input(&self, now: Instant, input: &Input);
    /// An output is about to be carried out.
    fn output(&self, now: Instant, output: &Output);
    /// All outputs of the inputs so far were handed out.
    fn settled(&self, now: Instant, node: &Node);
    /// Bytes came on a link that the node has handed over, and do not pass through it. Not called
    /// under the node's lock.
    fn received(&self, now: Instant, conn: ConnId, bytes: &[u8]) {
        let _ = (now, conn, bytes);
    }
}

/// Why a node did not start. Nothing of it is left running.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong; everything that is wrong with it. The caller's fault.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// Settings that cannot work together. The caller's fault.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The address to listen on cannot be had: it is taken, or not of this machine.
    #[error("cannot listen on {address}: {message}; {}", bind_hint(*.kind))]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the system says.
        message: String,
        /// Its kind.
        kind: io::ErrorKind,
    },
    /// The system gives no randomness, or its resolver has no configuration.
    #[error("the system lacks something that a node needs: {0}")]
    System(String),
    /// The wait for other nodes took too long; only where it was asked for.
    #[error("{responding} of {wanted} nodes were responding after {after:?}")]
    Alone {
        /// How many were responding, self included.
        responding: usize,
        /// How many were wanted.
        wanted: usize,
        /// How long the wait was.
        after: Duration,
    },
}

fn bind_hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "is another node running there?",
        io::ErrorKind::AddrNotAvailable => "the address is none of this machine's",
        io::ErrorKind::PermissionDenied => "the system does not allow this process that port",
        _ => "nothing was started",
    }
}

/// A snapshot of who is there.
#[derive(Debug, Clone)]
pub struct TopologySnapshot {
    /// This node.
    pub me: Identity,
    /// Every remote node that is known, by name.
    pub members: Vec<Member>,
    /// How much of the cluster an answer speaks for.
    pub coverage: Coverage,
    /// Islands and pairs.
    pub partitions: Partitions,
}

/// What a subscriber of the topology gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopologyUpdate {
    /// Something changed.
    Event(Arc<TopologyEvent>),
    /// The subscriber was slow: so many events were dropped. This is the present coverage, whose
    /// epoch is at least that of the last event dropped.
    Lagged {
        /// How many events were missed.
        missed: u64,
        /// The present coverage.
        coverage: Coverage,
    },
}

/// A subscription to topology events. Holds at most 1,024 that were not read; the oldest give way.
#[derive(Debug)]
pub struct TopologyEvents {
    events: broadcast::Receiver<Arc<TopologyEvent>>,
    shared: Arc<Shared>,
}

impl TopologyEvents {
    /// The next update; `None` once the node has stopped. Cancelling loses nothing.
    pub async fn recv(&mut self) -> Option<TopologyUpdate> {
        let mut stopped = self.shared.stopped.subscribe();
        let received = tokio::select! {
            biased;
            received = self.events.recv() => received,
            _ = stopped.wait_for(|stopped| *stopped) => return None,
        };
        match received {
            Ok(event) => Some(TopologyUpdate::Event(event)),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                let coverage = self.shared.node.lock().coverage();
                Some(TopologyUpdate::Lagged { missed, coverage })
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Ends the node when the last handle goes.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let within = self
            .shared
            .node
            .lock()
            .config()
            .settings
            .leave
            .within_dropped;
        self.shared
            .command(Input::Command(Command::Leave { within }));
    }
}

/// A handle of a running node: cheap to clone. When the last one is dropped the node sends what it has
/// taken, within [`LeaveSettings::within_dropped`] (1 s by default), says goodbye and stops.
///
/// [`LeaveSettings::within_dropped`]: lasso_core::config::LeaveSettings::within_dropped
#[derive(Clone)]
pub struct Cluster {
    handle: Arc<Handle>,
}

impl Cluster {
    /// A builder with the defaults: a node that runs alone.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs a node over `platform`. `seed` must be used only once, since secrets come from it;
    /// `listen` is where links are accepted, if anywhere.
    ///
    /// # Errors
    /// [`StartError::Settings`] and [`StartError::Bind`].
    #[doc(hidden)]
    pub async fn start_on<P: Platform>(
        platform: P,
        config: NodeConfig,
        seed: [u8; 32],
        listen: Option<SocketAddr>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Cluster, StartError> {
        let settings = config.settings.clone();
        let mut table_seed = DefaultHasher::new();
        seed.hash(&mut table_seed);
        let node = Node::new(config, seed, platform.unix_ms())?;
        let listener = match listen {
            Some(address) => Some(platform.bind(address).await.map_err(|error| {
                let (message, kind) = (error.to_string(), error.kind());
                StartError::Bind {
                    address,
                    message,
                    kind,
                }
            })?),
            None => None,
        };
        let writer = platform.clone();
        let (metrics, wished) = metrics::State::new(
            settings.metrics.clone(),
            table_seed.finish(),
            platform.ticks(),
            Arc::new(Lines::new(platform.ticks(), move |line| writer.say(line))),
        );
        let desk = Desk::new(&settings, seed);
        let shared = Arc::new(Shared::new(&platform, node, desk, observer, metrics));
        let handle = Arc::new(Handle {
            shared: Arc::clone(&shared),
        });
        let cluster = Cluster { handle };
        // Before the driver, so that no peer finds the method missing.
        metrics::start(&cluster, wished);
        platform
            .clone()
            .spawn(driver::run(platform, shared, listener));
        Ok(cluster)
    }

    /// This node's name.
    pub fn name(&self) -> NodeName {
        self.inspect(|node| node.identity().name.clone())
    }

    /// Who is there, now.
    pub fn topology(&self) -> TopologySnapshot {
        self.inspect(|node| TopologySnapshot {
            me: node.identity().clone(),
            members: node.topology().members().cloned().collect(),
            coverage: node.coverage(),
            partitions: node.topology().partitions(),
        })
    }

    /// How much of the cluster an answer speaks for, now.
    pub fn coverage(&self) -> Coverage {
        self.inspect(Node::coverage)
    }

    /// Topology events from now on.
    pub fn topology_events(&self) -> TopologyEvents {
        let shared = Arc::clone(&self.handle.shared);
        TopologyEvents {
            events: shared.events.subscribe(),
            shared,
        }
    }

    /// The health answer, as operators see it.
    pub fn health(&self) -> HealthReport {
        let (now, unix_ms) = (self.shared().now(), self.shared().unix_ms());
        let (mut report, notices) =
            self.inspect(|node| (node.health(now, unix_ms), node.counters().notices_held));
        report.log = self.shared().lines.health(notices);
        report
    }

    /// The application is ready to work, or no longer; peers hear at once.
    pub fn set_ready(&self, ready: bool) {
        self.command(Command::SetReady(ready));
    }

    /// The application is ready to work: [`Cluster::set_ready`] with `true`.
    pub fn ready(&self) {
        self.set_ready(true);
    }

    /// Whether the application has said that it is ready.
    pub fn is_ready(&self) -> bool {
        self.inspect(|node| node.topology().is_ready())
    }

    /// Changes what the node says of itself; peers hear at once.
    ///
    /// # Errors
    /// More than 32 roles; nothing was changed.
    pub fn describe(&self, description: Description) -> Result<(), lasso_core::name::NameError> {
        description.validate()?;
        self.command(Command::Describe(description));
        Ok(())
    }

    /// Starts a task on the runtime on which the node was started. The task does not end with the node, only with
    /// the runtime.
    ///
    /// It is what `tokio::spawn` does, but for simulated nodes: there the task freezes, crashes and restarts with
    /// its node, in the same order in each run of a seed, and its panic fails the run.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cluster = lasso_net::Cluster::builder().start().await?;
    /// let (sender, receiver) = tokio::sync::oneshot::channel();
    /// cluster.spawn(async move {
    ///     let _ = sender.send("done");
    /// });
    /// assert_eq!(receiver.await?, "done");
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.shared.spawn(task);
    }

    /// Waits until `nodes` nodes are responding, this one included.
    ///
    /// # Errors
    /// [`StartError::Alone`] when that took longer than `timeout`; the node goes on.
    pub async fn wait_for(&self, nodes: usize, timeout: Duration) -> Result<Coverage, StartError> {
        let mut events = self.topology_events();
        let enough = async {
            loop {
                let coverage = self.coverage();
                if coverage.responding >= nodes {
                    return coverage;
                }
                if events.recv().await.is_none() {
                    return core::future::pending().await;
                }
            }
        };
        tokio::time::timeout(timeout, enough)
            .await
            .map_err(|_| StartError::Alone {
                responding: self.coverage().responding,
                wanted: nodes,
                after: timeout,
            })
    }

    /// Stops the node once it has sent what it has taken, within [`LeaveSettings::within`], 5 s by default;
    /// see [`Cluster::shutdown_within`].
    ///
    /// [`LeaveSettings::within`]: lasso_core::config::LeaveSettings::within
    pub async fn shutdown(&self) -> Unsent {
        let within = self.inspect(|node| node.config().settings.leave.within);
        self.shutdown_within(within).await
    }

    /// Stops the node once it has sent what it has taken.
    ///
    /// 1. From now on the node takes nothing: whoever publishes, calls, subscribes or serves gets
    ///    `Stopped`, and calls of other nodes are refused as `Overloaded`. If anything waits, the node says
    ///    that it is no longer ready.
    /// 2. For at most `within`, messages leave for their subscribers, calls under way get their outcomes,
    ///    and handlers answer.
    /// 3. Then the node says goodbye to every peer, closes every connection and stops. A peer that does not
    ///    read is given one second more.
    ///
    /// Returns what the node had taken and not sent, which is nothing unless the time was too short. A
    /// message counts as sent once the operating system has it. Subscribers elsewhere read the rest as
    /// `Missed`, as far as their nodes could still be told.
    ///
    /// Other handles of the node stay valid; what they show does not change any more. A second call waits
    /// for the same end; if its `within` is shorter, the node stops sooner.
    pub async fn shutdown_within(&self, within: Duration) -> Unsent {
        let mut stopped = self.handle.shared.stopped.subscribe();
        self.command(Command::Leave { within });
        let _ = stopped.wait_for(|stopped| *stopped).await;
        self.inspect(Node::unsent)
    }

    /// Reads the machine itself. Holds up the node while `read` runs.
    #[doc(hidden)]
    pub fn inspect<T>(&self, read: impl FnOnce(&Node) -> T) -> T {
        read(&self.handle.shared.node.lock())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    fn command(&self, command: Command) {
        self.handle.shared.command(Input::Command(command));
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "http")]
impl crate::http::HealthSource for Cluster {
    fn health(&self) -> HealthReport {
        Cluster::health(self)
    }

    fn is_ready(&self) -> bool {
        Cluster::is_ready(self)
    }
}
