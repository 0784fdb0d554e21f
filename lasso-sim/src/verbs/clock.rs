//! `clock`: the wall clock of a node jumps: `clock = { on = "a", jump = "-1h" }`. Time-outs do not
//! run by the wall clock; incarnations do.

use super::{Entry, Verb, keys};
use crate::scenario::{NodeId, Reader, Scenario, Value, offset_ms};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "clock",
    summary: "moves the wall clocks of nodes, forward or back",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Clock {
    nodes: Vec<NodeId>,
    millis: i64,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let mut keys = reader.fields(value, "a table such as `{ on = \"a\", jump = \"-1h\" }`")?;
    let nodes = keys
        .need(reader, "on")
        .and_then(|value| reader.nodes(value));
    let millis = keys
        .need(reader, "jump")
        .and_then(|value| offset_ms(reader, value));
    keys.finish(reader, "`clock`");
    Some(Box::new(Clock {
        nodes: nodes?,
        millis: millis?,
    }))
}

impl Verb for Clock {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Clock]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        self.nodes
            .iter()
            .try_for_each(|node| world.jump_clock(*node, self.millis))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        format!(
            "clock of {} jumps by {} ms",
            keys(scenario, &self.nodes),
            self.millis
        )
    }
}
