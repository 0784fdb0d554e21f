//! The application of a node in a scenario: subscribers with a reading pace, publishers with a rate, servers
//! with manners, callers. A state machine without IO, so that all worlds share it: the direct world turns its
//! requests into commands of the machine, the turmoil world into calls of lasso-net's handle.
//!
//! One [`App`] is the application in one life of a process. A step gives it an [`Order`], and the cluster a
//! [`Told`]. Its outputs are [`Ask`], a request to the cluster, and [`Saw`], an observation, which goes into
//! the record and to the invariants. A frozen application does not catch up on what it would have published or
//! asked meanwhile.

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
mod words;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lasso_core::plane::Audience;
use lasso_core::time::{Instant, earliest};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use self::callers::Callers;
use self::events::{Emitters, EventAsk, EventSaw, EventTold, Viewers};
pub use self::load::{Load, Pace, Rate};
pub use self::log::{AppLog, CallLog, GatherEnd, GatherLog, GotLog, PublishLog, SubscriberLog};
use self::metrics::Meters;
pub use self::metrics::{
    MetricAsk, MetricSaw, MetricTold, ReadLog, ReadPage, Record, Recorded, Row, Sight,
};
pub(crate) use self::payload::read as tag_of;
pub use self::payload::{PAYLOAD_MAX, PAYLOAD_MIN};
pub use self::saw::{Got, Outcome, Saw};
use self::servers::Servers;
use self::subscribers::Subscribers;
pub use self::words::{
    Ask, Call, CallMany, Order, Output, Publish, Reads, Reply, Serve, Subscribe, Told,
};
use crate::world::Refusal;

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

    /// Handles an order, a reply or the passing of time.
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
            Told::Answered { tag, outcome } => self.callers.on_answered(now, tag, outcome, out),
            Told::Metrics(told) => self.meters.on_told(now, told, out),
            Told::Targets { tag, nodes } => self.callers.on_targets(tag, nodes, out),
            Told::Gathered { tag, gathered } => self.callers.on_gathered(now, tag, gathered, out),
        }
    }

    /// The next request or observation, at `now`.
    pub fn poll_output(&mut self, now: Instant) -> Option<Output> {
        if self.outputs.is_empty() {
            self.subscribers.due(now, &mut self.outputs);
            self.servers.due(now, &mut self.outputs);
            self.viewers.due(now, &mut self.outputs);
        }
        // One at a time: a load creates each message only when it sends it.
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

    /// When it has something to do by itself, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let publishing = self.publishing.iter().filter_map(|p| p.load.due()).min();
        let sooner = earliest(publishing, self.callers.poll_timeout());
        let sooner = earliest(sooner, self.servers.poll_timeout());
        let sooner = earliest(sooner, self.viewers.poll_timeout());
        let sooner = earliest(sooner, self.emitters.poll_timeout());
        let sooner = earliest(sooner, self.meters.poll_timeout());
        earliest(sooner, self.subscribers.poll_timeout())
    }

    /// Whether an order makes sense for it; `key` is its node.
    ///
    /// # Errors
    /// [`Refusal::Senseless`] while its process is frozen, and when there is nothing to end.
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
            |publishing: &&mut Publishing| publishing.load.due().is_some_and(|at| at <= now);
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
