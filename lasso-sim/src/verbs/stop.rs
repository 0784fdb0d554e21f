//! `stop`: a graceful stop: `stop = "b"`.

use super::{Entry, Verb, keys};
use crate::scenario::{NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "stop",
    summary: "tells nodes to say goodbye and stop",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Stop {
    nodes: Vec<NodeId>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    Some(Box::new(Stop {
        nodes: reader.nodes(value)?,
    }))
}

impl Verb for Stop {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Process]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        self.nodes.iter().try_for_each(|node| world.stop(*node))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        format!("stop {}", keys(scenario, &self.nodes))
    }
}
