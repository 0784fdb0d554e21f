//! The common keys of the verbs about applications: topics, methods, amounts and paces.

use core::ops::Range;
use core::time::Duration;
use std::sync::Arc;

use lasso_core::plane::calls::METHOD_BYTES_MAX;
use lasso_core::plane::pubsub::TOPIC_BYTES_MAX;

use crate::app::{Load, PAYLOAD_MAX, PAYLOAD_MIN, Pace};
use crate::scenario::{Deed, Diagnostic, Fields, NodeId, Reader, Value};

/// Most messages or calls of one order.
const COUNT_MAX: i64 = 10_000_000;
/// Most calls of one order that are under way at once.
const IN_FLIGHT_MAX: i64 = 100_000;
/// Most topics of one order.
const TOPICS_MAX: i64 = 10_000;
/// The default size of a message, question or answer, in bytes.
pub(super) const SIZE: usize = 64;

/// The nodes under `on`.
pub(super) fn nodes(reader: &mut Reader<'_>, keys: &mut Fields<'_>) -> Option<Vec<NodeId>> {
    let value = keys.need(reader, "on")?;
    reader.nodes(value)
}

/// The keys `on`, `topic` and `topics` of `publish` and `subscribe`, each if it could be read, and then never
/// empty.
pub(super) struct About {
    pub(super) nodes: Option<Vec<NodeId>>,
    /// If there are several, the order applies to each of them.
    pub(super) topics: Option<Vec<Arc<str>>>,
    span: Range<usize>,
}

impl About {
    pub(super) fn read(reader: &mut Reader<'_>, keys: &mut Fields<'_>) -> Self {
        let nodes = nodes(reader, keys);
        let topics = topics(reader, keys);
        let span = keys.take("topic").map(|value| value.span.clone());
        let span = span.unwrap_or_else(|| keys.span());
        About {
            nodes,
            topics,
            span,
        }
    }

    /// Notes in the reader which nodes do this, under which name.
    pub(super) fn note(&self, reader: &mut Reader<'_>, deed: Deed, called: Option<&str>) {
        let (topics, nodes) = (self.topics.as_deref(), self.nodes.as_deref());
        reader.note_use(deed, topics, nodes, called, self.span.clone());
    }
}

/// The topic under `topic`; with `topics = 3000` that many of them, `topic-0` and so on.
fn topics(reader: &mut Reader<'_>, keys: &mut Fields<'_>) -> Option<Vec<Arc<str>>> {
    let value = keys.need(reader, "topic")?;
    let one = word(reader, value, "a topic", TOPIC_BYTES_MAX)?;
    let Some(value) = keys.take("topics") else {
        return Some(vec![one]);
    };
    let number = reader.integer(value, 1, TOPICS_MAX)?;
    Some((0..number).map(|i| format!("{one}-{i}").into()).collect())
}

/// The method under `method`, with a note of which nodes use it in this way.
pub(super) fn method(
    reader: &mut Reader<'_>,
    keys: &mut Fields<'_>,
    deed: Deed,
    nodes: Option<&[NodeId]>,
) -> Option<Arc<str>> {
    let value = keys.need(reader, "method");
    let method = value.and_then(|value| word(reader, value, "a method", METHOD_BYTES_MAX));
    let span = value.map_or_else(|| keys.span(), |value| value.span.clone());
    let known = method.as_ref().map(core::slice::from_ref);
    reader.note_use(deed, known, nodes, None, span);
    method
}

/// The common keys of `call` and `call_many`.
#[derive(Debug)]
pub(super) struct Calling<T> {
    pub(super) nodes: Vec<NodeId>,
    pub(super) to: T,
    pub(super) method: Arc<str>,
    pub(super) load: Load,
    pub(super) timeout: Option<Duration>,
    pub(super) size: usize,
}

impl<T> Calling<T> {
    /// Reads all of them; the verb reads `to`.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        mut keys: Fields<'_>,
        (verb, deed): (&str, Deed),
        to: impl FnOnce(&mut Reader<'_>, &Value) -> Option<T>,
    ) -> Option<Self> {
        let errors = reader.error_count();
        let nodes = nodes(reader, &mut keys);
        let at = keys.need(reader, "to");
        let to = at.and_then(|value| to(reader, value));
        let method = method(reader, &mut keys, deed, nodes.as_deref());
        let load = load(reader, &mut keys, true);
        let timeout = keys.take("timeout");
        let timeout = timeout.and_then(|value| some_time(reader, value));
        let size = size(reader, &mut keys);
        keys.finish(reader, &format!("`{verb}`"));
        if reader.error_count() > errors {
            return None;
        }
        Some(Calling {
            nodes: nodes?,
            to: to?,
            method: method?,
            load: load?,
            timeout,
            size: size?,
        })
    }
}

/// A duration that is not zero.
pub(super) fn some_time(reader: &mut Reader<'_>, value: &Value) -> Option<Duration> {
    let time = reader.duration(value)?;
    if time.is_zero() {
        let none = Diagnostic::new(value.span.clone(), "a call without any time has no answer");
        reader.error(none.label("needs to be longer"));
        return None;
    }
    Some(time)
}

pub(super) fn word(
    reader: &mut Reader<'_>,
    value: &Value,
    what: &str,
    max: usize,
) -> Option<Arc<str>> {
    let text = reader.text(value)?;
    if (1..=max).contains(&text.len()) {
        return Some(text.into());
    }
    let message = format!("{what} has 1 to {max} bytes; this one has {}", text.len());
    reader.error(Diagnostic::new(value.span.clone(), message).label("here"));
    None
}

/// The size under `size`, of a message, a question or an answer.
pub(super) fn size(reader: &mut Reader<'_>, keys: &mut Fields<'_>) -> Option<usize> {
    let value = keys.take("size");
    value.map_or(Some(SIZE), |value| {
        reader.bytes(value, PAYLOAD_MIN, PAYLOAD_MAX)
    })
}

/// Reads `count`, `rate`, `for` and, if allowed, `at_once`: the amount and the pace. By default one.
pub(super) fn load(
    reader: &mut Reader<'_>,
    keys: &mut Fields<'_>,
    may_be_at_once: bool,
) -> Option<Load> {
    let errors = reader.error_count();
    let (count, lasts) = (keys.take("count"), keys.take("for"));
    let (rate, at_once) = (
        keys.take("rate"),
        may_be_at_once.then(|| keys.take("at_once")).flatten(),
    );
    if let (Some(_), Some(value)) = (count, lasts) {
        clash(reader, value, "`count` and `for` both say when it is over");
    }
    if let (Some(_), Some(value)) = (rate, at_once) {
        clash(reader, value, "`rate` and `at_once` both set the pace");
    }
    let pace = match (rate, at_once) {
        (Some(value), _) => reader.rate(value).map(Pace::Rate),
        (None, Some(value)) => reader
            .integer(value, 1, IN_FLIGHT_MAX)
            .map(|number| Pace::InFlight(number as u32)),
        (None, None) => Some(Pace::Burst),
    };
    if let (Some(value), None, None) = (lasts, rate, at_once) {
        clash(reader, value, "`for` means nothing without a pace");
    }
    if let (Some(value), None, None) = (rate.or(at_once), count, lasts) {
        clash(
            reader,
            value,
            "this has a pace and no end: it needs `count` or `for`",
        );
    }
    let lasts = lasts.map(|value| reader.duration(value));
    let count = count.map(|value| reader.integer(value, 1, COUNT_MAX));
    if reader.error_count() > errors {
        return None;
    }
    let count = count.flatten().map(|count| count as u64);
    let lasts = lasts.flatten();
    let one = (count.is_none() && lasts.is_none()).then_some(1);
    Some(Load {
        pace: pace?,
        count: count.or(one),
        lasts,
    })
}

fn clash(reader: &mut Reader<'_>, value: &Value, message: &str) {
    reader.error(Diagnostic::new(value.span.clone(), message).label("here"));
}

/// Topics in words, for a trace.
pub(super) fn show_topics(topics: &[Arc<str>]) -> String {
    match topics {
        [one] => one.to_string(),
        [first, .., last] => format!("{first} to {last}"),
        [] => String::new(),
    }
}

/// A load in words, for a trace.
pub(super) fn show(load: &Load) -> String {
    use crate::scenario::show_duration;
    let many = match (load.count, load.lasts) {
        (Some(count), _) => format!("{count} times"),
        (None, Some(lasts)) => format!("for {}", show_duration(lasts)),
        (None, None) => String::new(),
    };
    match load.pace {
        Pace::Burst => many,
        Pace::Rate(rate) => format!("{many}, {} per {}", rate.number, show_duration(rate.unit)),
        Pace::InFlight(number) => format!("{many}, {number} at once"),
    }
}
