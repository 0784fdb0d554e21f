//! What is said between an application, its steps and its cluster.

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

/// What a step orders.
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
    /// Serves a method from now on; replaces how it was served before.
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
    /// What they are called in checks.
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
    /// Whatever comes, at once.
    AtOnce,
    /// Nothing, ever.
    Never,
    /// So many updates in a time.
    Paced(Rate),
}

/// Messages to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Their topic.
    pub topic: Arc<str>,
    /// How many, and how fast.
    pub load: Load,
    /// Bytes of each.
    pub size: usize,
    /// To whom.
    pub audience: Audience,
}

/// How a method is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    /// The method.
    pub method: Arc<str>,
    /// How long an answer takes: evenly between the two.
    pub takes: (Duration, Duration),
    /// The handler panics for so many of a million questions.
    pub panics_ppm: u32,
    /// The handler says no to so many of a million questions.
    pub rejects_ppm: u32,
    /// Bytes of each answer.
    pub size: usize,
}

/// Calls of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which one.
    pub to: NodeName,
    /// The method.
    pub method: Arc<str>,
    /// How many, and how fast.
    pub load: Load,
    /// The deadline; `None`: the default.
    pub timeout: Option<Duration>,
    /// Bytes of each question.
    pub size: usize,
}

/// Calls of many nodes at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallMany {
    /// Which ones; `None`: whoever is linked when the call begins, and the node itself.
    pub to: Option<Vec<NodeName>>,
    /// The method.
    pub method: Arc<str>,
    /// How many, and how fast.
    pub load: Load,
    /// The deadline; `None`: the default.
    pub timeout: Option<Duration>,
    /// Bytes of each question.
    pub size: usize,
}

/// What the application wants of the cluster.
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
    /// Read at least one update, waiting for it if need be; answered by [`Told::Updates`].
    Read {
        /// Which subscriber.
        sub: u32,
    },
    /// Publish; answered by [`Told::Published`] before anything else is asked for.
    Publish {
        /// Comes back in the answer.
        tag: u64,
        /// The topic.
        topic: Arc<str>,
        /// The message.
        payload: Bytes,
        /// To whom.
        audience: Audience,
    },
    /// Serve a method: its requests come as [`Told::Request`].
    Serve {
        /// The method.
        method: Arc<str>,
    },
    /// Call; answered by [`Told::Answered`].
    Call {
        /// Comes back in the answer.
        tag: u64,
        /// Whom.
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
        /// Whom; `None`: whoever is linked now, and the node itself.
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
        /// Its connection.
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
    /// With a no.
    Rejected(Reject),
    /// It panics; the method is told where nobody else knows it.
    Panics(Arc<str>),
    /// It was still at work when its call's deadline came, and was dropped.
    Late,
}

/// What the cluster tells the application.
#[derive(Debug, Clone)]
pub enum Told {
    /// A moment that [`App::poll_timeout`](super::App::poll_timeout) named has come.
    Tick,
    /// A step's order.
    Order(Order),
    /// A subscription stands, or does not.
    Subscribed {
        /// Which subscriber.
        sub: u32,
        /// Why not.
        error: Option<String>,
    },
    /// What a subscriber has read.
    Updates {
        /// Which one.
        sub: u32,
        /// At least one.
        updates: Vec<Update>,
    },
    /// What became of a publish.
    Published {
        /// Its tag.
        tag: u64,
        /// What it reached, or why it was refused.
        result: Result<Reach, PublishError>,
    },
    /// A peer asks.
    Request {
        /// To be answered under this number.
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
    /// A call to many goes to these.
    Targets {
        /// Its tag.
        tag: u64,
        /// In the order asked.
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
        /// Them, or why nobody was asked.
        gathered: Result<Gathered, CallError>,
    },
}

/// What comes out of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To be carried out.
    Ask(Ask),
    /// To be written down.
    Saw(Saw),
}
