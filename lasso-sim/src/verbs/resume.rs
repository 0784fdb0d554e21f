//! `resume`: the end of `pause`: `resume = "b"`.

use super::{Entry, Verb, keys};
use crate::scenario::{NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "resume",
    summary: "thaws frozen processes",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Resume {
    nodes: Vec<NodeId>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    Some(Box::new(Resume {
        nodes: reader.nodes(value)?,
    }))
}

impl Verb for Resume {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Pause]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        self.nodes.iter().try_for_each(|node| world.resume(*node))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        format!("resume {}", keys(scenario, &self.nodes))
    }

    fn must_take_effect(&self) -> bool {
        false
    }
}
