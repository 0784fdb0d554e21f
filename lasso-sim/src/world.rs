//! The interface between a scenario and the world that runs it: the direct world (an event loop over the
//! machines) and the turmoil world (lasso-net's driver over a simulated network). Verbs drive this trait, the
//! runner lets time pass, and checks read the views that it returns.
//!
//! Architecture invariant: a world never ignores an order. It declares beforehand in [`World::can`] what it
//! cannot do, and the file is refused.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;
use lasso_core::discovery::QueryStatus;
use lasso_core::event::{DownReason, Notice, TopologyEvent};
use lasso_core::name::{Description, Incarnation, NodeName};
use lasso_core::node::LinkInfo;
use lasso_core::time::Instant;
use lasso_core::topology::{Coverage, NodeState};

use crate::app::{AppLog, Order};
use crate::liar::Lying;
use crate::scenario::{NodeId, NodeSpec, Shape};

/// The kinds of worlds that run scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorldKind {
    /// An event loop over the machines, which jumps from event to event.
    Direct,
    /// lasso-net's driver over turmoil's simulated network.
    Turmoil,
}

impl WorldKind {
    /// All of them.
    pub const ALL: [WorldKind; 2] = [WorldKind::Direct, WorldKind::Turmoil];

    /// Its name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            WorldKind::Direct => "direct",
            WorldKind::Turmoil => "turmoil",
        }
    }
}

impl fmt::Display for WorldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An ability that a verb may need and a world may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ability {
    /// Start, stop, crash.
    Process,
    /// Freeze and thaw a process behind living connections.
    Pause,
    /// Cut paths so that streams stall.
    Stall,
    /// Cut paths so that streams are reset and connects refused.
    Reset,
    /// Cut paths so that existing connections never carry a byte again.
    Drop,
    /// Cut one direction only.
    OneWay,
    /// Hold bytes back and release them.
    Hold,
    /// Latency, jitter, loss and bandwidth.
    Shape,
    /// Answers of DNS.
    Dns,
    /// The wall clock of a node.
    Clock,
    /// Raw connections of strangers.
    Stranger,
    /// Members that break the protocol.
    Liar,
    /// Applications that subscribe, publish, serve and call.
    App,
}

/// A world refused an order. This is the file's fault, or a limit of the world; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This world cannot do it.
    #[error("the {world} world cannot do this: {what}")]
    Unsupported {
        /// The world.
        world: WorldKind,
        /// The order.
        what: &'static str,
    },
    /// The order makes no sense now: starting a node that runs, resuming one that is not paused.
    #[error("{0}")]
    Senseless(String),
}

/// One direction between two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
}

/// How a cut path behaves.
///
/// As with real TCP, a connection needs both directions. If one is cut, the other soon carries nothing new,
/// because acknowledgements are lost, and no connect succeeds either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cut {
    /// Packets are lost: streams stall, and continue some time after the heal, when TCP retransmits; connects
    /// hang.
    Stall,
    /// Open streams are reset at both ends at once; connects are refused.
    Reset,
    /// Packets are lost, and the path forgets its open connections: they never carry a byte again, even after
    /// the heal. Connects hang until then.
    Drop,
}

/// How DNS answers a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsMode {
    /// The hosts of the nodes whose [`NodeSpec::dns_name`] this is and that run now, frozen ones
    /// included.
    Truth,
    /// An error, at once.
    Fails,
    /// No answer, ever.
    Silent,
    /// The name does not exist.
    Empty,
    /// The first of the true addresses, this many, marked as truncated.
    Truncated(usize),
    /// The addresses that were true when the order was given.
    Stale,
    /// These addresses, whatever is true.
    Answers(Vec<IpAddr>),
}

/// The bytes that a stranger sends after connecting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// These bytes; none: silence.
    Bytes(Bytes),
    /// The first bytes, up to the end of the first handshake message, of the last connection that a node
    /// dialled to the same target.
    Replay,
}

/// A stranger, who is no node, connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// The node that it connects to.
    pub to: NodeId,
    /// The source address of the connections.
    pub from: IpAddr,
    /// How many connections, at once.
    pub connections: u32,
    /// The bytes that each sends.
    pub opening: Opening,
    /// It closes the connection after this time; `None`: it stays until the node closes it.
    pub leaves_after: Option<Duration>,
}

/// Marks the orders of one step, so that a run can name a fault that never took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(pub u32);

/// The state of a node's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Process {
    /// Not started, stopped, or crashed.
    Gone,
    /// Running.
    Running,
    /// Frozen.
    Paused,
}

/// An item with the time at which it was reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed<T> {
    /// The time, on the world's clock.
    pub at: Instant,
    /// The item.
    pub what: T,
}

/// A remote node as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Its name.
    pub name: NodeName,
    /// The known incarnation of that name.
    pub incarnation: Incarnation,
    /// Its state.
    pub state: NodeState,
    /// Why it is disconnected, if it is.
    pub reason: Option<DownReason>,
    /// Its description, once it has sent one.
    pub description: Option<Description>,
}

/// The islands of the cluster and the pairs that cannot reach each other, as one node derives them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionView {
    /// Groups of nodes without a link to any other group; empty while there is only one.
    pub islands: Vec<Vec<NodeName>>,
    /// Pairs without a link although a third node has a link to both; the smaller name first.
    pub pairs: Vec<(NodeName, NodeName)>,
}

/// Everything that checks read about one living node, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// Its name.
    pub name: NodeName,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its coverage.
    pub coverage: Coverage,
    /// The remote nodes it knows, by name.
    pub members: Vec<MemberView>,
    /// Islands and pairs.
    pub partitions: PartitionView,
    /// `healthy`, `degraded` or `critical`.
    pub health: &'static str,
    /// The present links.
    pub links: Vec<LinkInfo>,
    /// Its queries.
    pub discovery: Vec<QueryStatus>,
    /// The names that it dials or would dial.
    pub candidates: Vec<NodeName>,
    /// Connections that this side closed, by [`CloseReason::name`](lasso_core::event::CloseReason::name), since
    /// the process started.
    pub closed: BTreeMap<&'static str, u64>,
    /// Connections that peers closed with a reason, by the same names.
    pub closed_by_peer: BTreeMap<&'static str, u64>,
    /// Other counters by name, since the process started.
    pub counters: BTreeMap<&'static str, u64>,
}

/// A world that runs a scenario.
///
/// Orders take effect at [`World::now`]. Events and notices are kept for the whole run, over all
/// lives of a node's process.
pub trait World {
    /// The kind of this world.
    fn kind(&self) -> WorldKind;
    /// Whether it has this ability.
    fn can(&self, ability: Ability) -> bool;

    /// Time since the scenario began.
    fn now(&self) -> Instant;
    /// Lets time pass until something visible to a check may have changed at some node, or until `until`,
    /// whichever is first; returns the new [`World::now`]. It may return early, but must not skip a change.
    fn advance(&mut self, until: Instant) -> Instant;

    /// Whether a liar has claimed this name and no node of the file has it.
    fn is_liar(&self, name: &NodeName) -> bool;

    /// The orders that follow belong to this fault.
    fn attribute(&mut self, fault: FaultId);
    /// How often the orders under this fault have taken effect: a byte held back, a connect hindered, an answer
    /// changed, a process ended, a connection of a stranger accepted.
    fn effects(&self, fault: FaultId) -> u64;

    /// Starts the process of a node with `spec`: the node's own, or a variant of it.
    ///
    /// # Errors
    /// When it runs already.
    fn start(&mut self, node: NodeId, spec: &NodeSpec) -> Result<(), Refusal>;
    /// Tells a node to say goodbye and stop. A frozen one does so when it is thawed.
    ///
    /// # Errors
    /// When it does not run.
    fn stop(&mut self, node: NodeId) -> Result<(), Refusal>;
    /// Ends the process at once. Its kernel lives on, so peers see their connections close.
    ///
    /// # Errors
    /// When it does not run.
    fn crash(&mut self, node: NodeId) -> Result<(), Refusal>;
    /// Ends process and machine at once: nobody closes its connections, connects to it hang.
    ///
    /// # Errors
    /// When it does not run.
    fn vanish(&mut self, node: NodeId) -> Result<(), Refusal>;
    /// Freezes the process. Its kernel continues to accept connections and bytes.
    ///
    /// # Errors
    /// When it does not run.
    fn pause(&mut self, node: NodeId) -> Result<(), Refusal>;
    /// Thaws the process.
    ///
    /// # Errors
    /// When it is not paused.
    fn resume(&mut self, node: NodeId) -> Result<(), Refusal>;
    /// The node's application reports that it is ready, or no longer ready.
    ///
    /// # Errors
    /// When it does not run.
    fn set_ready(&mut self, node: NodeId, ready: bool) -> Result<(), Refusal>;
    /// The node's application describes it anew.
    ///
    /// # Errors
    /// When it does not run.
    fn describe(&mut self, node: NodeId, description: &Description) -> Result<(), Refusal>;
    /// The node's application subscribes, publishes, serves or calls.
    ///
    /// # Errors
    /// When it does not run, or has no such subscription.
    fn order(&mut self, node: NodeId, order: &Order) -> Result<(), Refusal>;
    /// Moves the wall clock of a node, running or not, by this many milliseconds.
    ///
    /// # Errors
    /// When this world cannot.
    fn jump_clock(&mut self, node: NodeId, millis: i64) -> Result<(), Refusal>;

    /// Cuts paths, all at the same moment. On a path cut twice the last order holds.
    ///
    /// # Errors
    /// When this world cannot.
    fn cut(&mut self, paths: &[Path], how: Cut) -> Result<(), Refusal>;
    /// Holds back bytes and connects on these paths without losing any.
    ///
    /// # Errors
    /// When this world cannot.
    fn hold(&mut self, paths: &[Path]) -> Result<(), Refusal>;
    /// Delivers everything that was held, at once and in order.
    ///
    /// # Errors
    /// When this world cannot.
    fn release(&mut self, paths: &[Path]) -> Result<(), Refusal>;
    /// Ends cuts on these paths; holds too.
    ///
    /// # Errors
    /// When this world cannot.
    fn heal(&mut self, paths: &[Path]) -> Result<(), Refusal>;
    /// Gives these paths latency, jitter, loss and bandwidth, from now on.
    ///
    /// # Errors
    /// When this world cannot.
    fn shape(&mut self, paths: &[Path], shape: &Shape) -> Result<(), Refusal>;
    /// Sets how DNS answers a name from now on, to these nodes; other nodes see no change.
    ///
    /// # Errors
    /// When this world cannot.
    fn dns(&mut self, name: &str, seen_by: &[NodeId], mode: &DnsMode) -> Result<(), Refusal>;
    /// Lets a stranger connect.
    ///
    /// # Errors
    /// When this world cannot.
    fn stranger(&mut self, stranger: &Stranger) -> Result<(), Refusal>;
    /// Lets a lying member connect, and reconnect after each lost connection while its time lasts.
    ///
    /// # Errors
    /// When this world cannot.
    fn liar(&mut self, lying: &Lying) -> Result<(), Refusal>;

    /// The spec with which the process of a node was last started; before its first start, that of the file.
    fn spec(&self, node: NodeId) -> &NodeSpec;
    /// The state of the process of a node.
    fn process(&self, node: NodeId) -> Process;
    /// The present view of a node; `None` when it has no process. A frozen one shows its last view.
    fn observe(&self, node: NodeId) -> Option<NodeView>;
    /// Every topology event that a node has reported to its subscribers so far.
    fn events(&self, node: NodeId) -> &[Timed<TopologyEvent>];
    /// Every notice that a node has given its operator so far.
    fn notices(&self, node: NodeId) -> &[Timed<Notice>];
    /// The observations of the applications of a node.
    fn app(&self, node: NodeId) -> &AppLog;
}
