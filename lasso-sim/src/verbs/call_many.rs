//! `call_many`: applications call a method of many nodes at once:
//! `call_many = { on = "a", to = "linked", method = "sum" }` for whoever is linked at that moment and
//! the node itself, `call_many = { on = "a", to = ["b", "c"], method = "sum" }` for nodes of the file,
//! there or not.

use super::{Entry, Verb, keys, loads};
use crate::app::{CallMany, Order};
use crate::scenario::{Kind, NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "call_many",
    summary: "lets applications call a method of many nodes at once",
    parse,
};

#[derive(Debug)]
struct CallsMany {
    nodes: Vec<NodeId>,
    /// `None`: whoever is linked.
    to: Option<Vec<NodeId>>,
    method: std::sync::Arc<str>,
    load: crate::app::Load,
    timeout: Option<core::time::Duration>,
    size: usize,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let wanted = "a table such as `{ on = \"a\", to = \"linked\", method = \"sum\" }`";
    let mut keys = reader.fields(value, wanted)?;
    let errors = reader.error_count();
    let nodes = keys
        .need(reader, "on")
        .and_then(|value| reader.nodes(value));
    let to = keys.need(reader, "to").and_then(|value| {
        if matches!(&value.kind, Kind::Text(text) if text == "linked") {
            return Some(None);
        }
        reader.nodes(value).map(Some)
    });
    let method = loads::method(reader, &mut keys);
    if let Some(method) = &method {
        reader.methods.insert(method.to_string());
    }
    let load = loads::load(reader, &mut keys, true);
    let timeout = keys
        .take("timeout")
        .and_then(|value| reader.duration(value));
    let size = loads::size(reader, &mut keys);
    keys.finish(reader, "`call_many`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Box::new(CallsMany {
        nodes: nodes?,
        to: to?,
        method: method?,
        load: load?,
        timeout,
        size: size?,
    }))
}

impl Verb for CallsMany {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::App]
    }

    fn apply(&self, scenario: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        let name = |node: &NodeId| scenario.node(*node).name();
        let order = Order::CallMany(CallMany {
            to: self
                .to
                .as_ref()
                .map(|nodes| nodes.iter().map(name).collect()),
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
        let nodes = keys(scenario, &self.nodes);
        let to = self.to.as_ref().map_or_else(
            || "everybody linked".to_owned(),
            |nodes| keys(scenario, nodes),
        );
        let load = loads::show(&self.load);
        format!("{nodes} call {} of {to} {load}", self.method)
    }
}
