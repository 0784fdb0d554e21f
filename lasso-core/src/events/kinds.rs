//! Kinds of events besides those with a type of their own: some are shipped, and an application registers its own.
//!
//! A kind has a name, under which it travels, and a rule: whether each of its events counts, or only the newest value of a
//! state. [`EventKinds`] are the kinds that a node knows; they are part of its settings, and the same on every node.
//! [`OpenEvent`] is an event of such a kind: where it belongs, and fields by name. A node skips an event of a kind that it
//! does not know, and counts it.
//!
//! 1. A node knows at most [`KINDS_MAX`] kinds, and an event has at most [`FIELDS_MAX`] fields.
//! 2. A state names no account.
//! 3. The receiver's own rule decides, whatever the publisher's is.
//!
//! ```
//! use lasso_core::events::kinds::{EventKinds, FieldValue, KindRule, OpenEvent};
//! use lasso_core::events::routing::{RoutingEvent, publishes};
//! use lasso_core::events::topics::Segment;
//! use lasso_core::name::Label;
//!
//! let mut kinds = EventKinds::default();
//! kinds.register(Label::new("kind", "deploy")?, KindRule::Event)?;
//!
//! let (profile, chain) = (Segment::new("premium")?, Segment::new("eth")?);
//! let (source, provider) = ("lasso@10.0.0.5".parse()?, Label::new("provider", "alchemy")?);
//! let unix_ms = 1_769_248_800_000;
//! let mut event = OpenEvent::new(&kinds, "deploy", unix_ms, profile, source, chain, provider)?;
//! event.set(Label::new("field", "version")?, FieldValue::Int(7))?;
//!
//! let bytes = RoutingEvent::Open(event.clone()).encode();
//! assert_eq!(RoutingEvent::decode_by(&bytes, &kinds)?, Some(RoutingEvent::Open(event)));
//! assert_eq!(RoutingEvent::decode(&bytes)?, None, "this node knows the shipped kinds only");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::topics::Segment;
use super::{Group, Kind, StateKey};
use crate::codec::Malformed;
use crate::name::{Label, NodeName};

/// Most kinds that a node knows, the shipped ones included. A state's kind may have
/// [`states_max`](super::EventSettings::states_max) states for each stream.
pub const KINDS_MAX: usize = 64;
/// Most fields of an event.
pub const FIELDS_MAX: usize = 32;

/// A provider's standing connection came up or went down: a state of each node, by transport (`part`).
pub const PROVIDER_CONNECTION: &str = "provider_connection";
/// What a node is subscribed to at a provider: a state of each node, by subscription (`part`).
pub const SUBSCRIPTION: &str = "subscription";
/// The newest answer of a provider to a probe of its health: a state of each node, by transport (`part`).
pub const HEALTH_PROBE: &str = "health_probe";
/// How far a node follows a provider's chain: a state of each node.
pub const BLOCK_SYNC: &str = "block_sync";

/// Kinds with a type of their own, whose names are taken.
const TYPED: [&str; 4] = [
    "routing_decision",
    "circuit",
    "provider_health",
    "block_height",
];

/// Whether each event of a kind counts, or only the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KindRule {
    /// Something that happened: each is seen once, in order. One with an id is known again, see
    /// [`OpenEvent::id`].
    Event,
    /// Something that is so: of one provider, chain and `part` only the newest value is shown.
    State {
        /// Each node has a value of its own. Otherwise the nodes speak of the same, and the newest counts.
        of_node: bool,
    },
}

/// Why a kind was not registered, or an event not made. The caller's fault; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KindError {
    /// There is one of that name.
    #[error("there is a kind of event named `{0}`")]
    Taken(Label),
    /// There are as many as may be.
    #[error("`{0}` is one kind too many: a node knows at most {KINDS_MAX}")]
    TooMany(Label),
    /// It was not registered.
    #[error("no kind of event named `{0}` is registered")]
    Unknown(String),
    /// The event has as many fields as may be.
    #[error("`{0}` is one field too many: an event has at most {FIELDS_MAX}")]
    TooManyFields(Label),
}

/// The kinds that a node knows; by default those that are shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventKinds(BTreeMap<Label, KindRule>);

impl Default for EventKinds {
    fn default() -> Self {
        let shipped = [PROVIDER_CONNECTION, SUBSCRIPTION, HEALTH_PROBE, BLOCK_SYNC];
        let of_node = KindRule::State { of_node: true };
        let kinds = shipped
            .iter()
            .filter_map(|name| Label::new("kind", name).ok());
        EventKinds(kinds.map(|kind| (kind, of_node)).collect())
    }
}

impl EventKinds {
    /// Adds a kind of the application's own.
    ///
    /// # Errors
    /// [`KindError::Taken`], [`KindError::TooMany`].
    pub fn register(&mut self, kind: Label, rule: KindRule) -> Result<(), KindError> {
        if TYPED.contains(&kind.as_str()) || self.0.contains_key(&kind) {
            return Err(KindError::Taken(kind));
        }
        if self.0.len() >= KINDS_MAX {
            return Err(KindError::TooMany(kind));
        }
        self.0.insert(kind, rule);
        Ok(())
    }

    /// Whether a kind of this name is known.
    pub fn knows(&self, kind: &str) -> bool {
        self.find(kind).is_some()
    }

    /// The name and the rule of a kind, if it is known.
    fn find(&self, kind: &str) -> Option<(&Label, KindRule)> {
        // A name that is no label is that of no kind.
        let kind = Label::new("kind", kind).ok()?;
        let (kind, rule) = self.0.get_key_value(&kind)?;
        Some((kind, *rule))
    }
}

/// A value of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FieldValue {
    /// Yes or no.
    Bool(bool),
    /// A number; its unit belongs into the field's name.
    Int(i64),
    /// A short text.
    Text(Label),
}

/// An event of a kind without a type of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenEvent {
    kind: Label,
    #[serde(skip)]
    rule: KindRule,
    /// The same in every copy of an event, and in no other event; without one, nothing is taken for a copy. Of a state it
    /// means nothing.
    pub id: Option<Label>,
    /// When, by its node's wall clock, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The profile that it belongs to.
    pub profile: Segment,
    /// Whose event it is, as for a routing decision. A state has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Segment>,
    /// The node that says so.
    pub source: NodeName,
    /// That node's region.
    pub region: Label,
    /// The chain.
    pub chain: Segment,
    /// The provider, or whatever else it is about.
    pub provider: Label,
    /// A part of that with a state of its own, such as a transport.
    pub part: Option<Label>,
    fields: BTreeMap<Label, FieldValue>,
}

/// The same as it is read.
#[derive(Deserialize)]
struct Wire {
    kind: String,
    id: Option<Label>,
    unix_ms: u64,
    profile: Segment,
    account: Option<Segment>,
    source: NodeName,
    region: Label,
    chain: Segment,
    provider: Label,
    part: Option<Label>,
    #[serde(default)]
    fields: BTreeMap<Label, FieldValue>,
}

impl OpenEvent {
    /// An event of a known kind, without id, account, part and fields, in the region `unknown`.
    ///
    /// # Errors
    /// [`KindError::Unknown`].
    pub fn new(
        kinds: &EventKinds,
        kind: &str,
        unix_ms: u64,
        profile: Segment,
        source: NodeName,
        chain: Segment,
        provider: Label,
    ) -> Result<Self, KindError> {
        let found = kinds.find(kind);
        let (kind, rule) = found.ok_or_else(|| KindError::Unknown(kind.to_owned()))?;
        Ok(OpenEvent {
            kind: kind.clone(),
            rule,
            id: None,
            unix_ms,
            profile,
            account: None,
            source,
            region: Label::unknown(),
            chain,
            provider,
            part: None,
            fields: BTreeMap::new(),
        })
    }

    /// The name of its kind.
    pub fn name(&self) -> &Label {
        &self.kind
    }

    /// Its fields, by name.
    pub fn fields(&self) -> &BTreeMap<Label, FieldValue> {
        &self.fields
    }

    /// Sets a field.
    ///
    /// # Errors
    /// [`KindError::TooManyFields`].
    pub fn set(&mut self, field: Label, value: FieldValue) -> Result<(), KindError> {
        if self.fields.len() >= FIELDS_MAX && !self.fields.contains_key(&field) {
            return Err(KindError::TooManyFields(field));
        }
        self.fields.insert(field, value);
        Ok(())
    }

    pub(super) fn is_state(&self) -> bool {
        matches!(self.rule, KindRule::State { .. })
    }

    /// What it is to a stream.
    pub(super) fn kind(&self) -> Kind {
        let KindRule::State { of_node } = self.rule else {
            return Kind::Event;
        };
        Kind::State(StateKey {
            group: Group::Open(self.kind.clone()),
            subject: self.provider.clone(),
            chain: self.chain.label().clone(),
            part: self.part.clone(),
            source: of_node.then(|| self.source.clone()),
        })
    }

    /// Reads an event of a kind among these; `None` for one of another.
    pub(super) fn decode(bytes: &[u8], kinds: &EventKinds) -> Result<Option<Self>, Malformed> {
        let wire: Wire = rmp_serde::from_slice(bytes).map_err(|_| Malformed)?;
        let Some((kind, rule)) = kinds.find(&wire.kind) else {
            return Ok(None);
        };
        let event = OpenEvent {
            kind: kind.clone(),
            rule,
            id: wire.id,
            unix_ms: wire.unix_ms,
            profile: wire.profile,
            account: wire.account,
            source: wire.source,
            region: wire.region,
            chain: wire.chain,
            provider: wire.provider,
            part: wire.part,
            fields: wire.fields,
        };
        let is_fit = event.fields.len() <= FIELDS_MAX;
        let is_anonymous = !event.is_state() || event.account.is_none();
        (is_fit && is_anonymous)
            .then_some(Some(event))
            .ok_or(Malformed)
    }
}

#[cfg(test)]
mod tests;
