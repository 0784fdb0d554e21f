//! Invariant 13: After everything has healed, all nodes agree on the members: if two nodes may link up
//! and one of them knows the other, they are linked with each other.

use std::collections::BTreeSet;

use lasso_core::name::NodeName;
use lasso_core::node::LinkInfo;
use lasso_core::time::Instant;

use super::cast::Cast;
use super::facts::Facts;
use super::invariant::{Entry, Invariant};
use crate::scenario::NodeId;

pub(super) const ENTRY: Entry = Entry {
    number: 13,
    name: "agreement",
    make: |_| Box::new(Agreement),
};

/// See the module's text.
#[derive(Debug)]
struct Agreement;

impl Invariant for Agreement {
    fn unsettled(&self, _: Instant, facts: &Facts, members: &[Member]) -> Option<(NodeId, String)> {
        disagreement(&facts.cast, members)
    }
}

/// The state of a running node that this invariant reads.
#[derive(Debug, Clone)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// Its links.
    pub links: Vec<LinkInfo>,
    /// The nodes that it would dial.
    pub candidates: BTreeSet<NodeName>,
}

impl Member {
    fn session_with(&self, cast: &Cast, other: NodeId) -> Option<u64> {
        let (name, incarnation) = (&cast.actor(other).name, cast.actor(other).incarnation);
        let link = self.links.iter().find(|link| link.peer.name == *name);
        link.filter(|link| link.peer.incarnation.0 == incarnation)
            .map(|link| link.session)
    }
}

/// The first two nodes that do not agree, if any, and their difference.
fn disagreement(cast: &Cast, members: &[Member]) -> Option<(NodeId, String)> {
    let running = |name: &NodeName| {
        cast.nodes()
            .filter(|(_, actor)| actor.running && actor.name == *name)
            .count()
    };
    let alone: Vec<&Member> = members
        .iter()
        .filter(|member| running(&cast.actor(member.node).name) == 1)
        .collect();
    for (index, a) in alone.iter().enumerate() {
        for b in &alone[index + 1..] {
            let (a_name, b_name) = (&cast.actor(a.node).name, &cast.actor(b.node).name);
            let known = a.candidates.contains(b_name) || b.candidates.contains(a_name);
            if !known || !cast.compatible(a.node, b.node) {
                continue;
            }
            let (there, back) = (a.session_with(cast, b.node), b.session_with(cast, a.node));
            if there.is_none() || there != back {
                let says = |session: Option<u64>| {
                    session.map_or("no link".to_owned(), |session| {
                        format!("session {session:016x}")
                    })
                };
                let text = format!(
                    "after everything has healed all must agree who is there; {a_name} has {} \
                     with {b_name}, which has {}",
                    says(there),
                    says(back)
                );
                return Some((a.node, text));
            }
        }
    }
    alone.iter().find_map(|member| ghost(cast, member))
}

/// A link with a node that does not run.
fn ghost(cast: &Cast, member: &Member) -> Option<(NodeId, String)> {
    let ghost = member.links.iter().find(|link| {
        let whose = cast.whose_name(&link.peer.name, link.peer.incarnation.0);
        let lies = cast.is_liar(&link.peer.name, link.peer.incarnation.0);
        !lies && whose.is_none_or(|peer| !cast.actor(peer).running)
    })?;
    let text = format!(
        "after everything has healed all must agree who is there; {} is linked with {}, which does \
         not run",
        cast.actor(member.node).name,
        ghost.peer.name
    );
    Some((member.node, text))
}
