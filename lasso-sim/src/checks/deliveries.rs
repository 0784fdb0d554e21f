//! `delivered`, `in_order`, `missed`: the messages that subscribers of the node's application have got, and
//! were told that they missed: `delivered = { topic = "prices", from = "a", count = 100 }`, `in_order = { topic
//! = "prices" }`, `missed = { topic = "prices", called = "slow", count = 84 }`. Each subscriber of the topic
//! (and of that name) has to satisfy it. Several such tables in a list must all hold.

use std::collections::BTreeMap;

use lasso_core::name::NodeName;

use super::tables::{Window, all_of};
use super::{Check, Entry, Mismatch, Observed, amount_within};
use crate::app::{GotLog, SubscriberLog};
use crate::scenario::{Amount, Deed, Fields, NodeId, Reader, Value};

pub(super) const DELIVERED: Entry = Entry {
    key: "delivered",
    summary: "how many messages each subscriber of a topic has got",
    absent: false,
    parse: |value, reader| several(value, reader, Of::Delivered),
};

pub(super) const IN_ORDER: Entry = Entry {
    key: "in_order",
    summary: "each subscriber of a topic has got messages, and those of each publisher in order",
    absent: false,
    parse: |value, reader| several(value, reader, Of::InOrder),
};

pub(super) const MISSED: Entry = Entry {
    key: "missed",
    summary: "how many messages each subscriber of a topic was told that it missed",
    absent: false,
    parse: |value, reader| several(value, reader, Of::Missed),
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Delivered,
    InOrder,
    Missed,
}

/// The selected subscribers, and the selected messages.
#[derive(Debug)]
pub(super) struct Chosen {
    topic: String,
    called: Option<String>,
    from: Option<Vec<NodeId>>,
}

#[derive(Debug)]
struct Deliveries {
    of: Of,
    chosen: Chosen,
    window: Window,
    count: Option<Amount>,
}

fn several(value: &Value, reader: &mut Reader<'_>, of: Of) -> Option<Box<dyn Check>> {
    all_of(value, reader, |value, reader| read(value, reader, of))
}

fn read(value: &Value, reader: &mut Reader<'_>, of: Of) -> Option<Deliveries> {
    let form = "a table such as `{ topic = \"prices\", count = 100 }`";
    let mut keys = reader.fields(value, form)?;
    let errors = reader.error_count();
    let chosen = Chosen::read(&mut keys, reader, of != Of::Missed);
    let window = Window::read(&mut keys, reader);
    let count = match of {
        Of::InOrder => None,
        Of::Delivered | Of::Missed => keys
            .need(reader, "count")
            .and_then(|v| amount_within(v, reader, 0, usize::MAX)),
    };
    keys.finish(reader, "this check");
    if reader.error_count() > errors {
        return None;
    }
    Some(Deliveries {
        of,
        chosen: chosen?,
        window,
        count,
    })
}

impl Chosen {
    pub(super) fn read(
        keys: &mut Fields<'_>,
        reader: &mut Reader<'_>,
        may_have_from: bool,
    ) -> Option<Self> {
        let topic = keys.need(reader, "topic");
        let topic = topic.and_then(|value| reader.used(value, Deed::Subscribe));
        let called = keys.take("called");
        let called = called.map(|value| reader.used_name(value, topic.as_deref()));
        let from = if may_have_from {
            keys.take("from")
        } else {
            None
        };
        if let (Some(topic), Some(from)) = (&topic, from) {
            reader.needs_sources(topic, from);
        }
        let from = from.map(|value| reader.nodes(value));
        Some(Chosen {
            topic: topic?,
            called: match called {
                None => None,
                Some(called) => Some(called?),
            },
            from: match from {
                None => None,
                Some(from) => Some(from?),
            },
        })
    }

    /// The selected subscribers, at least one.
    pub(super) fn subscribers<'a>(
        &self,
        observed: &Observed<'a>,
        expected: impl FnOnce() -> String,
    ) -> Result<Vec<&'a SubscriberLog>, Mismatch> {
        let is_meant = |subscriber: &&SubscriberLog| {
            let called = self.called.as_ref();
            *subscriber.topic == *self.topic && called.is_none_or(|name| *name == subscriber.name)
        };
        let all = observed.app.subscribers.values();
        let found: Vec<&SubscriberLog> = all.filter(is_meant).collect();
        let broken = found.iter().find_map(|subscriber| subscriber.error.clone());
        let seen = match (found.is_empty(), broken) {
            (true, _) => "there is no such subscriber".to_owned(),
            (_, Some(error)) => format!("a subscriber could not subscribe: {error}"),
            _ => return Ok(found),
        };
        Err(Mismatch {
            expected: expected(),
            seen,
        })
    }

    /// The messages of a subscriber from the selected nodes.
    pub(super) fn messages<'a>(
        &self,
        observed: &Observed<'_>,
        subscriber: &'a SubscriberLog,
    ) -> impl Iterator<Item = &'a GotLog> + use<'a> {
        let wanted: Option<Vec<NodeName>> = self
            .from
            .as_ref()
            .map(|nodes| nodes.iter().map(|node| observed.name(*node)).collect());
        let sources = subscriber.sources.iter();
        let chosen: Vec<bool> = sources
            .map(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted.contains(name)))
            .collect();
        let messages = subscriber.got.iter();
        messages.filter(move |got| chosen[got.source as usize])
    }

    /// Whether every message is selected.
    fn is_all(&self) -> bool {
        self.from.is_none()
    }

    /// In words: `on prices from a, called slow`.
    pub(super) fn show(&self, observed: &Observed<'_>) -> String {
        let mut text = format!("on {}", self.topic);
        if let Some(nodes) = &self.from {
            let names: Vec<NodeName> = nodes.iter().map(|node| observed.name(*node)).collect();
            text = format!("{text} from {}", observed.keys(&names));
        }
        match &self.called {
            Some(name) => format!("{text} by `{name}`"),
            None => text,
        }
    }
}

impl Deliveries {
    fn describe(&self, observed: &Observed<'_>) -> String {
        let chosen = self.chosen.show(observed);
        let mut text = match self.of {
            Of::Delivered => format!("messages {chosen}"),
            Of::InOrder => format!("messages {chosen} in order, and some"),
            Of::Missed => format!("messages reported as missed {chosen}"),
        };
        text = format!("{text}{}", self.window);
        match &self.count {
            Some(count) => format!("number of {text} {count}"),
            None => text,
        }
    }

    fn count(&self, observed: &Observed<'_>, subscriber: &SubscriberLog) -> usize {
        match self.of {
            Of::Missed => {
                let reports = subscriber.missed.iter();
                let reports = reports.filter(|(at, _)| self.window.contains(*at));
                let sum: u64 = reports.map(|(_, count)| *count).sum();
                usize::try_from(sum).unwrap_or(usize::MAX)
            }
            _ if self.chosen.is_all() && self.window.is_all() => subscriber.got.len(),
            _ => {
                let messages = self.chosen.messages(observed, subscriber);
                messages.filter(|got| self.window.contains(got.at)).count()
            }
        }
    }

    /// The first message that arrived after one published later.
    fn disorder(&self, observed: &Observed<'_>, subscriber: &SubscriberLog) -> Option<String> {
        let mut last: BTreeMap<u32, u64> = BTreeMap::new();
        let mut any = false;
        for got in self.chosen.messages(observed, subscriber) {
            if !self.window.contains(got.at) {
                continue;
            }
            any = true;
            let before = last.insert(got.source, got.tag).unwrap_or(0);
            if got.tag <= before {
                let from = &subscriber.sources[got.source as usize].0;
                let from = observed.key_of(from);
                return Some(format!(
                    "{} after {before} of {from} at {}",
                    got.tag, got.at
                ));
            }
        }
        (!any).then(|| "none".to_owned())
    }
}

impl Check for Deliveries {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let expected = || self.describe(observed);
        for subscriber in self.chosen.subscribers(observed, expected)? {
            let seen = match &self.count {
                None => self.disorder(observed, subscriber),
                Some(amount) => {
                    let count = self.count(observed, subscriber);
                    (!amount.contains(count)).then(|| count.to_string())
                }
            };
            if let Some(seen) = seen {
                return Err(Mismatch {
                    expected: expected(),
                    seen,
                });
            }
        }
        Ok(())
    }
}
