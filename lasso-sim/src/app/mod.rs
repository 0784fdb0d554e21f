//! The application of a node in a scenario: subscribers with a reading pace, publishers with a
//! rate, servers with manners, callers. A state machine without IO, so that there is one of it for
//! all worlds: the direct world turns what it asks for into commands of the machine, the turmoil
//! world into calls of lasso-net's handle.
//!
//! One [`App`] is the application in one life of a process. What a step orders is an [`Order`], what
//! the cluster tells it is a [`Told`]; it answers with [`Ask`], what it wants of the cluster, and
//! [`Saw`], what it has seen, which goes into the record and to the invariants. An application that
//! was frozen does not make up for what it would have published or asked meanwhile.

mod callers;
pub mod events;
mod load;
mod log;
mod metrics;
mod payload;
mod saw;
mod servers;
mod subscribers;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use lasso_core::name::NodeName;
use lasso_core::plane::{Audience, CallError, Gathered, PublishError, Reach, Reject, Update};
use lasso_core::time::{Instant, earliest};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use self::callers::Callers;
use self::events::{Emit, Emitters, EventAsk, EventSaw, EventTold, View, Viewers};
pub use self::load::{Load, Pace, Rate};
pub use self::log::{AppLog, CallLog, GatherEnd, GatherLog, GotLog, PublishLog, SubscriberLog};
use self::metrics::Meters;
pub use self::metrics::{
    MetricAsk, MetricSaw, MetricTold, ReadLog, ReadPage, Record, Recorded, Row, Sight,
};
pub use self::payload::{PAYLOAD_MAX, PAYLOAD_MIN};
pub use self::saw::{Got, Outcome, Saw};
use self::servers::Servers;
use self::subscribers::Subscribers;
use crate::world::Refusal;

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
    /// How many.
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
    /// With a no.
    Rejected(Reject),
    /// It panics.
    Panics,
    /// It was still at work when its call's deadline came, and was dropped.
    Late,
}

/// What the cluster tells the application.
#[derive(Debug, Clone)]
pub enum Told {
    /// A moment that [`App::poll_timeout`] named has come.
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

/// A publish load under way.
#[derive(Debug)]
struct Publishing {
    what: Publish,
    load: load::Running,
}

/// See the module's text.
#[derive(Debug)]
pub struct App {
    subscribers: Subscribers,
    publishing: Vec<Publishing>,
    /// The last tag of each topic.
    tags: BTreeMap<Arc<str>, u64>,
    /// The publish whose result comes next: its topic and audience.
    published: Option<(Arc<str>, Audience)>,
    servers: Servers,
    callers: Callers,
    viewers: Viewers,
    emitters: Emitters,
    meters: Meters,
    outputs: VecDeque<Output>,
}

impl App {
    /// The application of a process that starts now.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut ids = ChaCha8Rng::from_seed(seed);
        ids.set_stream(1);
        App {
            subscribers: Subscribers::default(),
            publishing: Vec::new(),
            tags: BTreeMap::new(),
            published: None,
            servers: Servers::new(ChaCha8Rng::from_seed(seed)),
            callers: Callers::default(),
            viewers: Viewers::default(),
            emitters: Emitters::new(ids),
            meters: Meters::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Something has happened.
    pub fn handle(&mut self, now: Instant, told: Told) {
        let out = &mut self.outputs;
        match told {
            Told::Tick => {}
            Told::Order(order) => self.on_order(now, order),
            Told::Subscribed { sub, error } => self.subscribers.on_subscribed(sub, error, out),
            Told::Updates { sub, updates } => self.subscribers.on_updates(now, sub, updates, out),
            Told::Published { tag, result } => {
                if let Some((topic, audience)) = self.published.take() {
                    out.push_back(Output::Saw(Saw::Published {
                        topic,
                        tag,
                        audience,
                        result,
                    }));
                }
            }
            Told::Request {
                id,
                method,
                payload,
                deadline,
            } => {
                let question = servers::Question {
                    id,
                    payload: &payload,
                    deadline,
                };
                self.servers.on_request(now, &method, &question, out);
            }
            Told::Events(told) => self.on_events(now, told),
            Told::Answered { tag, outcome } => self.callers.on_answered(tag, outcome, out),
            Told::Metrics(told) => self.meters.on_told(told, out),
            Told::Targets { tag, nodes } => self.callers.on_targets(tag, nodes, out),
            Told::Gathered { tag, gathered } => self.callers.on_gathered(tag, gathered, out),
        }
    }

    /// The next thing that it wants or has seen, at `now`.
    pub fn poll_output(&mut self, now: Instant) -> Option<Output> {
        if self.outputs.is_empty() {
            self.subscribers.due(now, &mut self.outputs);
            self.servers.due(now, &mut self.outputs);
            self.viewers.due(now, &mut self.outputs);
        }
        // One at a time: what a load sends is made when it is sent.
        if self.outputs.is_empty() {
            self.publish_next(now);
        }
        if self.outputs.is_empty()
            && let Some(emission) = self.emitters.next(now)
        {
            let ask = Ask::Events(EventAsk::Emit(emission));
            self.outputs.push_back(Output::Ask(ask));
        }
        if self.outputs.is_empty() {
            self.callers.due(now, &mut self.outputs);
        }
        if self.outputs.is_empty() {
            self.meters.due(now, &mut self.outputs);
        }
        self.outputs.pop_front()
    }

    /// When it has something to do by itself.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let publishing = self.publishing.iter().filter_map(|p| p.load.due(0)).min();
        let sooner = earliest(publishing, self.callers.poll_timeout());
        let sooner = earliest(sooner, self.servers.poll_timeout());
        let sooner = earliest(sooner, self.viewers.poll_timeout());
        let sooner = earliest(sooner, self.emitters.poll_timeout());
        let sooner = earliest(sooner, self.meters.poll_timeout());
        earliest(sooner, self.subscribers.poll_timeout())
    }

    /// Whether an order makes sense for it, which is of the node `key`.
    ///
    /// # Errors
    /// [`Refusal::Senseless`] while its process is frozen, and where there is nothing to end.
    pub fn accepts(&self, order: &Order, key: &str, paused: bool) -> Result<(), Refusal> {
        if paused {
            return Err(Refusal::Senseless(format!("`{key}` is paused")));
        }
        let none = |what| Err(Refusal::Senseless(format!("`{key}` has no such {what}")));
        match order {
            Order::Unsubscribe { topic, name }
                if !self.subscribers.is_subscribed(topic, name.as_deref()) =>
            {
                none("subscriber")
            }
            Order::LookAway { name } if !self.viewers.is_open(name) => none("viewer"),
            _ => Ok(()),
        }
    }

    fn on_events(&mut self, now: Instant, told: EventTold) {
        let out = &mut self.outputs;
        match told {
            EventTold::Viewing { viewer, error } => self.viewers.on_viewing(viewer, error, out),
            EventTold::Seen { viewer, sight } => self.viewers.on_seen(now, viewer, sight, out),
            EventTold::Emitted(result) => {
                let saw = self.emitters.on_emitted(result);
                out.extend(saw.map(|saw: EventSaw| Output::Saw(Saw::Events(saw))));
            }
        }
    }

    fn on_order(&mut self, now: Instant, order: Order) {
        let out = &mut self.outputs;
        match order {
            Order::Subscribe(subscribe) => self.subscribers.subscribe(&subscribe, out),
            Order::Unsubscribe { topic, name } => {
                self.subscribers.unsubscribe(&topic, name.as_deref(), out);
            }
            Order::Publish(what) => {
                let load = load::Running::new(now, what.load);
                self.publishing.push(Publishing { what, load });
            }
            Order::Serve(serve) => self.servers.serve(serve, out),
            Order::Call(call) => self.callers.call(now, call),
            Order::CallMany(call) => self.callers.call_many(now, call),
            Order::View(view) => self.viewers.view(&view, out),
            Order::LookAway { name } => self.viewers.leave(&name, out),
            Order::Emit(emit) => self.emitters.emit(now, &emit),
            Order::Record(record) => self.meters.record(now, record),
            Order::ReadPage(page) => self.meters.read(now, page),
        }
    }

    fn publish_next(&mut self, now: Instant) {
        self.publishing
            .retain(|publishing| !publishing.load.is_over(now));
        let is_due =
            |publishing: &&mut Publishing| publishing.load.due(0).is_some_and(|at| at <= now);
        let Some(publishing) = self.publishing.iter_mut().find(is_due) else {
            return;
        };
        publishing.load.take(now);
        let what = &publishing.what;
        let tag = self.tags.entry(Arc::clone(&what.topic)).or_insert(0);
        *tag += 1;
        self.published = Some((Arc::clone(&what.topic), what.audience.clone()));
        self.outputs.push_back(Output::Ask(Ask::Publish {
            tag: *tag,
            topic: Arc::clone(&what.topic),
            payload: payload::make(*tag, what.size),
            audience: what.audience.clone(),
        }));
    }
}
