//! Reads the nodes: `[all]`, `[nodes]`, `[groups]`.

use super::draft::{Draft, address, read_common, read_label};
use super::errors::Diagnostic;
use super::model::NodeId;
use super::names::Origin;
use super::place::{Placed, place};
use super::reader::{Fields, Reader};
use super::value::{Key, Kind, Table, Value};

/// Most nodes that a file may have.
pub const NODES_MAX: usize = 4_096;

/// Reads `[all]`, `[nodes]` and `[groups]` into the reader's nodes and names.
pub(super) fn read(reader: &mut Reader<'_>, fields: &mut Fields<'_>) {
    let mut all = Draft::new();
    if let Some(value) = fields.take("all")
        && let Some(mut keys) = reader.fields(value, "a table: what holds for every node")
    {
        read_common(reader, &mut keys, &mut all);
        keys.finish(reader, "`[all]`");
    }
    let mut placed = Vec::new();
    if let Some(value) = fields.need(reader, "nodes")
        && let Kind::Table(table) = &value.kind
    {
        for (key, value) in &table.entries {
            read_node(reader, key, value, &all, &mut placed);
        }
        if placed.is_empty() && reader.error_count() == 0 {
            let nobody = Diagnostic::new(table.span.clone(), "a scenario needs at least one node");
            reader.error(nobody.label("nobody is here"));
        }
    } else if let Some(value) = fields.take("nodes") {
        reader.wrong::<()>(value, "a table of nodes: `a = { region = \"iad\" }`");
    }
    reader.counts_known &= !placed.is_empty();
    place(reader, placed);
    if let Some(value) = fields.take("groups")
        && let Kind::Table(table) = &value.kind
    {
        read_groups(reader, table);
    } else if let Some(value) = fields.take("groups") {
        reader.wrong::<()>(value, "a table of lists: `east = [\"a\", \"b\"]`");
    }
}

/// Reads only the nodes of a whole file.
pub(crate) fn read_all(reader: &mut Reader<'_>, file: &Table) {
    read(reader, &mut Fields::new(file));
}

fn read_node<'v>(
    reader: &mut Reader<'_>,
    key: &Key,
    value: &'v Value,
    all: &Draft<'v>,
    placed: &mut Vec<Placed<'v>>,
) {
    let Some(mut keys) = reader.fields(value, "a table: `{}` or `{ region = \"iad\" }`") else {
        reader.names.add_node(&key.text);
        placed.push(Placed {
            key: key.text.clone(),
            span: key.span.clone(),
            draft: all.clone(),
        });
        return;
    };
    let mut draft = all.clone();
    check_key(reader, key);
    read_common(reader, &mut keys, &mut draft);
    draft.ip = keys
        .take("ip")
        .and_then(|value| address(reader, value))
        .or(draft.ip);
    draft.host = keys.take("host").and_then(|value| address(reader, value));
    draft.id = keys
        .take("id")
        .and_then(|value| read_label(reader, value, "id"));
    let count_at = keys.take("count");
    let count = count_at.and_then(|v| reader.integer(v, 1, NODES_MAX as i64));
    reader.counts_known &= count_at.is_some() == count.is_some();
    let every = keys.take("every");
    let stagger = every
        .and_then(|value| reader.duration(value))
        .unwrap_or_default();
    if let (Some(value), None) = (every, count) {
        let lost = Diagnostic::new(value.span.clone(), "`every` means nothing without `count`");
        reader.error(lost.label("time between the starts of a `count` of nodes"));
    }
    if let (Some(span), Some(_)) = (keys.key_span("ip").or(keys.key_span("host")), count) {
        let clash = Diagnostic::new(span, "nodes with a `count` cannot share one address");
        reader.error(clash.label("leave it out, or name the nodes one by one"));
    }
    keys.finish(reader, &format!("node `{}`", key.text));
    let Some(count) = count else {
        add(reader, placed, key.text.clone(), key, draft);
        return;
    };
    let mut members = Vec::new();
    for number in 1..=count {
        let mut one = draft.clone();
        let late = stagger.saturating_mul(number as u32 - 1);
        one.starts = draft.starts.map(|start| start + late);
        members.push(NodeId(placed.len() as u32));
        add(reader, placed, format!("{}-{number}", key.text), key, one);
        if placed.len() > NODES_MAX {
            break;
        }
    }
    reader.names.add_to(Origin::Group, &key.text, &members);
}

fn add<'v>(
    reader: &mut Reader<'_>,
    placed: &mut Vec<Placed<'v>>,
    name: String,
    key: &Key,
    draft: Draft<'v>,
) {
    if placed.len() == NODES_MAX {
        let many = Diagnostic::new(key.span.clone(), format!("more than {NODES_MAX} nodes"));
        reader.error(many.label("with this one"));
    }
    if !reader.names.add_node(&name) {
        let twice = Diagnostic::new(key.span.clone(), format!("a node `{name}` exists already"));
        reader.error(twice.label("a `count` makes nodes called `key-1`, `key-2`, …"));
    }
    placed.push(Placed {
        key: name,
        span: key.span.clone(),
        draft,
    });
}

fn check_key(reader: &mut Reader<'_>, key: &Key) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let starts_well = key.text.starts_with(|c: char| c.is_ascii_alphabetic());
    if !starts_well || !key.text.chars().all(allowed) || key.text.len() > 64 || key.text == "all" {
        let message = format!("`{}` cannot be the name of a node", key.text);
        reader.error(
            Diagnostic::new(key.span.clone(), message)
                .label("a letter, then letters, digits, `-`, `_`; not `all`"),
        );
    }
}

fn read_groups(reader: &mut Reader<'_>, table: &Table) {
    for (key, value) in &table.entries {
        check_key(reader, key);
        if reader.names.is_node(&key.text) {
            let message = format!("`{}` is the name of a node", key.text);
            reader.error(Diagnostic::new(key.span.clone(), message).label("call it otherwise"));
        }
        if let Some(members) = reader.nodes(value) {
            reader.names.add_to(Origin::Group, &key.text, &members);
        }
    }
}

/// Reports groups that no step, rule or link uses.
pub(super) fn refuse_unused_groups(reader: &mut Reader<'_>, groups: Option<&Value>) {
    let Some(Value {
        kind: Kind::Table(table),
        ..
    }) = groups
    else {
        return;
    };
    for (key, _) in &table.entries {
        if !reader.names.is_used(&key.text) {
            let message = format!("nothing uses the group `{}`", key.text);
            reader.error(Diagnostic::new(key.span.clone(), message).label("take it away"));
        }
    }
}

/// Reports nodes that nothing ever starts.
pub(super) fn refuse_idle_nodes(reader: &mut Reader<'_>) {
    let idle: Vec<Diagnostic> = reader
        .nodes
        .iter()
        .enumerate()
        .filter(|(index, node)| {
            node.starts.is_none() && !reader.started.contains_key(&NodeId(*index as u32))
        })
        .map(|(_, node)| {
            Diagnostic::new(
                node.loc.span.clone(),
                format!("nothing ever starts `{}`", node.key),
            )
            .label("it starts `later`, and no step has `start` with it")
        })
        .collect();
    for diagnostic in idle {
        reader.error(diagnostic);
    }
}
