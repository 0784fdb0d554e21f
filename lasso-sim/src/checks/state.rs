//! `state`: the states of other nodes, as this one sees them: `state = { b = "ready" }`, `state = { sjc =
//! ["responding", "ready"] }`. `unknown` is a node that was never seen.

use core::fmt;

use lasso_core::topology::NodeState;

use super::{Check, Entry, Mismatch, Observed};
use crate::scenario::{Kind, NodeId, Reader, Value};

pub(super) const ENTRY: Entry = Entry {
    key: "state",
    summary: "the states of other nodes, as it sees them",
    absent: false,
    parse,
};

/// A state, or that the node was never seen.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen(Option<NodeState>);

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or("unknown", NodeState::name))
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Debug)]
struct State {
    wanted: Vec<(NodeId, Vec<Seen>)>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    let Kind::Table(table) = &value.kind else {
        return reader.wrong(value, "a table such as `{ b = \"ready\" }`");
    };
    let mut wanted = Vec::new();
    let mut good = !table.entries.is_empty();
    if !good {
        reader.wrong::<()>(value, "the state of any node");
    }
    for (key, value) in &table.entries {
        let name = Value {
            span: key.span.clone(),
            kind: Kind::Text(key.text.clone()),
        };
        let nodes = reader.nodes(&name);
        let states: Option<Vec<Seen>> = reader
            .items(value)
            .iter()
            .map(|item| read_state(item, reader))
            .collect();
        match (nodes, states) {
            (Some(nodes), Some(states)) => {
                wanted.extend(nodes.into_iter().map(|node| (node, states.clone())));
            }
            _ => good = false,
        }
    }
    good.then(|| Box::new(State { wanted }) as Box<dyn Check>)
}

fn read_state(value: &Value, reader: &mut Reader<'_>) -> Option<Seen> {
    let states = [
        NodeState::Connected,
        NodeState::Discovering,
        NodeState::Responding,
        NodeState::Ready,
        NodeState::Unresponsive,
        NodeState::Disconnected,
    ];
    let mut choices: Vec<(&str, Seen)> = states
        .iter()
        .map(|state| (state.name(), Seen(Some(*state))))
        .collect();
    choices.push(("unknown", Seen(None)));
    reader.choice(value, &choices)
}

impl Check for State {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        for (node, states) in self
            .wanted
            .iter()
            .filter(|(node, _)| *node != observed.node)
        {
            let key = &observed.scenario.node(*node).key;
            let words: Vec<String> = states.iter().map(Seen::to_string).collect();
            let expected = || format!("state of {key} = {}", words.join(" or "));
            let name = observed.name(*node);
            let view = observed.view(expected)?;
            let seen = Seen(
                view.members
                    .iter()
                    .find(|m| m.name == name)
                    .map(|m| m.state),
            );
            if !states.contains(&seen) {
                let seen = format!("state of {key} = {seen}");
                return Err(Mismatch {
                    expected: expected(),
                    seen,
                });
            }
        }
        Ok(())
    }
}
