//! `start`: starts nodes that do not run: `start = "b"` as the file has them, or `start = { nodes = "b",
//! version = "2.0.0" }` with changes.

use core::net::SocketAddr;

use lasso_core::name::{Description, Label};

use super::{Entry, Verb, keys};
use crate::scenario::{self, Diagnostic, Fields, Kind, NodeId, NodeSpec, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "start",
    summary: "starts nodes that do not run, as the file has them or with changes",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Start {
    nodes: Vec<NodeId>,
    /// The changed spec of each node, if it differs from the file.
    otherwise: Vec<NodeSpec>,
    /// The changed keys.
    changed: Vec<&'static str>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let start = if let Kind::Table(_) = value.kind {
        let mut keys = reader.fields(value, "a table")?;
        let nodes = keys
            .need(reader, "nodes")
            .and_then(|value| reader.nodes(value));
        let start = otherwise(reader, &mut keys, nodes.unwrap_or_default());
        keys.finish(reader, "`start`");
        start
    } else {
        Start {
            nodes: reader.nodes(value)?,
            otherwise: Vec::new(),
            changed: Vec::new(),
        }
    };
    for node in &start.nodes {
        reader.note_start(*node);
    }
    Some(Box::new(start))
}

/// Reads the changes, over the file's spec of each node.
fn otherwise(reader: &mut Reader<'_>, keys: &mut Fields<'_>, nodes: Vec<NodeId>) -> Start {
    let specs = nodes.iter().map(|node| reader.nodes[node.index()].clone());
    let mut specs: Vec<NodeSpec> = specs.collect();
    let mut changed = Vec::new();
    for key in ["version", "region"] {
        let Some(value) = keys.take(key) else {
            continue;
        };
        changed.push(key);
        let Some(label) = read_label(reader, value, key) else {
            continue;
        };
        for spec in &mut specs {
            let description = &mut spec.description;
            let place = match key {
                "version" => &mut description.version,
                _ => &mut description.region,
            };
            place.clone_from(&label);
        }
    }
    if let Some(value) = keys.take("roles") {
        changed.push("roles");
        let items = reader.items(value).iter();
        let roles: std::collections::BTreeSet<Label> = items
            .filter_map(|item| read_label(reader, item, "role"))
            .collect();
        for spec in &mut specs {
            spec.description.roles.clone_from(&roles);
        }
    }
    for key in ["cookie", "cookie_previous"] {
        let Some(value) = keys.take(key) else {
            continue;
        };
        changed.push(key);
        let Some(cookie) = scenario::read_cookie(reader, value) else {
            continue;
        };
        for spec in &mut specs {
            match key {
                "cookie" => spec.cookie.clone_from(&cookie),
                _ => spec.cookie_previous = Some(cookie.clone()),
            }
        }
    }
    if let Some(value) = keys.take("settings") {
        changed.push("settings");
        for spec in &mut specs {
            scenario::read_settings(reader, value, &mut spec.settings);
        }
    }
    changed.extend(address(reader, keys, &mut specs));
    if changed.is_empty() && !keys.has_unknown() && !specs.is_empty() {
        let same = "this starts the nodes as the file has them";
        let same = Diagnostic::new(keys.span(), same);
        reader.error(same.label("say what differs, or name the nodes alone: `start = \"b\"`"));
    }
    Start {
        nodes,
        otherwise: specs,
        changed,
    }
}

/// Another address means another name: the node is a new member, on another machine if `ip` is given.
fn address(
    reader: &mut Reader<'_>,
    keys: &mut Fields<'_>,
    specs: &mut [NodeSpec],
) -> Vec<&'static str> {
    let mut changed = Vec::new();
    if let Some(value) = keys.take("ip") {
        changed.push("ip");
        if specs.len() > 1 {
            let shared =
                Diagnostic::new(value.span.clone(), "several nodes cannot share an address");
            reader.error(shared.label("start them one by one"));
        }
        if let Some(ip) = scenario::address(reader, value) {
            for spec in specs.iter_mut() {
                let own_id = Description::of(&spec.name()).id == spec.description.id;
                spec.address = SocketAddr::new(ip, spec.address.port());
                spec.host = ip;
                if own_id {
                    spec.description.id = Description::of(&spec.name()).id;
                }
            }
        }
    }
    if let Some(value) = keys.take("port") {
        changed.push("port");
        if let Some(port) = reader.integer(value, 1, 65_535) {
            for spec in specs {
                spec.address.set_port(port as u16);
            }
        }
    }
    changed
}

fn read_label(reader: &mut Reader<'_>, value: &Value, what: &'static str) -> Option<Label> {
    let text = reader.text(value)?;
    let label = Label::new(what, text);
    let complain = |error: lasso_core::name::NameError| {
        reader.error(Diagnostic::new(value.span.clone(), error.to_string()));
    };
    label.map_err(complain).ok()
}

impl Verb for Start {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Process]
    }

    fn apply(&self, scenario: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        for (index, node) in self.nodes.iter().enumerate() {
            let spec = self.otherwise.get(index);
            world.start(*node, spec.unwrap_or_else(|| scenario.node(*node)))?;
        }
        Ok(())
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let nodes = keys(scenario, &self.nodes);
        let Some(first) = self.otherwise.first() else {
            return format!("start {nodes}");
        };
        let show = |key: &&str| match *key {
            "version" => format!("version {}", first.description.version),
            "region" => format!("region {}", first.description.region),
            "ip" => format!("address {}", first.address.ip()),
            "port" => format!("port {}", first.address.port()),
            // Their values are secrets or long.
            other => format!("other {other}"),
        };
        let changed: Vec<String> = self.changed.iter().map(show).collect();
        format!("start {nodes} with {}", changed.join(", "))
    }
}
