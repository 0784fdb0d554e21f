//! Topics: who wants what, and how it gets there at most once and in order.
//!
//! A subscriber that does not read loses the oldest, and is told how many:
//!
//! ```
//! use std::collections::VecDeque;
//!
//! use bytes::Bytes;
//! use lasso_core::config::NodeConfig;
//! use lasso_core::name::{Description, Identity, Incarnation, Label, NodeName};
//! use lasso_core::plane::{Audience, Effects, Plane, Row, Update};
//! use lasso_core::secure::Security;
//! use lasso_core::time::Instant;
//!
//! let name: NodeName = "app@10.0.0.1".parse()?;
//! let me = Identity {
//!     cluster: Label::new("cluster name", "docs")?,
//!     name: name.clone(),
//!     incarnation: Incarnation(1),
//! };
//! let config = NodeConfig::new(name.clone(), Security::InsecureNull);
//! let mut plane = Plane::new(&config, &me, &Description::of(&name));
//! let (now, mut fx) = (Instant::ZERO, Effects::default());
//!
//! let slow = plane.subscribe("prices", Some(1), &mut fx)?;
//! for price in ["9.5", "9.6", "9.7"] {
//!     plane.publish(|| now, 0, "prices", &Bytes::from(price), &Audience::All, &mut fx)?;
//! }
//! let mut updates = VecDeque::new();
//! plane.read(slow, None, &mut updates);
//! assert_eq!(updates.pop_front(), Some(Update::Missed(2)));
//! let Some(Update::Message(last)) = updates.pop_front() else {
//!     panic!("one was kept")
//! };
//! assert_eq!((last.row, last.number, &last.payload[..]), (Row::All, 3, &b"9.7"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod hub;
mod interest;
mod message;
mod news;
mod peer;
mod publish;
mod queue;
mod refused;
mod sessions;
mod slab;
mod streams;
#[cfg(test)]
mod tests;
mod topics;
mod wire;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use hub::Hub;
pub use message::{Content, Message};
pub use queue::QueueAudit;
#[cfg(test)]
pub(crate) use wire::tests::message_vector;

use crate::name::{Incarnation, Label, NodeName};

/// Longest topic, in bytes.
pub const TOPIC_BYTES_MAX: usize = 256;

/// One local subscription, for as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubscriberId(pub u64);

/// Who is to get a message: of these, the nodes that have a subscriber for its topic.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Audience {
    /// Every node, this one included.
    #[default]
    All,
    /// This node alone.
    Local,
    /// One node, which may be this one.
    Node(NodeName),
    /// Every node that has this role, this one included where it has it.
    Role(Label),
}

/// Which of the rows of numbers of a topic a message is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Row {
    /// Sent to every node; one row per source and topic, the same for all receivers.
    All = 0,
    /// Sent to some nodes only; one row per source, topic and receiver. What a node
    /// publishes to itself alone is in its own.
    Directed = 1,
}

/// Where messages of one topic come from: one life of one node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// The topic.
    pub topic: Arc<str>,
    /// The node that published.
    pub node: NodeName,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Its region, as far as it is known when the message comes.
    pub region: Label,
}

/// What a subscriber reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// A message.
    Message(Message),
    /// So many messages of the topic that should have come did not, or were dropped here since the
    /// subscriber did not read.
    Missed(u64),
}

/// What became of one publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reach {
    /// Local subscribers that got it.
    pub subscribers: usize,
    /// Remote nodes that it is on its way to.
    pub nodes: usize,
    /// Remote nodes with a subscriber that it was dropped for, since their lane was full.
    pub shed: usize,
    /// How full the fullest of the lanes it went to is, in bytes: whoever publishes faster than the
    /// network takes can slow down before anything is dropped.
    pub fullest_lane_bytes: usize,
}

impl Reach {
    /// Adds what another message has reached: as many more, and the fuller of the two lanes.
    ///
    /// ```
    /// use lasso_core::plane::Reach;
    ///
    /// let mut both = Reach { nodes: 2, fullest_lane_bytes: 900, ..Reach::default() };
    /// both.add(&Reach { nodes: 1, shed: 1, fullest_lane_bytes: 100, ..Reach::default() });
    /// assert_eq!((both.nodes, both.shed, both.fullest_lane_bytes), (3, 1, 900));
    /// ```
    pub fn add(&mut self, other: &Reach) {
        self.subscribers += other.subscribers;
        self.nodes += other.nodes;
        self.shed += other.shed;
        self.fullest_lane_bytes = self.fullest_lane_bytes.max(other.fullest_lane_bytes);
    }
}

/// Why nothing was published. The caller's fault, but for `NotConnected` and `Stopped`; no number was
/// used up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The topic is empty or too long.
    #[error("a topic has 1 to {TOPIC_BYTES_MAX} bytes; this one has {0}")]
    Topic(usize),
    /// The message is larger than a message may be.
    #[error("a message of {bytes} bytes is larger than the largest that may be sent, {max} bytes")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// Sent to one node, to which no link stands.
    #[error("{0} is not connected")]
    NotConnected(NodeName),
    /// The value cannot be written as bytes.
    #[error("the message cannot be encoded: {0}")]
    Unencodable(String),
    /// This node has stopped, or is about to.
    #[error("this node has stopped")]
    Stopped,
}

/// Why there is no subscription. The caller's fault, but for `Stopped`; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The topic is empty or too long.
    #[error("a topic has 1 to {TOPIC_BYTES_MAX} bytes; this one has {0}")]
    Topic(usize),
    /// The node is interested in as many topics as it may be.
    #[error("this node is subscribed to {0} topics already, which is the most it may be")]
    TooMany(usize),
    /// The node has as many subscriptions as it may have, whatever their topics.
    #[error("this node has {0} subscriptions already, which is the most it may have")]
    TooManySubscribers(usize),
    /// This node has stopped, or is about to.
    #[error("this node has stopped")]
    Stopped,
}

/// How much the tables of topics hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HubSizes {
    /// Subscriptions here.
    pub subscribers: usize,
    /// Topics with a subscription here.
    pub subscribed: usize,
    /// Topics whose numbers are remembered.
    pub topics: usize,
    /// Topics that one peer is or was interested in, of the peer that has most.
    pub of_one_peer: usize,
    /// Linked peers that refuse topics of this node.
    pub refusing: usize,
}

/// What happened so far, as numbers that only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PubSubCounters {
    /// Messages that were published here.
    pub published: u64,
    /// Messages put into peers' lanes: one per publish and interested peer.
    pub sent: u64,
    /// Messages that were dropped for a peer, as its lane was full.
    pub shed: u64,
    /// Messages that came from peers and were wanted.
    pub received: u64,
    /// Messages put into subscribers' queues: one per message and subscriber.
    pub delivered: u64,
    /// Messages that gave way in a subscriber's queue, as it did not read.
    pub overflowed: u64,
    /// Messages that waited for a subscriber when its subscription ended.
    pub abandoned: u64,
    /// Messages that should have come from peers and did not, counted once per topic.
    pub missed: u64,
    /// Messages and announcements of peers for which nobody here is subscribed.
    pub unwanted: u64,
    /// Messages of peers that were older than one that was handed out.
    pub stale: u64,
    /// Topics that peers asked for and did not get: beyond what a topic or their interest may be, or beyond
    /// their share of the topics. A peer that asks again is counted again.
    pub interest_refused: u64,
    /// Times that a peer said that it refused topics of this node.
    pub interest_denied: u64,
    /// Messages of peers that were given up before they were all there, see
    /// [`Unfinished`](crate::link::Unfinished).
    pub unfinished: u64,
    /// Topics that were forgotten to make room for others.
    pub topics_forgotten: u64,
    /// Those of them that a node had asked for which is away: if it asks again, it is not told what it
    /// missed of them.
    pub losses_untold: u64,
}
