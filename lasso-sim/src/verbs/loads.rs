//! What the verbs about applications have in common: topics, methods, how many and how fast.

use std::sync::Arc;

use lasso_core::plane::calls::METHOD_BYTES_MAX;
use lasso_core::plane::pubsub::TOPIC_BYTES_MAX;

use crate::app::{Load, PAYLOAD_MAX, PAYLOAD_MIN, Pace};
use crate::scenario::{Diagnostic, Fields, Reader, Value};

/// Most messages or calls of one order.
const COUNT_MAX: i64 = 10_000_000;
/// Most calls of one order that are under way at once.
const IN_FLIGHT_MAX: i64 = 100_000;
/// Most topics of one order.
const TOPICS_MAX: i64 = 10_000;
/// Bytes of a message, question or answer that no file says.
pub(super) const SIZE: usize = 64;

/// The topic under `topic`.
pub(super) fn topic(reader: &mut Reader<'_>, keys: &mut Fields<'_>) -> Option<Arc<str>> {
    let value = keys.need(reader, "topic")?;
    let topic = word(reader, value, "a topic", TOPIC_BYTES_MAX)?;
    reader.topics.insert(topic.to_string());
    Some(topic)
}

/// The topic under `topic`; with `topics = 3000` that many of them, `topic-0` and so on.
pub(super) fn topics(reader: &mut Reader<'_>, keys: &mut Fields<'_>) -> Option<Vec<Arc<str>>> {
    let one = topic(reader, keys)?;
    let Some(value) = keys.take("topics") else {
        return Some(vec![one]);
    };
    let number = reader.integer(value, 1, TOPICS_MAX)?;
    let topics: Vec<Arc<str>> = (0..number).map(|i| format!("{one}-{i}").into()).collect();
    reader.topics.extend(topics.iter().map(ToString::to_string));
    Some(topics)
}

/// The method under `method`.
pub(super) fn method(reader: &mut Reader<'_>, keys: &mut Fields<'_>) -> Option<Arc<str>> {
    let value = keys.need(reader, "method")?;
    word(reader, value, "a method", METHOD_BYTES_MAX)
}

fn word(reader: &mut Reader<'_>, value: &Value, what: &str, max: usize) -> Option<Arc<str>> {
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

/// `count`, `rate`, `for` and, where `at_once` may be said, that: how many, and how fast. Without
/// any of them one.
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
