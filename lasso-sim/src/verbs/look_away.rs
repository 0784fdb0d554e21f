//! `look_away`: applications close the viewers of one name:
//! `look_away = { on = "a", called = "desk" }`.

use super::{Entry, Verb, keys, loads};
use crate::app::Order;
use crate::scenario::{Deed, NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "look_away",
    summary: "makes applications close their viewers of one name",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct LooksAway {
    nodes: Vec<NodeId>,
    name: String,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let wanted = "a table such as `{ on = \"a\", called = \"desk\" }`";
    let mut keys = reader.fields(value, wanted)?;
    let nodes = loads::nodes(reader, &mut keys);
    reader.about(keys.take("on"));
    let called = keys.need(reader, "called");
    let called = called.and_then(|value| reader.used(value, Deed::View));
    keys.finish(reader, "`look_away`");
    Some(Box::new(LooksAway {
        nodes: nodes?,
        name: called?,
    }))
}

impl Verb for LooksAway {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::App]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        let name = self.name.clone();
        let order = Order::LookAway { name };
        let mut nodes = self.nodes.iter();
        nodes.try_for_each(|node| world.order(*node, &order))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let nodes = keys(scenario, &self.nodes);
        format!("{nodes} close their viewers `{}`", self.name)
    }
}
