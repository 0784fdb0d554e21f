//! Invariant 2: A stored incarnation never goes back, for as long as the process that stores it
//! lives.

use std::collections::BTreeMap;

use super::Found;
use super::cast::{Cast, Who};
use crate::scenario::NodeId;

const NUMBER: u32 = 2;

/// The highest incarnation that each node has known of each name.
#[derive(Debug)]
pub(super) struct Incarnations {
    highest: Vec<BTreeMap<Who, u64>>,
}

impl Incarnations {
    pub(super) fn new(nodes: usize) -> Self {
        Incarnations {
            highest: vec![BTreeMap::new(); nodes],
        }
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.highest[node.index()].clear();
    }

    /// A node has told its subscribers that it is linked with this incarnation.
    pub(super) fn connected(
        &mut self,
        node: NodeId,
        cast: &Cast,
        who: Who,
        incarnation: u64,
        found: &mut Vec<Found>,
    ) {
        let highest = self.highest[node.index()].entry(who).or_insert(incarnation);
        if incarnation < *highest {
            let name = cast.name(who);
            let text = format!(
                "a stored incarnation must not go back; {name} was known as {highest} and has \
                 connected as {incarnation}"
            );
            found.push((NUMBER, text));
        }
        *highest = incarnation.max(*highest);
    }

    /// What a node has stored about a name.
    pub(super) fn stored(
        &mut self,
        node: NodeId,
        cast: &Cast,
        who: Who,
        stored: Option<u64>,
        found: &mut Vec<Found>,
    ) {
        let Some(highest) = self.highest[node.index()].get(&who) else {
            return;
        };
        if let Some(stored) = stored.filter(|stored| stored < highest) {
            let name = cast.name(who);
            let text = format!(
                "a stored incarnation must not go back; {name} was known as {highest} and is \
                 stored as {stored}"
            );
            found.push((NUMBER, text));
        }
    }
}
