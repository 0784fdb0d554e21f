//! The frames that two nodes exchange once a connection is sealed.
//!
//! What a frame means is here; how it becomes bytes is in [`crate::codec`]. Wire types are not
//! recursive, and unknown fields and kinds are skipped, so that neighbouring releases live together.

use core::time::Duration;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::event::CloseReason;
use crate::name::{Description, Identity, NodeName};
use crate::plane::pubsub::Row;

/// Lowest protocol version that this release speaks.
pub const VERSION_MIN: u16 = 1;
/// Highest protocol version that this release speaks.
pub const VERSION_MAX: u16 = 1;

/// Most optional parts that a [`Hello`] may name.
pub const FEATURES_MAX: usize = 64;
/// Most hashes in a [`TopologyFrame::Check`]; lasso sends two.
pub const KNOWN_MAX: usize = 16;
/// Most names in a view: four times the largest cluster that is tested.
pub const VIEW_MAX: usize = 4_096;
/// Most topics in each list of a [`PubSubFrame`]: as many as a node takes notice of.
pub const TOPICS_MAX: usize = 10_000;
/// Most ranges in a [`PubSubFrame::Missed`].
pub const RANGES_MAX: usize = 4_096;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// The first frame of each side.
    Hello(Hello),
    /// From the node with the larger name: this connection may be the link, for my part.
    Offer,
    /// From the node with the smaller name, which decides: this connection is the link, from now on.
    Adopt,
    /// The last frame: why this side closes.
    Close(CloseReason),
    /// Nothing to say, still here.
    Heartbeat,
    /// Answer with [`Frame::Pong`] at once.
    Ping(u64),
    /// The answer to [`Frame::Ping`], with its number.
    Pong(u64),
    /// How many bytes of data texts the sender has taken since the link stands.
    Taken(u64),
    /// What concerns the topology.
    Topology(TopologyFrame),
    /// What concerns topics; the messages themselves are laid out by hand.
    PubSub(PubSubFrame),
}

/// Who I am and what I speak: the first frame of each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The sender.
    pub identity: Identity,
    /// Lowest protocol version it speaks.
    pub version_min: u16,
    /// Highest protocol version it speaks.
    pub version_max: u16,
    /// Optional parts of the protocol that it speaks, by name.
    #[serde(default, deserialize_with = "bounded::set::<_, _, FEATURES_MAX>")]
    pub features: BTreeSet<String>,
    /// Its tick time, in milliseconds.
    pub tick_ms: u64,
    /// True when this connection tests a link that has been silent, to take its place.
    #[serde(default)]
    pub probe: bool,
}

impl Hello {
    /// The tick time.
    pub fn tick_time(&self) -> Duration {
        Duration::from_millis(self.tick_ms)
    }
}

/// Frames between the topologies of two linked nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopologyFrame {
    /// Describe yourself.
    Describe {
        /// Comes back in the answer.
        id: u64,
    },
    /// What the sender says of itself: an answer, or, with id 0, news.
    Description {
        /// The request's number; 0 when nobody asked.
        id: u64,
        /// What the sender says of itself.
        description: Description,
        /// Whether its application is ready.
        ready: bool,
    },
    /// The sender's application is ready, or no longer.
    Ready(bool),
    /// Are you well?
    Check {
        /// Comes back in the answer.
        id: u64,
        /// Hashes of views that the asker knows; `None`: send no view.
        known: Option<Vec<u64>>,
    },
    /// The answer to a check.
    Health {
        /// The check's number.
        id: u64,
        /// Whether the sender's application is ready.
        ready: bool,
        /// Hash of the sender's view.
        view_hash: u64,
        /// The view itself, where the asker wants views and does not know it: every node the sender
        /// is linked to, and the sender.
        view: Option<Vec<NodeName>>,
    },
}

/// Control frames about topics. A session begins without any of it: each declares everything again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PubSubFrame {
    /// What the sender has subscribers for.
    Interest {
        /// Topics that it is to get messages of from now on. Each that it does not get already is answered with a
        /// [`StreamStart`], or with [`PubSubFrame::InterestRefused`].
        add: Vec<String>,
        /// Topics that it no longer wants; taken before `add`.
        remove: Vec<String>,
    },
    /// The numbers under which messages of topics come from now on.
    Streams(Vec<StreamStart>),
    /// Some topics that the receiver has asked for were refused: all those that it has not got an answer for. It
    /// may ask again.
    InterestRefused,
    /// What the sender dropped, since the receiver's data lane was full.
    Missed(Vec<MissedRange>),
}

/// From now on the messages of a topic come, under this stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStart {
    /// The topic.
    pub topic: String,
    /// What its messages bear in place of the topic, for as long as the sender lives.
    pub stream: u32,
    /// The newest number of the row of all that was given away before.
    pub last_all: u64,
    /// Likewise for the receiver's own row.
    pub last_directed: u64,
}

/// Messages of one stream and row that were dropped, the first and the last of them included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedRange {
    /// The stream.
    pub stream: u32,
    /// The row.
    pub row: Row,
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}
