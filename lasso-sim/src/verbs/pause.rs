//! `pause`: a frozen process: `pause = "b"`.

use super::{Entry, Verb, keys};
use crate::scenario::{NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "pause",
    summary: "freezes processes; their kernel goes on taking connections and bytes",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Pause {
    nodes: Vec<NodeId>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    Some(Box::new(Pause {
        nodes: reader.nodes(value)?,
    }))
}

impl Verb for Pause {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Pause]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        self.nodes.iter().try_for_each(|node| world.pause(*node))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        format!("pause {}", keys(scenario, &self.nodes))
    }
}
