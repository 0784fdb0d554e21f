//! `start`: nodes that do not run come up: `start = "b"`, or as something new:
//! `start = { nodes = "b", version = "2.0.0" }`.

use lasso_core::name::Label;

use super::{Entry, Verb, keys};
use crate::scenario::{Diagnostic, Kind, NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "start",
    summary: "starts nodes that do not run, as they are or with another version",
    parse,
};

#[derive(Debug)]
struct Start {
    nodes: Vec<NodeId>,
    version: Option<Label>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let start = if let Kind::Table(_) = value.kind {
        let mut keys = reader.fields(value, "a table")?;
        let nodes = keys
            .need(reader, "nodes")
            .and_then(|value| reader.nodes(value));
        let version = keys.take("version").and_then(|value| {
            let text = reader.text(value)?;
            let label = Label::new("version", text);
            label
                .map_err(|error| {
                    reader.error(Diagnostic::new(value.span.clone(), error.to_string()))
                })
                .ok()
        });
        keys.finish(reader, "`start`");
        Start {
            nodes: nodes?,
            version,
        }
    } else {
        Start {
            nodes: reader.nodes(value)?,
            version: None,
        }
    };
    for node in &start.nodes {
        reader.note_start(*node);
    }
    Some(Box::new(start))
}

impl Verb for Start {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Process]
    }

    fn apply(&self, scenario: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        for node in &self.nodes {
            let mut spec = scenario.node(*node).clone();
            if let Some(version) = &self.version {
                spec.description.version = version.clone();
            }
            world.start(*node, &spec)?;
        }
        Ok(())
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let version = self
            .version
            .as_ref()
            .map(|version| format!(" as version {version}"));
        format!(
            "start {}{}",
            keys(scenario, &self.nodes),
            version.unwrap_or_default()
        )
    }
}
