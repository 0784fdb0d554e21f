//! `subscribe`: applications subscribe to a topic, for as long as their processes live:
//! `subscribe = { on = "a", topic = "prices" }`,
//! `subscribe = { on = "a", topic = "prices", called = "slow", queue = 16, reads = "10/s" }`.

use std::sync::Arc;

use super::loads::{self, About};
use super::{Entry, Verb, keys};
use crate::app::{Order, Reads, Subscribe};
use crate::scenario::{Deed, Kind, NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "subscribe",
    summary: "makes applications subscribe to a topic and read at once, never, or at a pace",
    ranges: &[],
    parse,
};

/// Most subscribers of one order.
const COUNT_MAX: i64 = 10_000;
/// Longest queue.
const QUEUE_MAX: i64 = 1 << 20;

#[derive(Debug)]
struct Subscribes {
    nodes: Vec<NodeId>,
    /// If there are several, the order applies to each of them.
    topics: Vec<Arc<str>>,
    what: Subscribe,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let wanted = "a table such as `{ on = \"a\", topic = \"prices\" }`";
    let mut keys = reader.fields(value, wanted)?;
    let errors = reader.error_count();
    let about = About::read(reader, &mut keys);
    let first = about.topics.as_deref().and_then(<[_]>::first).cloned();
    let called = keys.take("called").map(|value| reader.text(value));
    let called = called.unwrap_or(first.as_deref());
    about.note(reader, Deed::Subscribe, called);
    let queue = keys.take("queue");
    let queue = queue.and_then(|value| reader.integer(value, 1, QUEUE_MAX));
    let count = keys.take("count");
    let count = count.map_or(Some(1), |value| reader.integer(value, 1, COUNT_MAX));
    let reads = keys.take("reads");
    let reads = reads.map_or(Some(Reads::AtOnce), |value| read_reads(value, reader));
    keys.finish(reader, "`subscribe`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Box::new(Subscribes {
        nodes: about.nodes?,
        topics: about.topics?,
        what: Subscribe {
            name: called?.to_owned(),
            topic: first?,
            queue: queue.map(|queue| queue as usize),
            count: count? as u32,
            reads: reads?,
        },
    }))
}

pub(super) fn read_reads(value: &Value, reader: &mut Reader<'_>) -> Option<Reads> {
    if matches!(&value.kind, Kind::Text(text) if text.contains('/')) {
        return reader.rate(value).map(Reads::Paced);
    }
    match &value.kind {
        Kind::Text(text) if text == "at once" => Some(Reads::AtOnce),
        Kind::Text(text) if text == "never" => Some(Reads::Never),
        _ => reader.wrong(value, "`at once`, `never` or a rate such as `10/s`"),
    }
}

impl Verb for Subscribes {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::App]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        for topic in &self.topics {
            let order = Order::Subscribe(Subscribe {
                topic: Arc::clone(topic),
                ..self.what.clone()
            });
            let mut nodes = self.nodes.iter();
            nodes.try_for_each(|node| world.order(*node, &order))?;
        }
        Ok(())
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let (what, nodes) = (&self.what, keys(scenario, &self.nodes));
        let topics = loads::show_topics(&self.topics);
        format!("{nodes} subscribe to {topics} {} times", what.count)
    }
}
