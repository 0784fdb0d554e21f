//! `vanish`: a machine that loses power: `vanish = "b"`.

use super::{Entry, Verb, keys};
use crate::scenario::{NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "vanish",
    summary: "ends processes and machines at once; nobody closes their connections",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Vanish {
    nodes: Vec<NodeId>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    Some(Box::new(Vanish {
        nodes: reader.nodes(value)?,
    }))
}

impl Verb for Vanish {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Process]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        self.nodes.iter().try_for_each(|node| world.vanish(*node))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        format!("vanish {}", keys(scenario, &self.nodes))
    }
}
