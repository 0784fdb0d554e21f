//! The messages between an application, its steps and its cluster.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use lasso_core::name::NodeName;
use lasso_core::plane::{Audience, CallError, Gathered, PublishError, Reach, Reject, Update};
use lasso_core::time::Instant;

use super::events::{Emit, EventAsk, EventTold, View};
use super::load::{Load, Rate};
use super::metrics::{MetricAsk, MetricTold, ReadPage, Record};
use super::saw::Saw;

/// An order of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Subscribes.
    Subscribe(Subscribe),
    /// Ends the subscriptions to a topic, or those of one name.
    Unsubscribe {
        /// The topic.
        topic: Arc<str>,
        /// Their name; `None`: all of the topic.
        name: Option<String>,
    },
    /// Publishes.
    Publish(Publish),
    /// Serves a method from now on; replaces the way in which it was served before.
    Serve(Serve),
    /// Calls one node.
    Call(Call),
    /// Calls many nodes at once.
    CallMany(CallMany),
    /// Opens viewers of live events.
    View(View),
    /// Closes the viewers of one name.
    LookAway {
        /// Their name.
        name: String,
    },
    /// Publishes live events.
    Emit(Emit),
    /// Records calls for the cluster's metrics.
    Record(Record),
    /// Reads the cluster's metrics.
    ReadPage(ReadPage),
}

/// Subscribers of one topic, all alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Their name in checks.
    pub name: String,
    /// The topic.
    pub topic: Arc<str>,
    /// Bound of each one's queue; `None`: the default.
    pub queue: Option<usize>,
    /// The number.
    pub count: u32,
    /// How they read.
    pub reads: Reads,
}

/// How a subscriber reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Each message, at once.
    AtOnce,
    /// Nothing, ever.
    Never,
    /// A number of updates per unit of time.
    Paced(Rate),
}

/// Messages to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Their topic.
    pub topic: Arc<str>,
    /// The amount and the pace.
    pub load: Load,
    /// The size of each, in bytes.
    pub size: usize,
    /// The audience.
    pub audience: Audience,
}

/// How a method is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    /// The method.
    pub method: Arc<str>,
    /// How long an answer takes: drawn evenly between the two.
    pub takes: (Duration, Duration),
    /// How many of a million questions make the handler panic.
    pub panics_ppm: u32,
    /// How many of a million questions the handler rejects.
    pub rejects_ppm: u32,
    /// The size of each answer, in bytes.
    pub size: usize,
}

/// Calls of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which one.
    pub to: NodeName,
    /// The method.
    pub method: Arc<str>,
    /// The amount and the pace.
    pub load: Load,
    /// The deadline; `None`: the default.
    pub timeout: Option<Duration>,
    /// The size of each question, in bytes.
    pub size: usize,
}

/// Calls of many nodes at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallMany {
    /// The nodes; `None`: all nodes linked when the call begins, and the node itself.
    pub to: Option<Vec<NodeName>>,
    /// The method.
    pub method: Arc<str>,
    /// The amount and the pace.
    pub load: Load,
    /// The deadline; `None`: the default.
    pub timeout: Option<Duration>,
    /// The size of each question, in bytes.
    pub size: usize,
}

/// A request of the application to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Subscribe; answered by [`Told::Subscribed`].
    Subscribe {
        /// Names the subscriber within this life.
        sub: u32,
        /// The topic.
        topic: Arc<str>,
        /// Bound of its queue.
        queue: Option<usize>,
    },
    /// End a subscription.
    Unsubscribe {
        /// Which one.
        sub: u32,
    },
    /// Read at least one update, waiting if necessary; answered by [`Told::Updates`].
    Read {
        /// Which subscriber.
        sub: u32,
    },
    /// Publish; answered by [`Told::Published`] before any other request.
    Publish {
        /// Comes back in the answer.
        tag: u64,
        /// The topic.
        topic: Arc<str>,
        /// The message.
        payload: Bytes,
        /// The audience.
        audience: Audience,
    },
    /// Serve a method: its requests arrive as [`Told::Request`].
    Serve {
        /// The method.
        method: Arc<str>,
    },
    /// Call; answered by [`Told::Answered`].
    Call {
        /// Comes back in the answer.
        tag: u64,
        /// The callee.
        to: NodeName,
        /// The method.
        method: Arc<str>,
        /// The question.
        payload: Bytes,
        /// The deadline.
        timeout: Option<Duration>,
    },
    /// Call many; answered by [`Told::Targets`] at once and [`Told::Gathered`] later.
    CallMany {
        /// Comes back in the answers.
        tag: u64,
        /// The callees; `None`: all nodes linked now, and the node itself.
        to: Option<Vec<NodeName>>,
        /// The method.
        method: Arc<str>,
        /// The question.
        payload: Bytes,
        /// The deadline.
        timeout: Option<Duration>,
    },
    /// Something about live events.
    Events(EventAsk),
    /// Something about metrics.
    Metrics(MetricAsk),
    /// Answer a request.
    Reply {
        /// Its number.
        id: u64,
        /// The answer.
        reply: Reply,
    },
}

/// How a handler ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// With an answer.
    Done(Bytes),
    /// With a rejection.
    Rejected(Reject),
    /// It panics; the method is given for worlds that do not know it otherwise.
    Panics(Arc<str>),
    /// It was still working when the deadline of its call passed, and was dropped.
    Late,
}

/// A reply or message of the cluster to the application.
#[derive(Debug, Clone)]
pub enum Told {
    /// A moment that [`App::poll_timeout`](super::App::poll_timeout) returned has arrived.
    Tick,
    /// A step's order.
    Order(Order),
    /// A subscription began, or was refused.
    Subscribed {
        /// Which subscriber.
        sub: u32,
        /// Why not.
        error: Option<String>,
    },
    /// A subscriber has read updates.
    Updates {
        /// Which one.
        sub: u32,
        /// At least one.
        updates: Vec<Update>,
    },
    /// The result of a publish.
    Published {
        /// Its tag.
        tag: u64,
        /// The nodes and subscribers that it reached, or why it was refused.
        result: Result<Reach, PublishError>,
    },
    /// A peer calls a method.
    Request {
        /// The number of the request, for the reply.
        id: u64,
        /// The method.
        method: Arc<str>,
        /// The question.
        payload: Bytes,
        /// When its handler is to be dropped.
        deadline: Instant,
    },
    /// A call has its outcome.
    Answered {
        /// Its tag.
        tag: u64,
        /// The answer, or why there is none.
        outcome: Result<Bytes, CallError>,
    },
    /// The nodes that a call to many asks.
    Targets {
        /// Its tag.
        tag: u64,
        /// The nodes, in the order asked.
        nodes: Vec<NodeName>,
    },
    /// Something about live events.
    Events(EventTold),
    /// A read of metrics has its answer.
    Metrics(MetricTold),
    /// A call to many has all its outcomes.
    Gathered {
        /// Its tag.
        tag: u64,
        /// The outcomes, or why nobody was asked.
        gathered: Result<Gathered, CallError>,
    },
}

/// An output of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A request to carry out.
    Ask(Ask),
    /// An observation to record.
    Saw(Saw),
}
