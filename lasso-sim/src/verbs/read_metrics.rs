//! `read_metrics`: applications read the cluster's leaderboard of a chain: `read_metrics = { on = "a", page =
//! "board" }`, `read_metrics = { on = "a", page = "board", rate = "100/s", for = "5m" }`, and if there is no
//! answer yet, `wait = "6s"` waits for the first one.

use core::time::Duration;

use lasso_core::metrics::recorder::NAME_BYTES_MAX;

use super::{Entry, Verb, keys, loads, record};
use crate::app::{Order, ReadPage};
use crate::scenario::{Deed, NodeId, Reader, Scenario, Value, show_duration};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "read_metrics",
    summary: "makes applications read the cluster's metrics of a chain, at once or waiting for them",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Reads {
    nodes: Vec<NodeId>,
    what: ReadPage,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let wanted = "a table such as `{ on = \"a\", page = \"board\" }`";
    let mut keys = reader.fields(value, wanted)?;
    let errors = reader.error_count();
    let nodes = loads::nodes(reader, &mut keys);
    let named = keys.need(reader, "page");
    let page = named.and_then(|value| loads::word(reader, value, "a page", NAME_BYTES_MAX));
    let span = named.map_or(keys.span(), |value| value.span.clone());
    let pages = page.as_ref().map(core::slice::from_ref);
    reader.note_use(Deed::ReadMetrics, pages, nodes.as_deref(), None, span);
    let chain = record::chain(reader, &mut keys);
    let wait: Option<Option<Duration>> = keys.take("wait").map_or(Some(None), |value| {
        loads::some_time(reader, value).map(Some)
    });
    let load = loads::load(reader, &mut keys, true);
    keys.finish(reader, "`read_metrics`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Box::new(Reads {
        nodes: nodes?,
        what: ReadPage {
            page: page?,
            chain: chain?,
            load: load?,
            wait: wait?,
        },
    }))
}

impl Verb for Reads {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::App]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        let order = Order::ReadPage(self.what.clone());
        let mut nodes = self.nodes.iter();
        nodes.try_for_each(|node| world.order(*node, &order))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let (what, nodes) = (&self.what, keys(scenario, &self.nodes));
        let wait = what.wait.map_or(String::new(), |wait| {
            format!(", waiting for up to {}", show_duration(wait))
        });
        let load = loads::show(&what.load);
        let (page, chain) = (&what.page, &what.chain);
        format!("{nodes} read metrics of {chain} as {page} {load}{wait}")
    }
}
