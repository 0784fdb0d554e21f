//! `describe`: an application describes its node anew: `describe = { on = "a", region = "sjc", version =
//! "2.0.0", roles = ["web"] }`. Omitted keys stay as they were at the start.

use std::collections::BTreeSet;

use lasso_core::name::Label;

use super::{Entry, Verb, keys};
use crate::scenario::{Diagnostic, NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "describe",
    summary: "makes applications describe their nodes anew",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Describe {
    nodes: Vec<NodeId>,
    region: Option<Label>,
    version: Option<Label>,
    roles: Option<BTreeSet<Label>>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let mut keys = reader.fields(value, "a table such as `{ on = \"a\", region = \"sjc\" }`")?;
    let nodes = keys
        .need(reader, "on")
        .and_then(|value| reader.nodes(value));
    let region = keys.take("region").and_then(|value| label(value, reader));
    let version = keys.take("version").and_then(|value| label(value, reader));
    let roles = keys.take("roles").map(|value| {
        let items = reader.items(value).iter();
        items.filter_map(|item| label(item, reader)).collect()
    });
    if region.is_none() && version.is_none() && roles.is_none() {
        let nothing = Diagnostic::new(keys.span(), "this describes nothing");
        reader.error(nothing.label("needs `region`, `version` or `roles`"));
    }
    keys.finish(reader, "`describe`");
    Some(Box::new(Describe {
        nodes: nodes?,
        region,
        version,
        roles,
    }))
}

fn label(value: &Value, reader: &mut Reader<'_>) -> Option<Label> {
    let text = reader.text(value)?;
    let label = Label::new("label", text);
    label
        .map_err(|error| reader.error(Diagnostic::new(value.span.clone(), error.to_string())))
        .ok()
}

impl Verb for Describe {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Process]
    }

    fn apply(&self, scenario: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        for node in &self.nodes {
            let mut description = scenario.node(*node).description.clone();
            description.region = self.region.clone().unwrap_or(description.region);
            description.version = self.version.clone().unwrap_or(description.version);
            description.roles = self.roles.clone().unwrap_or(description.roles);
            world.describe(*node, &description)?;
        }
        Ok(())
    }

    fn describe(&self, scenario: &Scenario) -> String {
        format!("describe {} anew", keys(scenario, &self.nodes))
    }
}
