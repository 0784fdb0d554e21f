//! Draws the ranges of `[all]` and `[nodes]` separately for each node: each node that a range in `[all]`, or beside a
//! `count`, applies to draws its own value.

use core::time::Duration;

use super::draws::Draws;
use super::nodes::NODES_MAX;
use super::range::{Pick, Range};
use super::units::{self, show};
use super::value::{Key, Kind, Table, Value};
use crate::seed::{self, Purpose, up_to};

/// Nodes without `starts` start within this time, so that their timers are not in phase.
const SPREAD: Duration = Duration::from_secs(1);

/// The start of a node without `starts`.
pub(super) fn spread(pick: Pick, node: &str) -> Duration {
    let seed = match pick {
        Pick::Low => return Duration::ZERO,
        Pick::High => return SPREAD,
        Pick::Seed(seed) => seed,
    };
    let mut rng = seed::generator(seed, Purpose::Spread, seed::key(node), 0);
    Duration::from_millis(up_to(&mut rng, SPREAD.as_millis() as u64))
}

/// A range of `[all]`: the keys that lead to it, and itself.
type Shared = (Vec<String>, Value);

pub(super) fn draw_nodes(draws: &mut Draws, tree: &mut Table) {
    let shared = match tree.get_mut("all").map(|all| &mut all.kind) {
        Some(Kind::Table(all)) => take_ranges(all),
        _ => Vec::new(),
    };
    let all = tree.get("all").map(|all| &all.kind);
    if !shared.is_empty() && matches!(all, Some(Kind::Table(all)) if all.entries.is_empty()) {
        tree.remove("all");
    }
    let Some(Value {
        kind: Kind::Table(nodes),
        ..
    }) = tree.get_mut("nodes")
    else {
        return;
    };
    let mut drawn = Vec::new();
    let mut expanded = Vec::new();
    for (key, mut value) in core::mem::take(&mut nodes.entries) {
        let path = format!("nodes.{}", key.text);
        let Kind::Table(node) = &mut value.kind else {
            drawn.push((key, value));
            continue;
        };
        for (keys, range) in &shared {
            put(node, keys, range);
        }
        if let Some(count) = node.get_mut("count") {
            draws.walk(count, &format!("{path}.count"), 0, &[]);
        }
        match count(node) {
            Some(count) if has_range(&value) => {
                let members = members(draws, &key, &value, count);
                expanded.push((key, members.iter().map(|(key, _)| key.clone()).collect()));
                drawn.extend(members);
            }
            _ => {
                draws.walk(&mut value, &path, 0, &[]);
                drawn.push((key, value));
            }
        }
    }
    nodes.entries = drawn;
    name_groups(tree, expanded);
}

/// Takes the ranges out of `[all]`.
fn take_ranges(table: &mut Table) -> Vec<Shared> {
    let mut found = Vec::new();
    let mut kept = Vec::new();
    for (key, mut value) in core::mem::take(&mut table.entries) {
        match &mut value.kind {
            Kind::Text(text) if Range::is(text) => {
                found.push((vec![key.text], value));
                continue;
            }
            Kind::Table(inner) => {
                let ranges = take_ranges(inner);
                let is_empty = inner.entries.is_empty() && !ranges.is_empty();
                for (mut keys, range) in ranges {
                    keys.insert(0, key.text.clone());
                    found.push((keys, range));
                }
                if is_empty {
                    continue;
                }
            }
            _ => {}
        }
        kept.push((key, value));
    }
    table.entries = kept;
    found
}

/// Gives a node a value of `[all]`, unless the node has its own.
fn put(table: &mut Table, keys: &[String], range: &Value) {
    let [first, rest @ ..] = keys else { return };
    if rest.is_empty() {
        if table.get(first).is_none() {
            table.set(first, range.clone());
        }
        return;
    }
    if table.get(first).is_none() {
        let span = range.span.clone();
        let kind = Kind::Table(Table {
            span: span.clone(),
            entries: Vec::new(),
        });
        table.set(first, Value { span, kind });
    }
    if let Some(Kind::Table(inner)) = table.get_mut(first).map(|value| &mut value.kind) {
        put(inner, rest, range);
    }
}

fn has_range(value: &Value) -> bool {
    match &value.kind {
        Kind::Text(text) => Range::is(text),
        Kind::List(items) => items.iter().any(has_range),
        Kind::Table(table) => table.entries.iter().any(|(_, value)| has_range(value)),
        _ => false,
    }
}

fn count(node: &Table) -> Option<usize> {
    match node.get("count")?.kind {
        Kind::Integer(count) => usize::try_from(count)
            .ok()
            .filter(|n| (1..=NODES_MAX).contains(n)),
        _ => None,
    }
}

/// The nodes of a `count` one by one, each with draws of its own.
fn members(draws: &mut Draws, key: &Key, value: &Value, count: usize) -> Vec<(Key, Value)> {
    let mut members = Vec::new();
    let mut late = Duration::ZERO;
    for number in 1..=count {
        let name = format!("{}-{number}", key.text);
        let mut member = value.clone();
        let Kind::Table(node) = &mut member.kind else {
            break;
        };
        node.remove("count");
        if let Some((_, mut every)) = node.remove("every")
            && number > 1
        {
            draws.walk(
                &mut every,
                &format!("nodes.{}.every", key.text),
                number as u64,
                &[],
            );
            match &every.kind {
                Kind::Text(text) if units::duration(text).is_some() => {
                    late += units::duration(text).unwrap_or_default();
                }
                // Left in place, so that the mistake is found.
                _ => node.set("every", every),
            }
        }
        draws.walk(&mut member, &format!("nodes.{name}"), 0, &[]);
        if let Kind::Table(node) = &mut member.kind {
            delay(draws.pick, node, &name, &key.span, late);
        }
        let key = Key {
            span: key.span.clone(),
            text: name,
        };
        members.push((key, member));
    }
    members
}

/// Delays the start of a member by the gaps between those before it.
fn delay(pick: Pick, node: &mut Table, name: &str, span: &core::ops::Range<usize>, late: Duration) {
    if late == Duration::ZERO {
        return;
    }
    let first = match node.get("starts").map(|value| &value.kind) {
        None => Some(spread(pick, name)),
        Some(Kind::Text(text)) => units::duration(text),
        Some(_) => None,
    };
    if let Some(first) = first {
        let span = node.get("starts").map_or(span, |value| &value.span).clone();
        let kind = Kind::Text(show(first + late));
        node.set("starts", Value { span, kind });
    }
}

/// Keeps the nodes of a `count` as a group if anything names it.
fn name_groups(tree: &mut Table, expanded: Vec<(Key, Vec<Key>)>) {
    let named: Vec<_> = expanded
        .into_iter()
        .filter(|(key, _)| {
            tree.entries
                .iter()
                .any(|(_, value)| names(value, &key.text))
        })
        .collect();
    if named.is_empty() {
        return;
    }
    let span = named[0].0.span.clone();
    if tree.get("groups").is_none() {
        let kind = Kind::Table(Table {
            span: span.clone(),
            entries: Vec::new(),
        });
        tree.set("groups", Value { span, kind });
    }
    let Some(Kind::Table(groups)) = tree.get_mut("groups").map(|value| &mut value.kind) else {
        return;
    };
    let group = |(key, members): (Key, Vec<Key>)| {
        let member = |key: Key| Value {
            span: key.span,
            kind: Kind::Text(key.text),
        };
        let value = Value {
            span: key.span.clone(),
            kind: Kind::List(members.into_iter().map(member).collect()),
        };
        (key, value)
    };
    // Other groups may name these.
    groups.entries.splice(0..0, named.into_iter().map(group));
}

/// Whether anything in a value refers to the nodes of that name.
fn names(value: &Value, name: &str) -> bool {
    match &value.kind {
        Kind::Text(text) => text.strip_prefix('!').unwrap_or(text) == name,
        Kind::List(items) => items.iter().any(|item| names(item, name)),
        Kind::Table(table) => {
            let mut entries = table.entries.iter();
            entries.any(|(key, value)| key.text == name || names(value, name))
        }
        _ => false,
    }
}
