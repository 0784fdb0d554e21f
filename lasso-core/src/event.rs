//! What a node tells its application and its operator: topology events, notices, reasons.

mod lesson;

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{Basename, Description, Incarnation, Label, NodeName};
use crate::topology::{Coverage, NodeState};

pub use lesson::Lesson;

/// Gives the variants of an enum their names from one list. A variant that is not in the list does not
/// compile, so that `NAMES` is always complete.
macro_rules! named {
    ($of:ident: the name $name:literal, the names $names:literal; $($variant:pat => $word:literal,)+) => {
        impl $of {
            #[doc = concat!("The names ", $names, ", in the order of the variants.")]
            pub const NAMES: &'static [&'static str] = &[$($word),+];

            #[doc = concat!("The name ", $name, ": lower case, with underscores.")]
            pub fn name(&self) -> &'static str {
                match self {
                    $($variant => $word,)+
                }
            }
        }
    };
}

/// The topic on which a node publishes its topology events to its own subscribers: each event as a MessagePack map, in
/// order. Nothing of it goes to other nodes, each of which has a view of its own.
pub const TOPOLOGY_TOPIC: &str = "cluster:topology";

/// A change of the membership or of what is known of it.
///
/// Each carries the membership epoch, which grows by one per event, and the coverage after the
/// change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyEvent {
    /// The membership epoch after the change.
    pub epoch: u64,
    /// How much of the cluster an answer would speak for after the change.
    pub coverage: Coverage,
    /// What changed.
    pub change: Change,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The node's link stands.
    NodeConnected {
        /// Who.
        name: NodeName,
        /// Which life of that name.
        incarnation: Incarnation,
    },
    /// The node's link is lost, or the node left.
    NodeDisconnected {
        /// Who.
        name: NodeName,
        /// Why.
        reason: DownReason,
    },
    /// The node has described itself, for the first time in this session or anew.
    NodeIdentified {
        /// Who.
        name: NodeName,
        /// What it says of itself.
        description: Description,
    },
    /// The states of these nodes changed through health checks or their application's readiness.
    HealthUpdate {
        /// The nodes that changed, each with its new state.
        changed: Vec<(NodeName, NodeState)>,
    },
}

/// Why a node is disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DownReason {
    /// It said goodbye.
    Left,
    /// No byte came from it for the tick time.
    Down,
    /// The connection was closed or reset.
    Closed,
    /// Another incarnation of the same name took its place.
    Replaced,
}

named! {
    DownReason: the name "as in JSON", the names "of all reasons";
    DownReason::Left => "left",
    DownReason::Down => "down",
    DownReason::Closed => "closed",
    DownReason::Replaced => "replaced",
}

/// Why a connection was closed or refused. Both ends count it under its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The first bytes are not lasso's, or what follows breaks the protocol.
    Garbage,
    /// Another service answers at the dialled address: HTTP, TLS, a database.
    NotLasso,
    /// The peer speaks another major version of the protocol.
    Version,
    /// No protocol version that both speak.
    NoCommonVersion,
    /// The peer does not know the secret.
    WrongCookie,
    /// A sealed record did not open.
    BadRecord,
    /// The handshake's first message was seen before.
    Replayed,
    /// The handshake was not finished in time.
    HandshakeTimeout,
    /// Too many handshakes are open: the oldest gave way, or an authenticated newcomer was refused.
    TooManyHandshakes,
    /// As many nodes are linked as may be, or as many of this address.
    Full,
    /// A length beyond what is allowed.
    TooLarge,
    /// The peer belongs to another cluster.
    OtherCluster {
        /// Which one.
        theirs: Label,
    },
    /// The peer's basename is none that this node links up with.
    OtherBasename {
        /// Which one.
        theirs: Basename,
    },
    /// The peer's name has an address at which nobody can dial it: any, multicast, broadcast, link-local.
    BadAddress,
    /// The dialled address is this node's own.
    Myself,
    /// A node of that name is linked, and answers.
    NameTaken,
    /// An incarnation of that name that is older than what is known.
    StaleIncarnation {
        /// What is known.
        known: Incarnation,
    },
    /// Another connection of the same pair was chosen.
    Duplicate,
    /// A newer connection to the same node took this one's place.
    Superseded,
    /// Another incarnation of the same name took its place.
    Replaced,
    /// No byte came for the tick time.
    Silent,
    /// The control lane is full: the peer does not read.
    ControlLaneFull,
    /// The node is stopping.
    Left,
    /// The node starts over under a higher incarnation.
    Renumbered,
    /// The transport was closed or reset by the other side or the network.
    Transport,
    /// A connect did not succeed in time.
    ConnectTimeout,
    /// The link was closed, or refused, so that every island is fully connected.
    Overlap,
    /// The peer gave a reason that this release does not know.
    Unknown,
}

named! {
    CloseReason: the name "under which a closed connection is counted", the names "of all reasons";
    CloseReason::Garbage => "garbage",
    CloseReason::NotLasso => "not_lasso",
    CloseReason::Version => "version",
    CloseReason::NoCommonVersion => "no_common_version",
    CloseReason::WrongCookie => "wrong_cookie",
    CloseReason::BadRecord => "bad_record",
    CloseReason::Replayed => "replayed",
    CloseReason::HandshakeTimeout => "handshake_timeout",
    CloseReason::TooManyHandshakes => "too_many_handshakes",
    CloseReason::Full => "full",
    CloseReason::TooLarge => "too_large",
    CloseReason::OtherCluster { .. } => "other_cluster",
    CloseReason::OtherBasename { .. } => "other_basename",
    CloseReason::BadAddress => "bad_address",
    CloseReason::Myself => "myself",
    CloseReason::NameTaken => "name_taken",
    CloseReason::StaleIncarnation { .. } => "stale_incarnation",
    CloseReason::Duplicate => "duplicate",
    CloseReason::Superseded => "superseded",
    CloseReason::Replaced => "replaced",
    CloseReason::Silent => "silent",
    CloseReason::ControlLaneFull => "control_lane_full",
    CloseReason::Left => "left",
    CloseReason::Renumbered => "renumbered",
    CloseReason::Transport => "transport",
    CloseReason::ConnectTimeout => "connect_timeout",
    CloseReason::Overlap => "overlap",
    CloseReason::Unknown => "unknown",
}

impl CloseReason {
    /// True for what somebody should look at: a stranger, a wrong setting, a broken peer.
    /// False for what happens in the ordinary life of a cluster.
    pub fn is_refusal(&self) -> bool {
        !matches!(
            self,
            CloseReason::Myself
                | CloseReason::Duplicate
                | CloseReason::Superseded
                | CloseReason::Replaced
                | CloseReason::Silent
                | CloseReason::Left
                | CloseReason::Renumbered
                | CloseReason::Transport
                | CloseReason::ConnectTimeout
                | CloseReason::Overlap
        )
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::OtherCluster { theirs } => write!(f, "other_cluster (`{theirs}`)"),
            CloseReason::OtherBasename { theirs } => write!(f, "other_basename (`{theirs}`)"),
            CloseReason::StaleIncarnation { known } => {
                write!(f, "stale_incarnation ({known} is known)")
            }
            other => f.write_str(other.name()),
        }
    }
}

/// Something for the operator's log, already limited in rate: one line per peer, reason and minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// A connection was refused or broken, by this side or the other.
    Refused {
        /// The other side's address.
        address: IpAddr,
        /// Its name, where it is known.
        name: Option<NodeName>,
        /// Why.
        reason: CloseReason,
        /// True when the other side closed it.
        by_peer: bool,
    },
    /// A peer's basename shares a prefix with this node's: a deploy hash in the basename?
    BasenamePrefix {
        /// The peer.
        name: NodeName,
    },
    /// A query's state changed.
    Discovery {
        /// The name that is asked for.
        query: String,
        /// The family whose state changed; `None`: the query as a whole.
        family: Option<crate::discovery::Family>,
        /// The state after the change.
        state: crate::discovery::QueryState,
        /// Why it failed, where it did.
        cause: Option<String>,
    },
    /// The node goes on under a higher incarnation than its clock gave it.
    Renumbered {
        /// The new incarnation.
        incarnation: Incarnation,
    },
    /// The node was not run for so long that deadlines passed unseen.
    Stalled {
        /// How late it was.
        late: Duration,
    },
    /// The topology differed from the links that stand, and was set right.
    Reconciled {
        /// How many differences there were.
        differences: u64,
    },
    /// A node goes down and up more often than is healthy.
    Flapping {
        /// Which one.
        name: NodeName,
        /// Cycles within the window.
        cycles: u32,
    },
    /// A peer refuses topics that this node subscribes to, as its tables are full: what it publishes on them
    /// does not come. It is asked again every 5 s until it has room.
    InterestRefused {
        /// The peer.
        name: NodeName,
    },
}

named! {
    Notice: the name "of its kind, as in JSON", the names "of all kinds";
    Notice::Refused { .. } => "refused",
    Notice::BasenamePrefix { .. } => "basename_prefix",
    Notice::Discovery { .. } => "discovery",
    Notice::Renumbered { .. } => "renumbered",
    Notice::Stalled { .. } => "stalled",
    Notice::Reconciled { .. } => "reconciled",
    Notice::Flapping { .. } => "flapping",
    Notice::InterestRefused { .. } => "interest_refused",
}
