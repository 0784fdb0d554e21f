//! For which nodes an outbox is.

use std::collections::BTreeSet;

use crate::name::{BASENAME_MAX, Label, NodeName};
use crate::node::Node;
use crate::topology::NodeState;

/// The nodes that an outbox may send to. This node is one of them where it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetNodes {
    /// Every node whose basename begins with this text.
    Basename(String),
    /// Every node that has this role.
    Role(Label),
    /// This node.
    Node(NodeName),
}

/// A target that no node can match. The caller's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The prefix is empty or has a character that no basename has.
    #[error("basename prefix `{0}` is not 1 to 64 letters, digits, `-`, `_` or `.`")]
    Prefix(String),
}

impl TargetNodes {
    /// Every node whose basename begins with `prefix`.
    ///
    /// # Errors
    /// [`TargetError::Prefix`] for a text that begins no basename.
    pub fn basename(prefix: &str) -> Result<Self, TargetError> {
        crate::name::Basename::new(prefix)
            .map(|_| TargetNodes::Basename(prefix.into()))
            .map_err(|_| TargetError::Prefix(prefix.chars().take(BASENAME_MAX).collect()))
    }

    /// Whether a node of this name and with these roles is one of them.
    pub fn matches(&self, name: &NodeName, roles: &BTreeSet<Label>) -> bool {
        match self {
            TargetNodes::Basename(prefix) => name.basename().as_str().starts_with(prefix),
            TargetNodes::Role(role) => roles.contains(role),
            TargetNodes::Node(node) => node == name,
        }
    }

    /// Those that are linked to `node` now.
    pub fn find(&self, node: &Node) -> BTreeSet<NodeName> {
        let topology = node.topology();
        let me = (&node.identity().name, topology.description());
        topology
            .members()
            .filter(|member| member.state() != NodeState::Disconnected)
            .map(|member| (member.name(), member.description()))
            .chain([me])
            .filter(|(name, is)| self.matches(name, &is.roles))
            .map(|(name, _)| name.clone())
            .collect()
    }
}
