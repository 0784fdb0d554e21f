//! Live events for viewers: from every node of the cluster, cheap, and closed between tenants.
//!
//! A publisher asks its [`sampler`] what is worth publishing, and hands the event to the topics that
//! [`routing`] names. Every node that has viewers of a profile holds an [`EventStream`] for it, which
//! takes in what arrives:
//!
//! ```text
//!   events of a scope ──> dedup ──┬─> windows ──> figures ──┐
//!                                 └─> batch ──> recent      ├──> viewers, each with its rate,
//!   states of the profile ──────────> batch ──> states ─────┘    its queue and its losses
//! ```
//!
//! One idea stands in each file: [`dedup`] (has it been here before?), [`batch`] (what goes together,
//! and when), [`rate`] (how much one viewer gets), [`windows`] and [`figures`] (what the last minute
//! was like), [`changes`] (what a reader does not know yet), [`states`], [`recent`], [`viewer`] (who may
//! see what). They work on whatever implements [`StreamEvent`]; the kinds that are shipped are in
//! [`routing`], and an application registers further ones, see [`kinds`].
//!
//! [`Live`] holds the streams of all profiles that are looked at on one node, and says which topics they
//! need. What it does not do: it subscribes to no topic, waits for nothing and sends nothing; whoever
//! drives it does, with the help of [`Live::poll`] and [`Live::deadline`].
//!
//! ```
//! use std::sync::Arc;
//! use core::time::Duration;
//! use lasso_core::events::routing::{RoutingDecision, RoutingEvent};
//! use lasso_core::events::{EventSettings, EventStream, Pass, Scope, Stirred};
//! use lasso_core::events::topics::Segment;
//! use lasso_core::name::Label;
//! use lasso_core::time::Instant;
//!
//! let profile = Segment::new("premium")?;
//! let mut stream = EventStream::new(profile.clone(), EventSettings::default(), [1, 2]);
//! let (mut now, mut unix_ms) = (Instant::ZERO, 1_769_248_800_000);
//!
//! // An operator looks at the profile; it first gets what is known, which is nothing yet.
//! let pass = Pass::operator(profile.clone());
//! let seat = stream.subscribe(now, &pass, Scope::Profile)?;
//! assert!(seat.snapshot.events.is_empty());
//!
//! // Two nodes report the same request.
//! let source = "lasso@10.0.0.5".parse()?;
//! let (id, chain) = (Label::new("request id", "a-request")?, Segment::new("eth")?);
//! let provider = Label::new("provider", "alchemy")?;
//! let decision = RoutingDecision::new(id, unix_ms, profile, source, chain, provider);
//! let event = Arc::new(RoutingEvent::Decision(decision));
//! let mut stirred = Stirred::default();
//! stream.receive(now, unix_ms, &Scope::Profile, event.clone(), &mut stirred);
//! stream.receive(now, unix_ms, &Scope::Profile, event, &mut stirred);
//!
//! // Half a second later the batch is there, with one event and its figures.
//! now = now + Duration::from_millis(500);
//! unix_ms += 500;
//! assert_eq!(stream.deadline(), Some(now));
//! stream.tick(now, unix_ms, &mut stirred);
//! assert_eq!(stirred.readable, [seat.viewer]);
//! let batch = stream.read(seat.viewer).expect("it is readable");
//! assert_eq!((batch.events.len(), batch.lost), (1, 0));
//! assert_eq!(batch.figures.changed[0].1.calls, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod batch;
mod chains;
pub mod changes;
mod counters;
pub mod dedup;
mod feed;
pub mod figures;
mod hash;
mod keys;
pub mod kinds;
mod live;
mod orders;
pub mod rate;
pub mod recent;
pub mod routing;
mod running;
pub mod sampler;
mod settings;
mod sizes;
pub mod states;
mod stream;
pub mod topics;
pub mod viewer;
pub mod windows;
mod wire;

use core::time::Duration;

use serde::{Deserialize, Serialize};

pub use counters::LiveCounters;
pub use feed::{Delivery, FeedCounters};
pub use keys::{EventKeys, event_keys};
pub use live::Live;
pub use orders::LiveOrder;
pub use settings::{EventSettings, Thresholds};
pub use sizes::LiveSizes;
pub use stream::{EventStream, Seat, Stirred, StreamCounters};
pub use viewer::{Pass, Scope, ScopeError, Staleness, ViewerId};
pub use wire::{WireEvent, publications};

use crate::name::{Label, NodeName};
use topics::Segment;
use windows::Series;

/// What an application's event tells the machines here.
///
/// Implemented once per application; [`routing::RoutingEvent`] is the shipped one.
pub trait StreamEvent {
    /// The same in every copy of the event, on all nodes, and in no other event. Without one, nothing
    /// is ever taken for a copy.
    fn id(&self) -> Option<&str>;
    /// When it happened, by its source's wall clock, in milliseconds since 1970.
    fn unix_ms(&self) -> u64;
    /// The profile that it belongs to.
    fn profile(&self) -> &Segment;
    /// The account that it belongs to. Only viewers of that account see it.
    fn account(&self) -> Option<&Segment>;
    /// Where it happened.
    fn source(&self) -> &NodeName;
    /// The region of that node.
    fn region(&self) -> &Label;
    /// Something that happened, or something that is so until it is said otherwise.
    fn kind(&self) -> Kind;
    /// What it adds to the figures.
    fn call(&self) -> Option<Call>;
    /// For a state: true when viewers who were told `told` must hear of this value.
    fn matters(&self, told: &Self) -> bool;
}

/// Whether every one counts or only the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Something that happened: seen once, in order.
    Event,
    /// Something that is so: only the newest value is of interest.
    State(StateKey),
}

/// Of what kind a state is; each has its own bound.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// A circuit breaker.
    Circuit,
    /// The health of a provider.
    Health,
    /// A block height.
    Height,
    /// A state of a registered kind, by its name.
    #[serde(untagged)]
    Open(Label),
}

/// Which state an event is a value of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StateKey {
    /// Its kind.
    pub group: Group,
    /// Of whom, such as a provider.
    pub subject: Label,
    /// Where it serves, such as a blockchain.
    pub chain: Label,
    /// A part of it with a state of its own, such as a transport.
    pub part: Option<Label>,
    /// The node whose view it is, where each has its own.
    pub source: Option<NodeName>,
}

/// What one event adds to the figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What it is counted by.
    pub series: Series,
    /// How it ended.
    pub success: bool,
    /// How long it took.
    pub duration: Option<Duration>,
    /// How many calls it stands for; 0 is taken for 1.
    pub weight: u32,
}

/// True when `new`, which came after `old`, is the newer value of their state.
///
/// Of one source the later one is, as they come in order. Between sources their times decide, where a
/// time in the future is taken for now, so that a clock that is ahead does not hold a state for ever.
pub fn supersedes<E: StreamEvent>(new: &E, old: &E, now_unix_ms: u64) -> bool {
    let time = |event: &E| event.unix_ms().min(now_unix_ms);
    new.source() == old.source() || time(new) >= time(old)
}

#[cfg(test)]
mod tests;
