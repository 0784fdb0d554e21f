//! What a scenario needs from the place where it runs: the direct world (an event loop over the
//! machines) and the turmoil world (lasso-net's driver over a simulated network). Verbs drive this trait, the runner lets time pass, and checks read what it shows.
//!
//! Architecture invariant: a world never ignores an order. What it cannot do it says beforehand in
//! [`World::can`], and the file is refused.

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

/// Where a scenario runs.
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

/// What a verb may need and a world may lack.
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
    /// Cut paths so that what stood never carries a byte again.
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

/// A world refuses an order. The file's fault, or the world's limit; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This world cannot do it.
    #[error("the {world} world cannot do this: {what}")]
    Unsupported {
        /// Which world.
        world: WorldKind,
        /// What was asked.
        what: &'static str,
    },
    /// The order makes no sense now: starting what runs, resuming what is not paused.
    #[error("{0}")]
    Senseless(String),
}

/// One direction between two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// Whose bytes.
    pub from: NodeId,
    /// Who would receive them.
    pub to: NodeId,
}

/// How a cut path behaves.
///
/// As with real TCP, a connection needs both directions: with one of them cut the other soon
/// carries nothing new, since acknowledgements are lost, and no connect succeeds either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cut {
    /// Packets are lost: streams stall and go on some time after the heal, when TCP tries again;
    /// connects hang.
    Stall,
    /// Streams that stand are reset at both ends at once; connects are refused.
    Reset,
    /// Packets are lost and the path forgets its connections: those that stood never carry a byte
    /// again, even after the heal; connects hang until then.
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
    /// The first so many of the true addresses, marked as truncated.
    Truncated(usize),
    /// What was true when the order came.
    Stale,
    /// These addresses, whatever is true.
    Answers(Vec<IpAddr>),
}

/// What a stranger sends after connecting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// These bytes; none: silence.
    Bytes(Bytes),
    /// The first bytes, up to its first handshake message's end, of the last connection that some
    /// node dialled to the same target.
    Replay,
}

/// Somebody who is no node connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Whose listener.
    pub to: NodeId,
    /// Where the connections come from.
    pub from: IpAddr,
    /// How many connections, at once.
    pub connections: u32,
    /// What each sends.
    pub opening: Opening,
    /// Closes by itself after this; `None`: stays until it is closed.
    pub leaves_after: Option<Duration>,
}

/// Marks the orders of one step, so that a run can say which fault never took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(pub u32);

/// What a node's process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Process {
    /// Not started, stopped, or crashed.
    Gone,
    /// Running.
    Running,
    /// Frozen.
    Paused,
}

/// Something with the time at which it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed<T> {
    /// When, on the world's clock.
    pub at: Instant,
    /// What.
    pub what: T,
}

/// A remote node as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Its name.
    pub name: NodeName,
    /// The life of that name that is known.
    pub incarnation: Incarnation,
    /// Its state.
    pub state: NodeState,
    /// Why it is disconnected, where it is.
    pub reason: Option<DownReason>,
    /// What it says of itself, once it has.
    pub description: Option<Description>,
}

/// The islands of the cluster and the pairs that cannot reach each other, as one node derives them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionView {
    /// Groups of nodes without a link to any other group; empty while there is only one.
    pub islands: Vec<Vec<NodeName>>,
    /// Pairs without a link though a third has one to both; the smaller name first.
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
    /// The links that stand.
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

/// The place where a scenario runs.
///
/// Orders take effect at [`World::now`]. Events and notices are kept for the whole run, over all
/// lives of a node's process.
pub trait World {
    /// Which one this is.
    fn kind(&self) -> WorldKind;
    /// Whether it can do that.
    fn can(&self, ability: Ability) -> bool;

    /// Time since the scenario began.
    fn now(&self) -> Instant;
    /// Lets time pass until something that a check could see may have changed at some node, or
    /// until `until`, whichever is first; returns the new [`World::now`]. Returning early is
    /// allowed, passing by a change is not.
    fn advance(&mut self, until: Instant) -> Instant;

    /// A liar has claimed this name, and no node of the file has it.
    fn is_liar(&self, name: &NodeName) -> bool;

    /// The orders that follow belong to this fault.
    fn attribute(&mut self, fault: FaultId);
    /// How often what was ordered under this fault has touched something: a byte held back, a
    /// connect hindered, an answer changed, a process ended, a connection of a stranger taken.
    fn effects(&self, fault: FaultId) -> u64;

    /// Starts the process of a node, as `spec` has it: the node's own, or a variant of it.
    ///
    /// # Errors
    /// When it runs already.
    fn start(&mut self, node: NodeId, spec: &NodeSpec) -> Result<(), Refusal>;
    /// Tells a node to say goodbye and stop. A frozen one does so when it is thawed.
    ///
    /// # Errors
    /// When it does not run.
    fn stop(&mut self, node: NodeId) -> Result<(), Refusal>;
    /// Ends the process at once. Its kernel lives, so that peers see their connections close.
    ///
    /// # Errors
    /// When it does not run.
    fn crash(&mut self, node: NodeId) -> Result<(), Refusal>;
    /// Ends process and machine at once: nobody closes its connections, connects to it hang.
    ///
    /// # Errors
    /// When it does not run.
    fn vanish(&mut self, node: NodeId) -> Result<(), Refusal>;
    /// Freezes the process. Its kernel goes on accepting connections and taking bytes.
    ///
    /// # Errors
    /// When it does not run.
    fn pause(&mut self, node: NodeId) -> Result<(), Refusal>;
    /// Thaws the process.
    ///
    /// # Errors
    /// When it is not paused.
    fn resume(&mut self, node: NodeId) -> Result<(), Refusal>;
    /// The node's application says that it is ready, or no longer.
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
    /// When it does not run, or has no such subscription to end.
    fn order(&mut self, node: NodeId, order: &Order) -> Result<(), Refusal>;
    /// Moves the wall clock of a node, running or not, by so many milliseconds.
    ///
    /// # Errors
    /// When this world cannot.
    fn jump_clock(&mut self, node: NodeId, millis: i64) -> Result<(), Refusal>;

    /// Cuts paths, all at the same moment. A path cut twice behaves as the last order says.
    ///
    /// # Errors
    /// When this world cannot.
    fn cut(&mut self, paths: &[Path], how: Cut) -> Result<(), Refusal>;
    /// Holds back what is sent on these paths, connects included, without losing any of it.
    ///
    /// # Errors
    /// When this world cannot.
    fn hold(&mut self, paths: &[Path]) -> Result<(), Refusal>;
    /// Lets what was held go on its way, all at once and in order.
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
    /// How DNS answers a name from now on, to these nodes; other nodes see no change.
    ///
    /// # Errors
    /// When this world cannot.
    fn dns(&mut self, name: &str, seen_by: &[NodeId], mode: &DnsMode) -> Result<(), Refusal>;
    /// Lets a stranger connect.
    ///
    /// # Errors
    /// When this world cannot.
    fn stranger(&mut self, stranger: &Stranger) -> Result<(), Refusal>;
    /// Lets a lying member connect, and connect again after each lost connection, while its time
    /// lasts.
    ///
    /// # Errors
    /// When this world cannot.
    fn liar(&mut self, lying: &Lying) -> Result<(), Refusal>;

    /// How the process of a node was last started; before that, how the file has it.
    fn spec(&self, node: NodeId) -> &NodeSpec;
    /// What the process of a node is doing.
    fn process(&self, node: NodeId) -> Process;
    /// What a node knows now; `None` when no process is there. A frozen one shows what it knew.
    fn observe(&self, node: NodeId) -> Option<NodeView>;
    /// Every topology event that a node has told its subscribers so far.
    fn events(&self, node: NodeId) -> &[Timed<TopologyEvent>];
    /// Every notice that a node has given its operator so far.
    fn notices(&self, node: NodeId) -> &[Timed<Notice>];
    /// What the applications of a node have seen.
    fn app(&self, node: NodeId) -> &AppLog;
}
