//! `serve`: applications serve a method: `serve = { on = "all", method = "sum" }`, `serve = { on = "b", method
//! = "sum", takes = "10ms..50ms", rejects = "5%", panics = "1%" }`. This replaces how the method was served
//! before.

use core::time::Duration;
use std::sync::Arc;

use super::{Entry, Verb, keys, loads};
use crate::app::{Order, Serve};
use crate::scenario::{Deed, Diagnostic, NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "serve",
    summary: "makes applications serve a method, promptly or slowly, with refusals or panics",
    ranges: &["takes"],
    parse,
};

#[derive(Debug)]
struct Serves {
    nodes: Vec<NodeId>,
    what: Serve,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let wanted = "a table such as `{ on = \"all\", method = \"sum\" }`";
    let mut keys = reader.fields(value, wanted)?;
    let errors = reader.error_count();
    let nodes = loads::nodes(reader, &mut keys);
    let method = loads::method(reader, &mut keys, Deed::Serve, nodes.as_deref());
    let takes = keys
        .take("takes")
        .map_or(Some((Duration::ZERO, Duration::ZERO)), |value| {
            reader.duration_range(value)
        });
    let panics_at = keys.take("panics");
    let panics = panics_at.map_or(Some(0), |value| reader.share(value));
    let rejects = keys.take("rejects");
    let rejects = rejects.map_or(Some(0), |value| reader.share(value));
    let size = loads::size(reader, &mut keys);
    if let (Some(value), Some(panics), Some(rejects)) = (panics_at, panics, rejects)
        && panics + rejects > 1_000_000
    {
        let more = Diagnostic::new(
            value.span.clone(),
            "`panics` and `rejects` are more than all",
        );
        reader.error(more.label("here"));
    }
    keys.finish(reader, "`serve`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Box::new(Serves {
        nodes: nodes?,
        what: Serve {
            method: method?,
            takes: takes?,
            panics_ppm: panics?,
            rejects_ppm: rejects?,
            size: size?,
        },
    }))
}

impl Verb for Serves {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::App]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        let order = Order::Serve(self.what.clone());
        self.nodes
            .iter()
            .try_for_each(|node| world.order(*node, &order))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let method: &Arc<str> = &self.what.method;
        format!("{} serve {method}", keys(scenario, &self.nodes))
    }
}
