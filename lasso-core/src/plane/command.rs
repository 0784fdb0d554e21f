//! What an application wants of the data plane, and what it gets, written down: for a node that is
//! driven by inputs and outputs alone.

use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    Answer, Audience, CallError, Gathered, PublishError, Reach, Request, ServeId, SubscribeError,
    SubscriberId, Update,
};
use crate::name::NodeName;

/// What an application wants. A `tag` is its own, and comes back with what it gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlaneCommand {
    /// Answered by [`PlaneOutput::Subscribed`].
    Subscribe {
        /// Comes back.
        tag: u64,
        /// The topic.
        topic: String,
        /// Updates that may wait to be read, where it is not to be the node's setting.
        queue_max: Option<usize>,
    },
    /// Ends a subscription.
    Unsubscribe {
        /// Which one.
        id: SubscriberId,
    },
    /// Answered by [`PlaneOutput::Read`].
    Read {
        /// Whose updates.
        id: SubscriberId,
    },
    /// Answered by [`PlaneOutput::Published`].
    Publish {
        /// Comes back.
        tag: u64,
        /// The topic.
        topic: String,
        /// The message.
        payload: Bytes,
        /// To whom.
        audience: Audience,
        /// The wall clock.
        unix_ms: u64,
    },
    /// Serves a method; its calls come as [`PlaneOutput::Request`].
    Serve {
        /// Which one.
        method: String,
    },
    /// Serves a method no longer.
    Unserve {
        /// Which one.
        method: String,
    },
    /// Answers a request.
    Answer {
        /// Which one.
        id: ServeId,
        /// With what.
        answer: Answer,
    },
    /// Gives a request up, since its deadline has passed: nobody is answered.
    GiveUp {
        /// Which one.
        id: ServeId,
    },
    /// Answered by [`PlaneOutput::Answered`].
    Call {
        /// Comes back.
        tag: u64,
        /// Whom.
        to: NodeName,
        /// The method.
        method: String,
        /// The question.
        payload: Bytes,
        /// How long it may take, where it is not to be the node's setting.
        timeout: Option<Duration>,
    },
    /// Answered by [`PlaneOutput::Gathered`].
    CallMany {
        /// Comes back.
        tag: u64,
        /// Whom, in the order of the outcomes.
        to: Vec<NodeName>,
        /// The method.
        method: String,
        /// The question.
        payload: Bytes,
        /// How long it may take, where it is not to be the node's setting.
        timeout: Option<Duration>,
    },
}

/// What an application gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaneOutput {
    /// A subscription, or why there is none.
    Subscribed {
        /// The command's.
        tag: u64,
        /// The subscription.
        result: Result<SubscriberId, SubscribeError>,
    },
    /// A subscriber that had nothing to read has something.
    Readable {
        /// Which one.
        id: SubscriberId,
    },
    /// All that waited for a subscriber.
    Read {
        /// Which one.
        id: SubscriberId,
        /// Oldest first.
        updates: Vec<Update>,
    },
    /// What became of a publish.
    Published {
        /// The command's.
        tag: u64,
        /// Whom it reached.
        result: Result<Reach, PublishError>,
    },
    /// A call for one of the methods that are served here; to be answered once.
    Request(Request),
    /// Nobody waits any more for the answer to this request, as its asker's link is lost.
    Abandoned {
        /// Which one.
        id: ServeId,
    },
    /// The outcome of a call.
    Answered {
        /// The command's.
        tag: u64,
        /// It.
        outcome: Result<Bytes, CallError>,
    },
    /// The outcomes of a call to many, or why nobody was asked.
    Gathered {
        /// The command's.
        tag: u64,
        /// They.
        gathered: Result<Gathered, CallError>,
    },
}
