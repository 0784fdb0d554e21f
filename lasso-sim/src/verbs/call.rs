//! `call`: applications call a method of one node: `call = { on = "a", to = "b", method = "sum" }`,
//! `call = { on = "a", to = "b", method = "sum", at_once = 64, for = "10s", timeout = "1s" }`.

use super::loads::{self, Calling};
use super::{Entry, Verb, keys};
use crate::app::{Call, Order};
use crate::scenario::{Deed, NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "call",
    summary: "makes applications call a method of one node",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Calls(Calling<NodeId>);

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let wanted = "a table such as `{ on = \"a\", to = \"b\", method = \"sum\" }`";
    let keys = reader.fields(value, wanted)?;
    let to = |reader: &mut Reader<'_>, value: &Value| reader.node(value);
    let calling = Calling::read(reader, keys, ("call", Deed::Call), to)?;
    Some(Box::new(Calls(calling)))
}

impl Verb for Calls {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::App]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        let calling = &self.0;
        let order = Order::Call(Call {
            to: world.spec(calling.to).name(),
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
        let to = &scenario.node(calling.to).key;
        let load = loads::show(&calling.load);
        format!("{nodes} call {} of {to} {load}", calling.method)
    }
}
