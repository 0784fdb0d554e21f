//! `crash`: a process that dies while its machine lives: `crash = "b"`.

use super::{Entry, Verb, keys};
use crate::scenario::{NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "crash",
    summary: "ends processes at once; their kernel lives and closes their connections",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Crash {
    nodes: Vec<NodeId>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    Some(Box::new(Crash {
        nodes: reader.nodes(value)?,
    }))
}

impl Verb for Crash {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Process]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        self.nodes.iter().try_for_each(|node| world.crash(*node))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        format!("crash {}", keys(scenario, &self.nodes))
    }
}
