//! `call`: applications call a method of one node: `call = { on = "a", to = "b", method = "sum" }`,
//! `call = { on = "a", to = "b", method = "sum", at_once = 64, for = "10s", timeout = "1s" }`.

use super::{Entry, Verb, keys, loads};
use crate::app::{Call, Order};
use crate::scenario::{NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "call",
    summary: "lets applications call a method of one node",
    parse,
};

#[derive(Debug)]
struct Calls {
    nodes: Vec<NodeId>,
    to: NodeId,
    method: std::sync::Arc<str>,
    load: crate::app::Load,
    timeout: Option<core::time::Duration>,
    size: usize,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let wanted = "a table such as `{ on = \"a\", to = \"b\", method = \"sum\" }`";
    let mut keys = reader.fields(value, wanted)?;
    let errors = reader.error_count();
    let nodes = keys
        .need(reader, "on")
        .and_then(|value| reader.nodes(value));
    let to = keys.need(reader, "to").and_then(|value| reader.node(value));
    let method = loads::method(reader, &mut keys);
    if let Some(method) = &method {
        reader.methods.insert(method.to_string());
    }
    let load = loads::load(reader, &mut keys, true);
    let timeout = keys
        .take("timeout")
        .and_then(|value| reader.duration(value));
    let size = loads::size(reader, &mut keys);
    keys.finish(reader, "`call`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Box::new(Calls {
        nodes: nodes?,
        to: to?,
        method: method?,
        load: load?,
        timeout,
        size: size?,
    }))
}

impl Verb for Calls {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::App]
    }

    fn apply(&self, scenario: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        let order = Order::Call(Call {
            to: scenario.node(self.to).name(),
            method: self.method.clone(),
            load: self.load,
            timeout: self.timeout,
            size: self.size,
        });
        self.nodes
            .iter()
            .try_for_each(|node| world.order(*node, &order))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let (nodes, to) = (keys(scenario, &self.nodes), &scenario.node(self.to).key);
        let load = loads::show(&self.load);
        format!("{nodes} call {} of {to} {load}", self.method)
    }
}
