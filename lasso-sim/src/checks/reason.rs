//! `reason`: why other nodes are disconnected, as this one sees it: `reason = { b = "left" }`.

use lasso_core::event::DownReason;

use super::{Check, Entry, Mismatch, Observed};
use crate::scenario::{Kind, NodeId, Reader, Value};

pub(super) const ENTRY: Entry = Entry {
    key: "reason",
    summary: "why other nodes are disconnected: left, down, closed, replaced",
    absent: false,
    parse,
};

/// Every reason, by the word that files use.
pub(super) const REASONS: [(&str, DownReason); 4] = [
    ("left", DownReason::Left),
    ("down", DownReason::Down),
    ("closed", DownReason::Closed),
    ("replaced", DownReason::Replaced),
];

/// The word for a reason.
pub(super) fn word(reason: DownReason) -> &'static str {
    REASONS
        .iter()
        .find(|(_, known)| *known == reason)
        .map_or("?", |(word, _)| word)
}

#[derive(Debug)]
struct Reason {
    wanted: Vec<(NodeId, DownReason)>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    let Kind::Table(table) = &value.kind else {
        return reader.wrong(value, "a table such as `{ b = \"left\" }`");
    };
    let mut wanted = Vec::new();
    let mut good = !table.entries.is_empty();
    if !good {
        reader.wrong::<()>(value, "the reason of any node");
    }
    for (key, value) in &table.entries {
        let name = Value {
            span: key.span.clone(),
            kind: Kind::Text(key.text.clone()),
        };
        match (reader.nodes(&name), reader.choice(value, &REASONS)) {
            (Some(nodes), Some(reason)) => {
                wanted.extend(nodes.into_iter().map(|node| (node, reason)));
            }
            _ => good = false,
        }
    }
    good.then(|| Box::new(Reason { wanted }) as Box<dyn Check>)
}

impl Check for Reason {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        for (node, reason) in self
            .wanted
            .iter()
            .filter(|(node, _)| *node != observed.node)
        {
            let key = &observed.scenario.node(*node).key;
            let expected = || format!("{key} is disconnected with reason = {}", word(*reason));
            let name = observed.name(*node);
            let view = observed.view(expected)?;
            let seen = match view.members.iter().find(|member| member.name == name) {
                None => format!("{key} is unknown"),
                Some(member) if member.reason == Some(*reason) => continue,
                Some(member) => match member.reason {
                    Some(reason) => format!("{key} is disconnected with reason = {}", word(reason)),
                    None => format!("{key} is {}", member.state.name()),
                },
            };
            return Err(Mismatch {
                expected: expected(),
                seen,
            });
        }
        Ok(())
    }
}
