//! `restart`: processes that die and start again at the same moment: `restart = "b"`.

use super::{Entry, Verb, keys};
use crate::scenario::{NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "restart",
    summary: "crashes nodes and starts them again at the same moment, as they were",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Restart {
    nodes: Vec<NodeId>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    Some(Box::new(Restart {
        nodes: reader.nodes(value)?,
    }))
}

impl Verb for Restart {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Process]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        self.nodes.iter().try_for_each(|node| world.crash(*node))?;
        self.nodes.iter().try_for_each(|node| {
            let spec = world.spec(*node).clone();
            world.start(*node, &spec)
        })
    }

    fn describe(&self, scenario: &Scenario) -> String {
        format!("restart {}", keys(scenario, &self.nodes))
    }
}
