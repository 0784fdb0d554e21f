//! `record`: applications record calls that they have made, in the region of their node:
//! `record = { on = "a", provider = "alchemy", latency = "100ms", count = 1000 }`,
//! `record = { on = "a", provider = "alchemy", latency = "10ms..2s", errors = "5%", rate = "10/s", for = "1m" }`.

use core::time::Duration;
use std::sync::Arc;

use lasso_core::metrics::recorder::NAME_BYTES_MAX;

use super::{Entry, Verb, keys, loads};
use crate::app::{Order, Record};
use crate::scenario::{Fields, NodeId, Reader, Scenario, Value, show_duration};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "record",
    summary: "makes applications record calls for the cluster's metrics",
    ranges: &["latency"],
    parse,
};

#[derive(Debug)]
struct Records {
    nodes: Vec<NodeId>,
    what: Record,
}

/// The chain under `chain`.
pub(super) fn chain(reader: &mut Reader<'_>, keys: &mut Fields<'_>) -> Option<Arc<str>> {
    let value = keys.take("chain");
    value.map_or(Some("ethereum".into()), |value| {
        loads::word(reader, value, "a chain", NAME_BYTES_MAX)
    })
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let wanted = "a table such as `{ on = \"a\", provider = \"alchemy\", latency = \"100ms\" }`";
    let mut keys = reader.fields(value, wanted)?;
    let errors = reader.error_count();
    let nodes = loads::nodes(reader, &mut keys);
    let provider = keys.need(reader, "provider");
    let provider =
        provider.and_then(|value| loads::word(reader, value, "a provider", NAME_BYTES_MAX));
    let chain = chain(reader, &mut keys);
    let latency = keys.take("latency");
    let latency = latency.map_or(Some((LATENCY, LATENCY)), |value| {
        reader.duration_range(value)
    });
    let failing = keys.take("errors");
    let failing = failing.map_or(Some(0), |value| reader.share(value));
    let load = loads::load(reader, &mut keys, false);
    keys.finish(reader, "`record`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Box::new(Records {
        nodes: nodes?,
        what: Record {
            provider: provider?,
            chain: chain?,
            latency: latency?,
            errors_ppm: failing?,
            load: load?,
        },
    }))
}

impl Verb for Records {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::App]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        let order = Order::Record(self.what.clone());
        let mut nodes = self.nodes.iter();
        nodes.try_for_each(|node| world.order(*node, &order))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let (what, nodes) = (&self.what, keys(scenario, &self.nodes));
        let (first, last) = what.latency;
        let (first, last) = (show_duration(first), show_duration(last));
        let load = loads::show(&what.load);
        let (provider, chain) = (&what.provider, &what.chain);
        format!("{nodes} record calls of {first} to {last} at {provider} for {chain} {load}")
    }
}

/// The default duration of a call.
const LATENCY: Duration = Duration::from_millis(100);
