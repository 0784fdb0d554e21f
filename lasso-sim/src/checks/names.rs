//! `unresponsive`, `disconnected`, `links`, `candidates`: sets of nodes, by name
//! (`disconnected = ["c"]`, the whole set) or by number (`links = ">= 2"`).

use std::collections::BTreeSet;

use lasso_core::name::NodeName;

use super::{Check, Entry, Mismatch, Observed, amount_within};
use crate::scenario::{Amount, Kind, NodeId, Reader, Value};
use crate::world::NodeView;

pub(super) const UNRESPONSIVE: Entry = Entry {
    key: "unresponsive",
    summary: "the linked nodes that fail their health checks",
    absent: false,
    parse: |value, reader| {
        set(value, reader, "unresponsive", |v| {
            v.coverage.unresponsive.clone()
        })
    },
};

pub(super) const DISCONNECTED: Entry = Entry {
    key: "disconnected",
    summary: "the remembered nodes without a link",
    absent: false,
    parse: |value, reader| {
        set(value, reader, "disconnected", |v| {
            v.coverage.disconnected.clone()
        })
    },
};

pub(super) const LINKS: Entry = Entry {
    key: "links",
    summary: "the nodes it has a link to",
    absent: false,
    parse: |value, reader| {
        set(value, reader, "links", |v| {
            v.links.iter().map(|link| link.peer.name.clone()).collect()
        })
    },
};

pub(super) const CANDIDATES: Entry = Entry {
    key: "candidates",
    summary: "the nodes that it dials or would dial",
    absent: false,
    parse: |value, reader| set(value, reader, "candidates", |v| v.candidates.clone()),
};

#[derive(Debug)]
enum Wanted {
    /// Exactly these.
    These(BTreeSet<NodeId>),
    /// So many.
    Many(Amount),
}

#[derive(Debug)]
struct Set {
    key: &'static str,
    wanted: Wanted,
    of: fn(&NodeView) -> Vec<NodeName>,
}

fn set(
    value: &Value,
    reader: &mut Reader<'_>,
    key: &'static str,
    of: fn(&NodeView) -> Vec<NodeName>,
) -> Option<Box<dyn Check>> {
    let names = match &value.kind {
        Kind::List(_) => true,
        Kind::Text(text) => Amount::parse(text).is_none(),
        _ => false,
    };
    let wanted = if names {
        Wanted::These(reader.node_set(value)?)
    } else {
        Wanted::Many(amount_within(value, reader, 0, usize::MAX)?)
    };
    Some(Box::new(Set { key, wanted, of }))
}

impl Check for Set {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        match &self.wanted {
            Wanted::Many(amount) => {
                let expected = || format!("{} {amount}", self.key);
                let found = (self.of)(observed.view(expected)?);
                if amount.contains(found.len()) {
                    return Ok(());
                }
                let names = observed.keys(&found);
                let seen = format!("{} = {} ({names})", self.key, found.len());
                Err(Mismatch {
                    expected: expected(),
                    seen,
                })
            }
            Wanted::These(nodes) => {
                let wanted: BTreeSet<NodeName> =
                    nodes.iter().map(|node| observed.name(*node)).collect();
                let expected = || format!("{} = {}", self.key, observed.keys(&wanted));
                let found: BTreeSet<NodeName> =
                    (self.of)(observed.view(expected)?).into_iter().collect();
                if found == wanted {
                    return Ok(());
                }
                let seen = format!("{} = {}", self.key, observed.keys(&found));
                Err(Mismatch {
                    expected: expected(),
                    seen,
                })
            }
        }
    }
}
