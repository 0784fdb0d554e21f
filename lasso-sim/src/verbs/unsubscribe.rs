//! `unsubscribe`: applications end their subscriptions to a topic: `unsubscribe = { on = "a", topic = "prices"
//! }`, with `called = "slow"` only those of that name.

use std::sync::Arc;

use super::{Entry, Verb, keys, loads};
use crate::app::Order;
use crate::scenario::{Deed, NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "unsubscribe",
    summary: "makes applications end their subscriptions to a topic",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Unsubscribes {
    nodes: Vec<NodeId>,
    topic: Arc<str>,
    called: Option<String>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let wanted = "a table such as `{ on = \"a\", topic = \"prices\" }`";
    let mut keys = reader.fields(value, wanted)?;
    let nodes = loads::nodes(reader, &mut keys);
    reader.about(keys.take("on"));
    let topic = keys.need(reader, "topic");
    let topic = topic.and_then(|value| reader.used(value, Deed::Subscribe));
    let called = keys.take("called");
    let called = called.map(|value| reader.used_name(value, topic.as_deref()));
    keys.finish(reader, "`unsubscribe`");
    Some(Box::new(Unsubscribes {
        nodes: nodes?,
        topic: topic?.into(),
        called: match called {
            None => None,
            Some(called) => Some(called?),
        },
    }))
}

impl Verb for Unsubscribes {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::App]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        let order = Order::Unsubscribe {
            topic: Arc::clone(&self.topic),
            name: self.called.clone(),
        };
        self.nodes
            .iter()
            .try_for_each(|node| world.order(*node, &order))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        format!(
            "{} unsubscribe from {}",
            keys(scenario, &self.nodes),
            self.topic
        )
    }
}
