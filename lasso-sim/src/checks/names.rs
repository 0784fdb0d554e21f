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

/// An expected set of nodes.
#[derive(Debug)]
pub(super) enum Wanted {
    /// Exactly these.
    These(BTreeSet<NodeId>),
    /// This number of nodes.
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
    let wanted = Wanted::read(value, reader, usize::MAX)?;
    Some(Box::new(Set { key, wanted, of }))
}

impl Wanted {
    /// Reads nodes, or an amount of them; there are `most` nodes.
    pub(super) fn read(value: &Value, reader: &mut Reader<'_>, most: usize) -> Option<Self> {
        let names = match &value.kind {
            Kind::List(_) => true,
            Kind::Text(text) => Amount::parse(text).is_none(),
            _ => false,
        };
        if names {
            return reader.node_set(value).map(Wanted::These);
        }
        amount_within(value, reader, 0, most).map(Wanted::Many)
    }

    /// Whether the empty set satisfies it.
    pub(super) fn may_be_nobody(&self) -> bool {
        match self {
            Wanted::These(nodes) => nodes.is_empty(),
            Wanted::Many(amount) => amount.contains(0),
        }
    }

    /// The expectation, in the file's words.
    pub(super) fn show(&self, key: &str, observed: &Observed<'_>) -> String {
        match self {
            Wanted::Many(amount) => format!("{key} {amount}"),
            Wanted::These(nodes) => {
                let names: BTreeSet<NodeName> =
                    nodes.iter().map(|node| observed.name(*node)).collect();
                format!("{key} = {}", observed.keys(&names))
            }
        }
    }

    /// Checks these nodes; otherwise returns the expected and the observed set.
    pub(super) fn holds(
        &self,
        key: &str,
        found: Vec<NodeName>,
        observed: &Observed<'_>,
    ) -> Result<(), Mismatch> {
        let mut found: BTreeSet<NodeName> = found.into_iter().collect();
        if matches!(self, Wanted::These(_)) {
            // A file has no name for a liar, and checks its own nodes.
            found.retain(|name| !observed.world.is_liar(name));
        }
        let (good, seen) = match self {
            Wanted::Many(amount) => {
                let names = observed.keys(&found);
                let seen = format!("{key} = {} ({names})", found.len());
                (amount.contains(found.len()), seen)
            }
            Wanted::These(nodes) => {
                let wanted: BTreeSet<NodeName> =
                    nodes.iter().map(|node| observed.name(*node)).collect();
                (
                    found == wanted,
                    format!("{key} = {}", observed.keys(&found)),
                )
            }
        };
        if good {
            return Ok(());
        }
        Err(Mismatch {
            expected: self.show(key, observed),
            seen,
        })
    }
}

impl Check for Set {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let view = observed.view(|| self.wanted.show(self.key, observed))?;
        self.wanted.holds(self.key, (self.of)(view), observed)
    }
}
