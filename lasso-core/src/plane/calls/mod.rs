//! Calls: a question to one node or to many, each with exactly one outcome.
//!
//! [`Calls`] is the machine; this file holds the words that it shares with everybody else.
//!
//! Two nodes without a network: what one puts into its lane, the other one takes.
//!
//! ```
//! use bytes::Bytes;
//! use lasso_core::codec;
//! use lasso_core::config::CallSettings;
//! use lasso_core::name::NodeName;
//! use lasso_core::node::ConnId;
//! use lasso_core::plane::calls::{Answer, Calls, Question};
//! use lasso_core::plane::{Effects, Outlet};
//! use lasso_core::time::Instant;
//!
//! /// The last frame that went out.
//! struct Lane(Vec<u8>);
//!
//! impl Outlet for Lane {
//!     fn calls(&mut self, _: ConnId, head: &[u8], payload: &Bytes, _: &mut Effects) -> bool {
//!         self.0 = [head, &payload[..]].concat();
//!         true
//!     }
//!     fn control(&mut self, _: ConnId, _: &[u8], _: &mut Effects) -> bool {
//!         false
//!     }
//! }
//!
//! let (one, two): (NodeName, NodeName) = ("app@10.0.0.1".parse()?, "app@10.0.0.2".parse()?);
//! let node = |name: &NodeName| Calls::new(&CallSettings::default(), 1 << 20, name.clone());
//! let (mut asks, mut serves) = (node(&one), node(&two));
//! let (now, link) = (Instant::ZERO, ConnId::Out(1));
//! let (mut lane, mut fx) = (Lane(Vec::new()), Effects::default());
//! asks.link_up(link, &two);
//! serves.link_up(link, &one);
//! serves.serve("double")?;
//!
//! let question = Question { method: "double", payload: &Bytes::from_static(b"21"), timeout: None };
//! let call = asks.call(now, &two, &question, &mut lane, &mut fx)?;
//! let (frame, _) = codec::split(&lane.0).expect("one whole frame");
//! let body = Bytes::copy_from_slice(frame.body);
//! serves.on_call(now, link, body, &mut lane, &mut fx).expect("a call");
//!
//! let request = fx.requests.pop().expect("a call that came");
//! assert_eq!((&request.from, &request.payload[..]), (&one, &b"21"[..]));
//! serves.answer(request.id, Answer::Done(Bytes::from_static(b"42")), &mut lane, &mut fx);
//! let (frame, _) = codec::split(&lane.0).expect("one whole frame");
//! asks.on_answer(link, Bytes::copy_from_slice(frame.body), &mut fx).expect("an answer");
//! assert_eq!(asks.poll_call(call, None), Some(Ok(Bytes::from_static(b"42"))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answering;
mod counters;
mod gather;
mod machine;
mod serving;
#[cfg(test)]
mod tests;
mod waiting;
mod wire;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use counters::CallCounters;
pub use machine::Calls;

use super::{Effects, Outlet};
use crate::name::NodeName;
use crate::time::Instant;

/// Longest name of a method, in bytes.
pub const METHOD_BYTES_MAX: usize = 128;
/// Longest message of a [`Reject`], in bytes.
pub const REJECT_BYTES_MAX: usize = 1024;

/// What is asked, of whomever.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The method, 1 to 128 bytes.
    pub method: &'a str,
    /// What it is told; not looked into.
    pub payload: &'a Bytes,
    /// How long the answer may take; `None`: as long as
    /// [`CallSettings::timeout`](crate::config::CallSettings::timeout) says. Cut to
    /// [`CallSettings::timeout_max`](crate::config::CallSettings::timeout_max); with zero nobody is
    /// asked, and the call is over at once.
    pub timeout: Option<Duration>,
}

/// A call of this node that waits for its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId(pub u64);

/// A call of this node to many that waits for its outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GatherId(pub u64);

/// A call that this node works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServeId(pub u64);

/// A call to be handed to its handler. It is to be answered exactly once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to answer under.
    pub id: ServeId,
    /// Who asks.
    pub from: NodeName,
    /// The method.
    pub method: Arc<str>,
    /// The question.
    pub payload: Bytes,
    /// When the caller gives up: an answer after that is of no use.
    pub deadline: Instant,
}

/// A handler's no, with a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// A number that caller and handler agree upon.
    pub code: u32,
    /// For people; cut off after 1,024 bytes.
    pub message: String,
}

impl Reject {
    /// The code of what the node says in its handler's place: the handler panicked, or its answer is
    /// larger than a message may be.
    pub const CODE_NODE: u32 = u32::MAX;

    /// What a node says in the place of a handler that panicked.
    pub fn panicked(method: &str) -> Self {
        Reject::by_node(format!("the handler of `{method}` panicked"))
    }

    /// What a node says in the place of a handler.
    pub fn by_node(message: String) -> Self {
        Reject {
            code: Reject::CODE_NODE,
            message,
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Reject::CODE_NODE => write!(f, "rejected by the node: {}", self.message),
            code => write!(f, "rejected ({code}): {}", self.message),
        }
    }
}

/// What a handler answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The answer.
    Done(Bytes),
    /// No.
    Rejected(Reject),
    /// The question could not be understood, and why; the text is cut off after 1,024 bytes.
    Malformed(String),
}

/// One half of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Half {
    /// What is asked: whoever was asked could not understand it, and no handler has seen it.
    Question,
    /// What comes back: whoever asked could not understand it, and the work is done.
    Answer,
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Half::Question => "question",
            Half::Answer => "answer",
        })
    }
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
pub enum CallError {
    /// No link stands to that node; nothing was sent.
    #[error("{0} is not connected")]
    NotConnected(NodeName),
    /// No answer came in so much time; whether the other side did the work is not known, unless the
    /// time was zero: then nothing was sent.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The node that was asked serves no such method; nothing was done.
    #[error("no such method is served there")]
    NoSuchMethod,
    /// This side's lane, or the other side's handlers, are full, and nothing was done; or the lane
    /// back was full, and the answer was dropped.
    #[error("too many calls at once")]
    Overloaded,
    /// The link was lost while waiting; whether the other side did the work is not known.
    #[error("the link was lost before an answer came")]
    Disconnected,
    /// The handler said no, or panicked.
    #[error("{0}")]
    Rejected(Reject),
    /// The question or the answer could not be understood: the two nodes differ in what they mean
    /// by the method. Where it is the question, no handler has seen it.
    #[error("the {half} could not be understood: {problem}")]
    Malformed {
        /// Which of them.
        half: Half,
        /// Why, in at most 1,024 bytes.
        problem: String,
    },
    /// The question is larger than a message may be, or the method's name is empty or too long. The
    /// caller's fault; nothing was sent.
    #[error("{what} has {bytes} bytes; at most {max} are accepted")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The question cannot be written as bytes. The caller's fault; nothing was sent.
    #[error("the question cannot be encoded: {0}")]
    Unencodable(String),
    /// This node has stopped, or is about to; nothing was sent.
    #[error("this node has stopped")]
    Stopped,
}

impl CallError {
    /// Its name, under which failures are counted: lower case, with underscores.
    pub fn name(&self) -> &'static str {
        match self {
            CallError::NotConnected(_) => "not_connected",
            CallError::Timeout(_) => "timeout",
            CallError::NoSuchMethod => "no_such_method",
            CallError::Overloaded => "overloaded",
            CallError::Disconnected => "disconnected",
            CallError::Rejected(_) => "rejected",
            CallError::Malformed { .. } => "malformed",
            CallError::TooLarge { .. } => "too_large",
            CallError::Unencodable(_) => "unencodable",
            CallError::Stopped => "stopped",
        }
    }
}

/// Why a method is not served. The caller's fault; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// The name is empty or too long.
    #[error("the name of a method has 1 to {METHOD_BYTES_MAX} bytes; this one has {0}")]
    Method(usize),
    /// It has a handler.
    #[error("`{0}` is served already")]
    Taken(Arc<str>),
    /// The node serves as many methods as it may.
    #[error("this node serves {0} methods already, which is the most it may")]
    TooMany(usize),
    /// The node has stopped.
    #[error("this node has stopped")]
    Stopped,
}

/// What a call to many gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered {
    /// One outcome per node asked, in the order asked.
    pub outcomes: Vec<(NodeName, Result<Bytes, CallError>)>,
    /// Nodes that came while the call was under way, and were not asked.
    pub joined: Vec<NodeName>,
    /// Nodes that left while the call was under way.
    pub left: Vec<NodeName>,
    /// The membership epoch when the nodes were asked.
    pub epoch: u64,
}
