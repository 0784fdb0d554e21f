//! The kinds of events that have a type of their own: routing decisions, circuits, health of providers, block
//! heights; how they travel, and on which topics. For others see [`kinds`](super::kinds).
//!
//! An event travels as a MessagePack map with its kind and its fields by name. A field that a release
//! does not know is skipped, and so is an event of a kind that it does not know; a value of a list of
//! names that it does not know reads as `unknown`. A field that is missing is an error unless it may
//! be absent.
//!
//! 1. A decision with an account is published twice: to the profile's topic without the account, and to
//!    the account's topic with it. Nothing else that is published names an account.
//! 2. Any bytes read as an event, as one of a kind that is not known, or as an error, within a stack and
//!    a heap that [`EVENT_BYTES_MAX`] bounds.
//!
//! ```
//! use lasso_core::events::routing::{RoutingDecision, RoutingEvent, publishes};
//! use lasso_core::events::topics::Segment;
//! use lasso_core::name::Label;
//!
//! let (id, chain) = (Label::new("request id", "a-request")?, Segment::new("eth")?);
//! let (profile, provider) = (Segment::new("premium")?, Label::new("provider", "alchemy")?);
//! let source = "lasso@10.0.0.5".parse()?;
//! let mut decision = RoutingDecision::new(id, 1_769_248_800_000, profile, source, chain, provider);
//! decision.account = Some(Segment::new("acme")?);
//! let copies = publishes(&RoutingEvent::Decision(decision));
//! let topics: Vec<&str> = copies.iter().map(|(topic, _)| topic.as_str()).collect();
//! assert_eq!(topics, ["routing:decisions:premium", "routing:decisions:premium:account:acme"]);
//! let bytes = copies[0].1.encode();
//! assert_eq!(RoutingEvent::decode(&bytes)?.as_ref(), Some(&copies[0].1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::kinds::{BLOCK_SYNC, EventKinds, OpenEvent};
use super::sampler::{Sampler, WEIGHT_MAX};
use super::topics::{self, Segment};
use super::windows::Series;
use super::{Call, Group, Kind, StateKey, StreamEvent};
use crate::codec::{Malformed, depth};
use crate::name::{Label, NodeName};

/// Largest event, in bytes as it travels: several times what the longest legal fields take.
pub const EVENT_BYTES_MAX: usize = 16 << 10;

/// Which way a provider was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "&'static str")]
pub enum Transport {
    /// One request, one answer.
    Http,
    /// A standing connection.
    WebSocket,
    /// One that this release does not know.
    Unknown,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "&'static str")]
pub enum Outcome {
    /// Answered.
    Success,
    /// Not answered, or by an error.
    Error,
    /// One that this release does not know; counted like an error.
    Unknown,
}

/// The state of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "&'static str")]
pub enum CircuitState {
    /// Requests flow.
    Closed,
    /// Nothing flows.
    Open,
    /// A few requests flow, as a test.
    HalfOpen,
    /// One that this release does not know.
    Unknown,
}

/// How a provider is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "&'static str")]
pub enum ProviderStatus {
    /// It answers.
    Healthy,
    /// It answers badly or late.
    Degraded,
    /// It does not answer.
    Down,
    /// Not known yet, or one that this release does not know.
    Unknown,
}

/// A list of names: each value's own, and the last for whatever else comes.
macro_rules! named {
    ($type:ident: $($value:ident = $name:literal),+) => {
        impl From<$type> for &'static str {
            fn from(value: $type) -> Self {
                match value {
                    $($type::$value => $name,)+
                    $type::Unknown => "unknown",
                }
            }
        }

        impl From<String> for $type {
            fn from(name: String) -> Self {
                match name.as_str() {
                    $($name => $type::$value,)+
                    _ => $type::Unknown,
                }
            }
        }
    };
}

named!(Transport: Http = "http", WebSocket = "web_socket");
named!(Outcome: Success = "success", Error = "error");
named!(CircuitState: Closed = "closed", Open = "open", HalfOpen = "half_open");
named!(ProviderStatus: Healthy = "healthy", Degraded = "degraded", Down = "down");

/// One request was routed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingDecision {
    /// The request's id, the same in every copy.
    pub request_id: Label,
    /// When it was done, by its node's wall clock, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The profile that it was routed by.
    pub profile: Segment,
    /// Whose request it was; absent in what the profile's viewers see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Segment>,
    /// The node that routed it.
    pub source: NodeName,
    /// That node's region.
    pub region: Label,
    /// The chain that was asked for.
    pub chain: Segment,
    /// The method that was called.
    pub method: Label,
    /// How the provider was chosen.
    pub strategy: Label,
    /// The provider that served it, or failed last.
    pub provider: Label,
    /// Which way it was asked.
    pub transport: Transport,
    /// From request to answer, in microseconds.
    pub duration_us: u64,
    /// How it ended.
    pub result: Outcome,
    /// Providers that had failed before.
    #[serde(default)]
    pub failovers: u32,
    /// What kind of error it was.
    pub error_category: Option<Label>,
    /// The error's code.
    pub error_code: Option<i64>,
    /// How many such requests it stands for, 1 to [`WEIGHT_MAX`].
    #[serde(default = "one")]
    pub weight: u32,
}

/// A circuit breaker changed its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitChange {
    /// When, by its node's wall clock, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The profile that it belongs to.
    pub profile: Segment,
    /// The node whose breaker it is.
    pub source: NodeName,
    /// That node's region.
    pub region: Label,
    /// The chain.
    pub chain: Segment,
    /// The provider.
    pub provider: Label,
    /// The transport.
    pub transport: Transport,
    /// Its state before.
    pub previous: CircuitState,
    /// Its state now.
    pub state: CircuitState,
    /// Failures in a row.
    pub failures: u32,
    /// Why it changed.
    pub reason: Option<Label>,
}

/// How a provider is doing, as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderHealth {
    /// When, by its node's wall clock, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The profile that it belongs to.
    pub profile: Segment,
    /// The node that says so.
    pub source: NodeName,
    /// That node's region.
    pub region: Label,
    /// The chain.
    pub chain: Segment,
    /// The provider.
    pub provider: Label,
    /// Over all transports.
    pub status: ProviderStatus,
    /// By transport.
    #[serde(default)]
    pub statuses: BTreeMap<Transport, ProviderStatus>,
    /// Its circuits, by transport.
    #[serde(default)]
    pub circuits: BTreeMap<Transport, CircuitState>,
    /// Blocks that it is behind the others.
    pub block_lag: Option<u64>,
    /// It has refused requests as too many.
    #[serde(default)]
    pub rate_limited: bool,
}

/// The newest block of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockHeight {
    /// When, by its node's wall clock, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The profile that it belongs to.
    pub profile: Segment,
    /// The node that says so.
    pub source: NodeName,
    /// That node's region.
    pub region: Label,
    /// The chain.
    pub chain: Segment,
    /// The provider.
    pub provider: Label,
    /// Its newest block.
    pub height: u64,
    /// The newest block that most providers have.
    pub consensus: Option<u64>,
    /// Blocks that it is behind that.
    pub lag: Option<u64>,
}

/// An event of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind")]
pub enum RoutingEvent {
    /// One request was routed.
    #[serde(rename = "routing_decision")]
    Decision(RoutingDecision),
    /// A circuit breaker changed its state.
    #[serde(rename = "circuit")]
    Circuit(CircuitChange),
    /// How a provider is doing.
    #[serde(rename = "provider_health")]
    Health(ProviderHealth),
    /// The newest block of a provider.
    #[serde(rename = "block_height")]
    Height(BlockHeight),
    /// One of a registered kind, which names itself.
    #[serde(untagged)]
    Open(OpenEvent),
}

impl RoutingDecision {
    /// A request that was served at the first try, with the least that must be said of it: of no
    /// account, in the region `unknown`, by a method and a strategy `unknown`, over HTTP, in no time,
    /// standing for itself. Every field may be changed.
    pub fn new(
        request_id: Label,
        unix_ms: u64,
        profile: Segment,
        source: NodeName,
        chain: Segment,
        provider: Label,
    ) -> Self {
        RoutingDecision {
            request_id,
            unix_ms,
            profile,
            account: None,
            source,
            region: Label::unknown(),
            chain,
            method: Label::unknown(),
            strategy: Label::unknown(),
            provider,
            transport: Transport::Http,
            duration_us: 0,
            result: Outcome::Success,
            failovers: 0,
            error_category: None,
            error_code: None,
            weight: 1,
        }
    }

    /// True for what sampling may leave out: a success at the first try.
    pub fn is_plain_success(&self) -> bool {
        self.result == Outcome::Success && self.failovers == 0
    }
}

impl RoutingEvent {
    /// The event as it is to be published, with its weight, or `None` when the sampler leaves it out.
    /// Errors, failovers and states are always published.
    pub fn sampled(mut self, sampler: &mut Sampler) -> Option<RoutingEvent> {
        if let RoutingEvent::Decision(decision) = &mut self {
            decision.weight = if decision.is_plain_success() {
                sampler.success(decision.profile.as_str())?
            } else {
                1
            };
        }
        Some(self)
    }

    /// The event as it travels.
    pub fn encode(&self) -> Bytes {
        let bytes = rmp_serde::to_vec_named(self);
        bytes.expect("events have no values without a form").into()
    }

    /// Reads an event of a shipped kind: see [`RoutingEvent::decode_by`].
    ///
    /// # Errors
    /// As [`RoutingEvent::decode_by`].
    pub fn decode(bytes: &[u8]) -> Result<Option<RoutingEvent>, Malformed> {
        RoutingEvent::decode_by(bytes, &EventKinds::default())
    }

    /// Reads an event; `None` for one of a kind that has no type of its own and is not among these.
    ///
    /// # Errors
    /// [`Malformed`]: it is too large, no event, or has a field that is not what it must be. The fault
    /// of the node that published it.
    pub fn decode_by(bytes: &[u8], kinds: &EventKinds) -> Result<Option<RoutingEvent>, Malformed> {
        // What is skipped is skipped by recursion.
        if bytes.len() > EVENT_BYTES_MAX || depth::check(bytes).is_err() {
            return Err(Malformed);
        }
        let Kinded { kind } = read(bytes)?;
        Ok(Some(match kind.as_str() {
            "routing_decision" => {
                let decision: RoutingDecision = read(bytes)?;
                if !(1..=WEIGHT_MAX).contains(&decision.weight) {
                    return Err(Malformed);
                }
                RoutingEvent::Decision(decision)
            }
            "circuit" => RoutingEvent::Circuit(read(bytes)?),
            "provider_health" => RoutingEvent::Health(read(bytes)?),
            "block_height" => RoutingEvent::Height(read(bytes)?),
            _ if kinds.knows(&kind) => {
                let event = OpenEvent::decode(bytes, kinds)?;
                return Ok(event.map(RoutingEvent::Open));
            }
            _ => return Ok(None),
        }))
    }
}

/// What is to be published of an event: topics, and what goes to each.
///
/// An event with an account goes to its profile's topic without the account and to the account's topic
/// with it, under one id.
pub fn publishes(event: &RoutingEvent) -> Vec<(String, RoutingEvent)> {
    let topic = match event {
        RoutingEvent::Decision(decision) => {
            let mut bare = decision.clone();
            let account = bare.account.take();
            let profile = &decision.profile;
            let mut copies = vec![(topics::decisions(profile), RoutingEvent::Decision(bare))];
            if let Some(account) = account {
                let topic = topics::account_decisions(profile, &account);
                copies.push((topic, event.clone()));
            }
            return copies;
        }
        RoutingEvent::Open(open) if !open.is_state() => {
            let mut bare = open.clone();
            let account = bare.account.take();
            let mut copies = vec![(topics::decisions(&open.profile), RoutingEvent::Open(bare))];
            if let Some(account) = account {
                let topic = topics::account_decisions(&open.profile, &account);
                copies.push((topic, event.clone()));
            }
            return copies;
        }
        RoutingEvent::Open(open) => {
            let topic = if open.name().as_str() == BLOCK_SYNC {
                topics::block_sync(&open.profile, &open.chain)
            } else {
                topics::provider_pool(&open.profile, &open.chain)
            };
            let mut bare = open.clone();
            bare.account = None;
            return vec![(topic, RoutingEvent::Open(bare))];
        }
        RoutingEvent::Circuit(circuit) => topics::circuits(&circuit.profile, &circuit.chain),
        RoutingEvent::Health(health) => topics::provider_pool(&health.profile, &health.chain),
        RoutingEvent::Height(height) => topics::block_sync(&height.profile, &height.chain),
    };
    vec![(topic, event.clone())]
}

/// The same field of whichever kind it is.
macro_rules! common {
    ($event:expr, $field:ident) => {
        match $event {
            RoutingEvent::Decision(event) => &event.$field,
            RoutingEvent::Circuit(event) => &event.$field,
            RoutingEvent::Health(event) => &event.$field,
            RoutingEvent::Height(event) => &event.$field,
            RoutingEvent::Open(event) => &event.$field,
        }
    };
}

impl StreamEvent for RoutingEvent {
    fn id(&self) -> Option<&str> {
        match self {
            RoutingEvent::Decision(decision) => Some(decision.request_id.as_str()),
            RoutingEvent::Open(open) if !open.is_state() => open.id.as_ref().map(Label::as_str),
            _ => None,
        }
    }

    fn unix_ms(&self) -> u64 {
        *common!(self, unix_ms)
    }

    fn profile(&self) -> &Segment {
        common!(self, profile)
    }

    fn account(&self) -> Option<&Segment> {
        match self {
            RoutingEvent::Decision(decision) => decision.account.as_ref(),
            RoutingEvent::Open(open) => open.account.as_ref(),
            _ => None,
        }
    }

    fn source(&self) -> &NodeName {
        common!(self, source)
    }

    fn region(&self) -> &Label {
        common!(self, region)
    }

    /// A breaker and the health of a provider are each node's own view; a height is the provider's.
    fn kind(&self) -> Kind {
        let (group, part, source) = match self {
            RoutingEvent::Decision(_) => return Kind::Event,
            RoutingEvent::Circuit(circuit) => {
                let transport = Label::new("transport", circuit.transport.into());
                (Group::Circuit, transport.ok(), Some(circuit.source.clone()))
            }
            RoutingEvent::Health(health) => (Group::Health, None, Some(health.source.clone())),
            RoutingEvent::Height(_) => (Group::Height, None, None),
            RoutingEvent::Open(open) => return open.kind(),
        };
        Kind::State(StateKey {
            group,
            subject: common!(self, provider).clone(),
            chain: common!(self, chain).label().clone(),
            part,
            source,
        })
    }

    fn call(&self) -> Option<Call> {
        let RoutingEvent::Decision(decision) = self else {
            return None;
        };
        Some(Call {
            series: Series {
                chain: decision.chain.label().clone(),
                provider: decision.provider.clone(),
            },
            success: decision.result == Outcome::Success,
            duration: Some(Duration::from_micros(decision.duration_us)),
            weight: decision.weight,
        })
    }

    /// A height matters when it, its lag or the consensus differs, anything else when any part of it but
    /// its time does.
    fn matters(&self, told: &Self) -> bool {
        match (self, told) {
            (RoutingEvent::Height(new), RoutingEvent::Height(old)) => {
                (new.height, new.lag, new.consensus) != (old.height, old.lag, old.consensus)
            }
            (RoutingEvent::Health(new), RoutingEvent::Health(old)) => {
                let unix_ms = old.unix_ms;
                ProviderHealth {
                    unix_ms,
                    ..new.clone()
                } != *old
            }
            (RoutingEvent::Circuit(new), RoutingEvent::Circuit(old)) => {
                let unix_ms = old.unix_ms;
                CircuitChange {
                    unix_ms,
                    ..new.clone()
                } != *old
            }
            (RoutingEvent::Open(new), RoutingEvent::Open(old)) => {
                let mut new = new.clone();
                new.unix_ms = old.unix_ms;
                new != *old
            }
            _ => true,
        }
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Malformed> {
    rmp_serde::from_slice(bytes).map_err(|_| Malformed)
}

fn one() -> u32 {
    1
}

/// What is read of an event before it is known what it is.
#[derive(Deserialize)]
struct Kinded {
    kind: String,
}

#[cfg(test)]
mod tests;
