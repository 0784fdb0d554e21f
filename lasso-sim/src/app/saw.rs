//! The observations of an application.

use core::time::Duration;
use std::sync::Arc;

use lasso_core::name::{Incarnation, NodeName};
use lasso_core::plane::pubsub::Row;
use lasso_core::plane::{Audience, CallError, Message, PublishError, Reach};

use super::MetricSaw;
use super::events::EventSaw;

/// An observation or action of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saw {
    /// A subscription begins.
    Subscribed {
        /// Names it within this life.
        sub: u32,
        /// Its name in checks.
        name: String,
        /// Its topic.
        topic: Arc<str>,
        /// Bound of its queue; `None`: the node's setting.
        queue: Option<usize>,
        /// Whether it reads each delivery at once.
        at_once: bool,
    },
    /// The subscription was refused.
    NotSubscribed {
        /// Which one.
        sub: u32,
        /// Why.
        error: String,
    },
    /// A subscription ends.
    Unsubscribed {
        /// Which one.
        sub: u32,
    },
    /// A subscriber has got a message.
    Got {
        /// Which one.
        sub: u32,
        /// The message.
        got: Got,
    },
    /// A subscriber was told that it missed messages.
    Missed {
        /// Which one.
        sub: u32,
        /// The number.
        count: u64,
    },
    /// A message was published, or refused.
    Published {
        /// Its topic.
        topic: Arc<str>,
        /// Its tag.
        tag: u64,
        /// The audience.
        audience: Audience,
        /// The nodes and subscribers that it reached, or why it was refused.
        result: Result<Reach, PublishError>,
    },
    /// A call begins.
    Called {
        /// Names it within this life.
        tag: u64,
        /// The callee.
        to: NodeName,
        /// The method.
        method: Arc<str>,
        /// Its deadline.
        timeout: Option<Duration>,
    },
    /// A call has its outcome.
    Answered {
        /// Which one.
        tag: u64,
        /// The outcome.
        outcome: Outcome,
    },
    /// Something about live events.
    Events(EventSaw),
    /// Metrics were read.
    Metrics(MetricSaw),
    /// A call to many begins.
    CalledMany {
        /// Names it within this life.
        tag: u64,
        /// The callees, in order.
        to: Vec<NodeName>,
        /// The method.
        method: Arc<str>,
        /// Its deadline.
        timeout: Option<Duration>,
    },
    /// A call to many has all its outcomes.
    Gathered {
        /// Which one.
        tag: u64,
        /// The outcome of each callee, in order.
        outcomes: Vec<(NodeName, Outcome)>,
        /// The nodes that joined meanwhile.
        joined: Vec<NodeName>,
        /// The nodes that left meanwhile.
        left: Vec<NodeName>,
    },
}

/// The parts of a message that checks read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    /// The node that published it.
    pub from: NodeName,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The topic in the message.
    pub topic: Arc<str>,
    /// Its sequence.
    pub row: Row,
    /// Its number within that sequence.
    pub number: u64,
    /// The publisher's tag; `None`: the message differs from the published one.
    pub tag: Option<u64>,
}

impl Got {
    pub(super) fn new(message: &Message) -> Self {
        Got {
            from: message.source.node.clone(),
            incarnation: message.source.incarnation,
            topic: Arc::clone(&message.source.topic),
            row: message.row,
            number: message.number,
            tag: super::payload::read(&message.payload),
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// With the answer to its question.
    Ok,
    /// With an answer to another question, or a corrupted one. Never, unless lasso has a bug.
    WrongAnswer,
    /// There was no link.
    NotConnected,
    /// No answer in time.
    Timeout,
    /// The callee does not serve the method.
    NoSuchMethod,
    /// The callee had too many requests at once.
    Overloaded,
    /// The link was lost.
    Disconnected,
    /// The handler rejected the question, or panicked.
    Rejected,
    /// The question or the answer could not be read.
    Malformed,
    /// The question was too large.
    TooLarge,
}

impl Outcome {
    /// All outcomes that a file may expect, by name.
    pub const NAMED: [(&str, Outcome); 9] = [
        ("ok", Outcome::Ok),
        ("timeout", Outcome::Timeout),
        ("not_connected", Outcome::NotConnected),
        ("disconnected", Outcome::Disconnected),
        ("overloaded", Outcome::Overloaded),
        ("rejected", Outcome::Rejected),
        ("no_such_method", Outcome::NoSuchMethod),
        ("malformed", Outcome::Malformed),
        ("too_large", Outcome::TooLarge),
    ];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        let named = Self::NAMED.iter().find(|(_, outcome)| *outcome == self);
        named.map_or("wrong_answer", |(name, _)| name)
    }

    /// The outcome of a call with that tag.
    pub(super) fn of(tag: u64, outcome: &Result<bytes::Bytes, CallError>) -> Self {
        match outcome {
            Ok(answer) if super::payload::read(answer) == Some(tag) => Outcome::Ok,
            Ok(_) => Outcome::WrongAnswer,
            Err(CallError::NotConnected(_) | CallError::Stopped) => Outcome::NotConnected,
            Err(CallError::Timeout(_)) => Outcome::Timeout,
            Err(CallError::NoSuchMethod) => Outcome::NoSuchMethod,
            Err(CallError::Overloaded) => Outcome::Overloaded,
            Err(CallError::Disconnected) => Outcome::Disconnected,
            Err(CallError::Rejected(_)) => Outcome::Rejected,
            Err(CallError::Malformed { .. }) => Outcome::Malformed,
            Err(CallError::Unencodable(_)) => Outcome::Malformed,
            Err(CallError::TooLarge { .. }) => Outcome::TooLarge,
        }
    }
}
