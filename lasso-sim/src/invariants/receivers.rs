//! The receivers of a message, as far as its source certainly knows them. Part of the facts.
//!
//! A node sends a message to one node over its link to that name, and a message to a role to the nodes that have
//! described themselves with it. Both are facts of the source: a description that did not arrive does not count.

use std::collections::{BTreeMap, BTreeSet};

use lasso_core::event::Change;
use lasso_core::name::Label;
use lasso_core::plane::Audience;

use super::facts::Facts;
use crate::scenario::NodeId;

/// The receivers of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Receivers {
    /// To every node.
    All,
    /// To these, each with whether that is certain.
    Some(Vec<(NodeId, bool)>),
}

/// The roles of nodes as others know them: by the knowing node and the described one, with the life of the
/// latter.
#[derive(Debug, Default)]
pub(super) struct Heard(BTreeMap<(NodeId, NodeId), (u64, BTreeSet<Label>)>);

impl Heard {
    /// A process begins: it knows no roles yet.
    pub(super) fn started(&mut self, node: NodeId) {
        self.0.retain(|(hearer, _), _| *hearer != node);
    }

    /// A node reports the description of this life of another node.
    pub(super) fn told(&mut self, node: NodeId, other: NodeId, life: u64, change: &Change) {
        if let Change::NodeIdentified { description, .. } = change {
            let roles = description.roles.clone();
            self.0.insert((node, other), (life, roles));
        }
    }

    /// Whether another node has a role; `None`: it has not described itself.
    fn has(&self, node: NodeId, (other, life): (NodeId, u64), role: &Label) -> Option<bool> {
        let (of_life, roles) = self.0.get(&(node, other))?;
        (*of_life == life).then(|| roles.contains(role))
    }
}

/// The receivers of a message of `source`.
pub(super) fn receivers(facts: &Facts, source: NodeId, audience: &Audience) -> Receivers {
    let is_alone = |node: NodeId| {
        let name = &facts.cast.actor(node).name;
        facts
            .cast
            .nodes()
            .filter(|(_, actor)| actor.name == *name)
            .count()
            == 1
    };
    let nodes = match audience {
        Audience::All => return Receivers::All,
        Audience::Local => vec![(source, true)],
        Audience::Node(name) => {
            let named = facts.cast.nodes().filter(|(_, actor)| actor.name == *name);
            let certain = |node: NodeId| {
                node == source || is_alone(node) && facts.link(source, node).is_some()
            };
            named.map(|(node, _)| (node, certain(node))).collect()
        }
        Audience::Role(role) => {
            let of = |(node, life): (NodeId, u64)| {
                if node == source {
                    // Its description may have changed.
                    return Some((node, false));
                }
                match facts.heard.has(source, (node, life), role) {
                    Some(true) => Some((node, is_alone(node))),
                    Some(false) if is_alone(node) => None,
                    Some(false) | None => Some((node, false)),
                }
            };
            let nodes = facts.cast.nodes();
            nodes
                .filter_map(|(node, actor)| of((node, actor.incarnation)))
                .collect()
        }
    };
    Receivers::Some(nodes)
}
