//! Which nodes are to get a message, as far as its source certainly knows. Part of the facts.
//!
//! A node sends a message for one node to the link that it has under that name, and a message for a role to the
//! nodes that have described themselves with it. Both are facts of the source: what a node said of itself when it
//! was not heard does not count.

use std::collections::{BTreeMap, BTreeSet};

use lasso_core::event::Change;
use lasso_core::name::Label;
use lasso_core::plane::Audience;

use super::facts::Facts;
use crate::scenario::NodeId;

/// To whom a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Receivers {
    /// To every node.
    All,
    /// To these, each with whether that is certain.
    Some(Vec<(NodeId, bool)>),
}

/// The roles of nodes, as each node was told them: by that node and the other, with the other's life.
#[derive(Debug, Default)]
pub(super) struct Heard(BTreeMap<(NodeId, NodeId), (u64, BTreeSet<Label>)>);

impl Heard {
    /// A process begins: it has heard nothing yet.
    pub(super) fn started(&mut self, node: NodeId) {
        self.0.retain(|(hearer, _), _| *hearer != node);
    }

    /// A node tells what it has heard of another one, whose life that is.
    pub(super) fn told(&mut self, node: NodeId, other: NodeId, life: u64, change: &Change) {
        if let Change::NodeIdentified { description, .. } = change {
            let roles = description.roles.clone();
            self.0.insert((node, other), (life, roles));
        }
    }

    /// Whether another node has a role; `None`: it has not said so.
    fn has(&self, node: NodeId, (other, life): (NodeId, u64), role: &Label) -> Option<bool> {
        let (of_life, roles) = self.0.get(&(node, other))?;
        (*of_life == life).then(|| roles.contains(role))
    }
}

/// The nodes that are to get a message of `source`.
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
                    // What it says of itself may have changed.
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
