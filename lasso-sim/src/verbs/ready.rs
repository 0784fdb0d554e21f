//! `ready`: applications report that they are ready, or no longer ready: `ready = { on = "a", is = false }`.

use super::{Entry, Verb, keys};
use crate::scenario::{NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "ready",
    summary: "makes applications report that they are ready, or no longer",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Ready {
    nodes: Vec<NodeId>,
    ready: bool,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let mut keys = reader.fields(value, "a table such as `{ on = \"a\", is = false }`")?;
    let nodes = keys
        .need(reader, "on")
        .and_then(|value| reader.nodes(value));
    let ready = keys.need(reader, "is").and_then(|value| reader.flag(value));
    keys.finish(reader, "`ready`");
    Some(Box::new(Ready {
        nodes: nodes?,
        ready: ready?,
    }))
}

impl Verb for Ready {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Process]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        self.nodes
            .iter()
            .try_for_each(|node| world.set_ready(*node, self.ready))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        format!("ready {} = {}", keys(scenario, &self.nodes), self.ready)
    }
}
