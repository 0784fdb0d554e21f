//! How an application's events travel: as what bytes, on which topics.
//!
//! ```
//! use lasso_core::events::publications;
//! use lasso_core::events::routing::{Outcome, RoutingDecision, RoutingEvent};
//! use lasso_core::events::sampler::{Sampler, SampleRates};
//! use lasso_core::events::topics::Segment;
//! use lasso_core::name::Label;
//!
//! let mut sampler = Sampler::new(SampleRates::default(), [7; 32]);
//! let (id, chain) = (Label::new("request id", "a-request")?, Segment::new("eth")?);
//! let (profile, provider) = (Segment::new("premium")?, Label::new("provider", "alchemy")?);
//! let source = "lasso@10.0.0.5".parse()?;
//! let mut decision = RoutingDecision::new(id, 1_769_248_800_000, profile, source, chain, provider);
//! decision.result = Outcome::Error;
//! let event = RoutingEvent::Decision(decision).sampled(&mut sampler).expect("errors always are");
//! let published = publications(&event);
//! assert_eq!(published[0].0, "routing:decisions:premium");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use bytes::Bytes;

use super::StreamEvent;
use super::kinds::EventKinds;
use super::routing::{self, RoutingEvent};
use super::sampler::Sampler;
use super::topics::{self, Segment};
use super::viewer::Scope;
use crate::codec::Malformed;

/// What an application's event tells whoever carries it between nodes.
///
/// [`RoutingEvent`] is the shipped one.
pub trait WireEvent: StreamEvent + Sized {
    /// The event as it travels.
    fn encode(&self) -> Bytes;

    /// Reads an event; `None` for one of a kind that this release does not know.
    ///
    /// # Errors
    /// [`Malformed`]: it is no event. The fault of the node that published it.
    fn decode(bytes: &[u8]) -> Result<Option<Self>, Malformed>;

    /// The same, where a node knows these kinds besides those that the type itself has.
    ///
    /// # Errors
    /// As [`WireEvent::decode`].
    fn decode_by(bytes: &[u8], kinds: &EventKinds) -> Result<Option<Self>, Malformed> {
        let _ = kinds;
        Self::decode(bytes)
    }

    /// The event as it is to be published, with its weight, or `None` when it is left out.
    fn sampled(self, sampler: &mut Sampler) -> Option<Self>;

    /// What is to be published of the event: topics, and what goes to each.
    fn publishes(&self) -> Vec<(String, Self)>;

    /// The topic that carries the events of a scope.
    fn event_topic(profile: &Segment, scope: &Scope) -> String;

    /// The topics that carry the states of one chain of a profile.
    fn state_topics(profile: &Segment, chain: &Segment) -> Vec<String>;
}

/// What is to be published of an event that the sampler has let through: topics, and the bytes for
/// each.
pub fn publications<E: WireEvent>(event: &E) -> Vec<(String, Bytes)> {
    let copies = event.publishes().into_iter();
    copies.map(|(topic, copy)| (topic, copy.encode())).collect()
}

impl WireEvent for RoutingEvent {
    fn encode(&self) -> Bytes {
        RoutingEvent::encode(self)
    }

    fn decode(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        RoutingEvent::decode(bytes)
    }

    fn decode_by(bytes: &[u8], kinds: &EventKinds) -> Result<Option<Self>, Malformed> {
        RoutingEvent::decode_by(bytes, kinds)
    }

    fn sampled(self, sampler: &mut Sampler) -> Option<Self> {
        RoutingEvent::sampled(self, sampler)
    }

    fn publishes(&self) -> Vec<(String, Self)> {
        routing::publishes(self)
    }

    fn event_topic(profile: &Segment, scope: &Scope) -> String {
        match scope {
            Scope::Profile => topics::decisions(profile),
            Scope::Account(account) => topics::account_decisions(profile, account),
        }
    }

    fn state_topics(profile: &Segment, chain: &Segment) -> Vec<String> {
        vec![
            topics::circuits(profile, chain),
            topics::provider_pool(profile, chain),
            topics::block_sync(profile, chain),
        ]
    }
}
