//! Resolves the nodes that a text in a file names: a node, a group, a region, a role, all.

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};

use super::errors::{Diagnostic, did_you_mean};
use super::model::NodeId;

/// The origin of the name of a set of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// `[groups]`, or a node with a `count`.
    Group,
    /// The nodes in this region.
    Region,
    /// The nodes that have this role.
    Role,
}

impl Origin {
    fn name(self) -> &'static str {
        match self {
            Origin::Group => "group",
            Origin::Region => "region",
            Origin::Role => "role",
        }
    }
}

/// Every name that a file may use for nodes.
#[derive(Debug, Default)]
pub struct Names {
    nodes: Vec<String>,
    by_key: BTreeMap<String, NodeId>,
    groups: BTreeMap<String, BTreeMap<Origin, BTreeSet<NodeId>>>,
    used: BTreeSet<String>,
}

impl Names {
    /// Adds the next node. False when the name is taken.
    pub(super) fn add_node(&mut self, key: &str) -> bool {
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(key.to_owned());
        self.by_key.insert(key.to_owned(), id).is_none()
    }

    /// Puts a node into a group.
    pub(super) fn add_to(&mut self, origin: Origin, group: &str, members: &[NodeId]) {
        let sets = self.groups.entry(group.to_owned()).or_default();
        sets.entry(origin).or_default().extend(members);
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// True when there is no node.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Every node.
    pub fn all(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// The key of a node.
    pub fn key(&self, id: NodeId) -> &str {
        self.nodes.get(id.index()).map_or("?", String::as_str)
    }

    /// True when some node has this key.
    pub(super) fn is_node(&self, key: &str) -> bool {
        self.by_key.contains_key(key)
    }

    /// True when the file has used the name.
    pub(super) fn is_used(&self, name: &str) -> bool {
        self.used.contains(name)
    }

    /// The groups with unambiguous names, each with its members.
    pub(super) fn into_groups(self) -> BTreeMap<String, Vec<NodeId>> {
        let first = |sets: BTreeMap<Origin, BTreeSet<NodeId>>| {
            sets.into_values()
                .next()
                .unwrap_or_default()
                .into_iter()
                .collect()
        };
        self.groups
            .into_iter()
            .map(|(name, sets)| (name, first(sets)))
            .collect()
    }

    /// The nodes that a name refers to, in the order of the file.
    pub(super) fn resolve(
        &mut self,
        name: &str,
        span: Range<usize>,
    ) -> Result<BTreeSet<NodeId>, Box<Diagnostic>> {
        if name == "all" {
            return Ok(self.all().collect());
        }
        self.used.insert(name.to_owned());
        if let Some(id) = self.by_key.get(name) {
            return Ok(BTreeSet::from([*id]));
        }
        let Some(sets) = self.groups.get(name) else {
            return Err(Box::new(self.unknown(name, span)));
        };
        let mut different: Vec<_> = sets.iter().collect();
        different.dedup_by(|a, b| a.1 == b.1);
        match different.as_slice() {
            [(_, only)] => Ok((*only).clone()),
            several => {
                let origins: Vec<&str> = several.iter().map(|(origin, _)| origin.name()).collect();
                let ambiguous = Diagnostic::new(span, format!("`{name}` can mean different nodes"))
                    .label(format!("a {}", origins.join(" and a ")))
                    .help("name the nodes one by one, or rename one of the two");
                Err(Box::new(ambiguous))
            }
        }
    }

    fn unknown(&self, name: &str, span: Range<usize>) -> Diagnostic {
        let groups: Vec<&str> = self.groups.keys().map(String::as_str).collect();
        let mut message = format!(
            "unknown node `{name}`; the nodes are {}",
            shorten(&self.nodes)
        );
        if !groups.is_empty() {
            message = format!("{message}; the groups are {}", shorten(&groups));
        }
        let known = self
            .nodes
            .iter()
            .map(String::as_str)
            .chain(groups.iter().copied());
        let diagnostic = Diagnostic::new(span, message);
        match did_you_mean(name, known.chain(["all"])) {
            Some(close) => diagnostic.label(format!("did you mean `{close}`?")),
            None => diagnostic.label("no node, group, region or role"),
        }
    }
}

/// At most a dozen names, and the number of the others.
pub(crate) fn shorten<T: AsRef<str>>(names: &[T]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
