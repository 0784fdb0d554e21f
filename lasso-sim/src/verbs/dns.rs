//! `dns`: how names are answered: `dns = "fails"`, `dns = { truncated = 1, seen_by = "a" }`,
//! `dns = { answers = ["a", "10.0.0.99"] }`, and back: `dns = "truth"`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Entry, Verb, keys};
use crate::scenario::{Diagnostic, Fields, Kind, NodeId, Reader, Scenario, Value};
use crate::world::{Ability, DnsMode, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "dns",
    summary: "makes DNS answer with an error, nothing, a part, old addresses, or a list",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Dns {
    /// Each name with the nodes that see the change.
    names: Vec<(String, Vec<NodeId>)>,
    mode: DnsMode,
}

const FORM: &str = "`truth`, `fails`, `silent`, `empty`, `stale`, or a table such as \
                    `{ truncated = 1 }`, `{ answers = [\"a\"] }`, `{ is = \"fails\", seen_by = \"a\" }`";

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    if let Kind::Text(_) = value.kind {
        let mode = word(value, reader)?;
        return Some(Box::new(Dns {
            names: asked(reader, None, None),
            mode,
        }));
    }
    let mut keys = reader.fields(value, FORM)?;
    let seen_by = keys.take("seen_by").map(|value| reader.nodes(value));
    let name = keys.take("name").map(|value| (value, reader.text(value)));
    let mode = read_mode(&mut keys, reader);
    let span = keys.span();
    keys.finish(reader, "`dns`");
    if let Some((value, Some(name))) = name
        && !known(reader).contains(&name.to_owned())
    {
        let message = format!(
            "no node asks for `{name}`; they ask for {}",
            known(reader).join(", ")
        );
        reader.error(Diagnostic::new(value.span.clone(), message).label("unknown name"));
        return None;
    }
    let (seen_by, name) = (transpose(seen_by)?, transpose(name.map(|(_, name)| name))?);
    let names = asked(reader, name, seen_by.as_deref());
    if names.is_empty() {
        let nobody = Diagnostic::new(span, "none of these nodes asks for that name");
        reader.error(nobody.label("nobody would notice"));
        return None;
    }
    Some(Box::new(Dns { names, mode: mode? }))
}

/// Absent is fine, wrong is not.
fn transpose<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(None) => None,
        Some(found) => Some(found),
    }
}

fn known(reader: &Reader<'_>) -> Vec<String> {
    let names = reader.nodes.iter().flat_map(|node| node.queries.iter());
    let mut names: Vec<String> = names.map(|query| query.name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// The names and nodes that a change applies to, limited to that name and those nodes.
fn asked(
    reader: &Reader<'_>,
    name: Option<&str>,
    seen_by: Option<&[NodeId]>,
) -> Vec<(String, Vec<NodeId>)> {
    let mut names: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
    for (index, node) in reader.nodes.iter().enumerate() {
        let id = NodeId(index as u32);
        if seen_by.is_some_and(|nodes| !nodes.contains(&id)) {
            continue;
        }
        let queries = node
            .queries
            .iter()
            .filter(|query| name.is_none_or(|n| n == query.name));
        for query in queries {
            names.entry(query.name.clone()).or_default().push(id);
        }
    }
    names.into_iter().collect()
}

fn read_mode(keys: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<DnsMode> {
    let (is, truncated, answers) = (
        keys.take("is"),
        keys.take("truncated"),
        keys.take("answers"),
    );
    match (is, truncated, answers) {
        (Some(value), None, None) => word(value, reader),
        (None, Some(value), None) => reader
            .integer(value, 0, 256)
            .map(|keep| DnsMode::Truncated(keep as usize)),
        (None, None, Some(value)) => {
            let items = reader.items(value).to_vec();
            let found: Vec<_> = items
                .iter()
                .map(|item| read_address(item, reader))
                .collect();
            Some(DnsMode::Answers(
                found.into_iter().collect::<Option<Vec<_>>>()?.concat(),
            ))
        }
        _ => {
            let unclear = Diagnostic::new(keys.span(), "what does DNS answer?");
            reader.error(unclear.label("needs one of `is`, `truncated` and `answers`"));
            None
        }
    }
}

fn word(value: &Value, reader: &mut Reader<'_>) -> Option<DnsMode> {
    let words = [
        ("truth", 0),
        ("fails", 1),
        ("silent", 2),
        ("empty", 3),
        ("stale", 4),
    ];
    let modes = [
        DnsMode::Truth,
        DnsMode::Fails,
        DnsMode::Silent,
        DnsMode::Empty,
        DnsMode::Stale,
    ];
    reader
        .choice(value, &words)
        .map(|index: usize| modes[index].clone())
}

/// A node, a group, or an address without a node, which may even be one that no node can have.
fn read_address(value: &Value, reader: &mut Reader<'_>) -> Option<Vec<IpAddr>> {
    if let Kind::Text(text) = &value.kind
        && let Ok(ip) = text.parse::<IpAddr>()
    {
        return Some(vec![ip]);
    }
    let nodes = reader.nodes(value)?;
    Some(
        nodes
            .iter()
            .map(|id| reader.nodes[id.index()].host)
            .collect(),
    )
}

impl Verb for Dns {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Dns]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        self.names
            .iter()
            .try_for_each(|(name, seen_by)| world.dns(name, seen_by, &self.mode))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let names: Vec<String> = self
            .names
            .iter()
            .map(|(name, seen_by)| format!("{name} for {}", keys(scenario, seen_by)))
            .collect();
        format!("dns {:?}: {}", self.mode, names.join("; "))
    }

    fn must_take_effect(&self) -> bool {
        self.mode != DnsMode::Truth
    }
}
