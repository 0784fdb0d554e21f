//! `call_many`: applications call a method of many nodes at once: `call_many = { on = "a", to = "linked",
//! method = "sum" }` for all nodes linked at that moment and the node itself, `call_many = { on = "a", to =
//! ["b", "c"], method = "sum" }` for nodes of the file, running or not.

use super::loads::{self, Calling};
use super::{Entry, Verb, keys};
use crate::app::{CallMany, Order};
use crate::scenario::{Deed, Kind, NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "call_many",
    summary: "makes applications call a method of many nodes at once",
    ranges: &[],
    parse,
};

/// The receivers; `None`: all linked nodes.
#[derive(Debug)]
struct CallsMany(Calling<Option<Vec<NodeId>>>);

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let wanted = "a table such as `{ on = \"a\", to = \"linked\", method = \"sum\" }`";
    let keys = reader.fields(value, wanted)?;
    let to = |reader: &mut Reader<'_>, value: &Value| match &value.kind {
        Kind::Text(text) if text == "linked" => Some(None),
        _ => reader.nodes(value).map(Some),
    };
    let calling = Calling::read(reader, keys, ("call_many", Deed::CallMany), to)?;
    Some(Box::new(CallsMany(calling)))
}

impl Verb for CallsMany {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::App]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        let name = |node: &NodeId| world.spec(*node).name();
        let calling = &self.0;
        let to = calling.to.as_ref();
        let order = Order::CallMany(CallMany {
            to: to.map(|nodes| nodes.iter().map(name).collect()),
            method: calling.method.clone(),
            load: calling.load,
            timeout: calling.timeout,
            size: calling.size,
        });
        let mut nodes = calling.nodes.iter();
        nodes.try_for_each(|node| world.order(*node, &order))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let calling = &self.0;
        let nodes = keys(scenario, &calling.nodes);
        let to = calling.to.as_ref().map_or_else(
            || "everybody linked".to_owned(),
            |nodes| keys(scenario, nodes),
        );
        let load = loads::show(&calling.load);
        format!("{nodes} call {} of {to} {load}", calling.method)
    }
}
