//! `publish`: applications publish: `publish = { on = "a", topic = "prices" }`,
//! `publish = { on = "a", topic = "prices", rate = "100/s", for = "10s", size = "1KiB" }`,
//! `publish = { on = "a", topic = "prices", role = "web" }`.

use std::sync::Arc;

use lasso_core::name::Label;
use lasso_core::plane::Audience;

use super::loads::{self, About};
use super::{Entry, Verb, keys};
use crate::app::{Order, Publish};
use crate::scenario::{Deed, Diagnostic, Fields, NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "publish",
    summary: "makes applications publish on a topic, to all, to one node, to a role, or locally",
    ranges: &[],
    parse,
};

/// The receivers, before names are resolved.
#[derive(Debug, Clone)]
enum To {
    All,
    Local,
    Node(NodeId),
    Role(Label),
}

#[derive(Debug)]
struct Publishes {
    nodes: Vec<NodeId>,
    /// If there are several, the order applies to each of them.
    topics: Vec<Arc<str>>,
    to: To,
    what: Publish,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let wanted = "a table such as `{ on = \"a\", topic = \"prices\" }`";
    let mut keys = reader.fields(value, wanted)?;
    let errors = reader.error_count();
    let about = About::read(reader, &mut keys);
    about.note(reader, Deed::Publish, None);
    let load = loads::load(reader, &mut keys, false);
    let size = loads::size(reader, &mut keys);
    let to = read_to(reader, &mut keys);
    keys.finish(reader, "`publish`");
    if reader.error_count() > errors {
        return None;
    }
    let topics = about.topics?;
    let topic = Arc::clone(topics.first()?);
    Some(Box::new(Publishes {
        nodes: about.nodes?,
        topics,
        to: to?,
        what: Publish {
            topic,
            load: load?,
            size: size?,
            audience: Audience::All,
        },
    }))
}

fn read_to(reader: &mut Reader<'_>, keys: &mut Fields<'_>) -> Option<To> {
    let (to, role, local) = (keys.take("to"), keys.take("role"), keys.take("local"));
    match (to, role, local) {
        (None, None, None) => Some(To::All),
        (Some(value), None, None) => reader.node(value).map(To::Node),
        (None, Some(value), None) => {
            let label = Label::new("role", reader.text(value)?);
            label
                .map_err(|error| {
                    reader.error(Diagnostic::new(value.span.clone(), error.to_string()));
                })
                .ok()
                .map(To::Role)
        }
        (None, None, Some(value)) => Some(if reader.flag(value)? {
            To::Local
        } else {
            To::All
        }),
        _ => {
            let several = Diagnostic::new(keys.span(), "to whom?");
            reader.error(several.label("`to`, `role` and `local` exclude each other"));
            None
        }
    }
}

impl Verb for Publishes {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::App]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        let audience = match &self.to {
            To::All => Audience::All,
            To::Local => Audience::Local,
            To::Node(node) => Audience::Node(world.spec(*node).name()),
            To::Role(role) => Audience::Role(role.clone()),
        };
        for topic in &self.topics {
            let order = Order::Publish(Publish {
                topic: Arc::clone(topic),
                audience: audience.clone(),
                ..self.what.clone()
            });
            let mut nodes = self.nodes.iter();
            nodes.try_for_each(|node| world.order(*node, &order))?;
        }
        Ok(())
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let to = match &self.to {
            To::All => "all".to_owned(),
            To::Local => "itself".to_owned(),
            To::Node(node) => scenario.node(*node).key.clone(),
            To::Role(role) => format!("the nodes with role {role}"),
        };
        let (what, nodes) = (&self.what, keys(scenario, &self.nodes));
        let (load, size) = (loads::show(&what.load), what.size);
        let topics = loads::show_topics(&self.topics);
        format!("{nodes} publish {size} B on {topics} to {to} {load}")
    }
}
