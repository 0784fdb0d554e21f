//! Invariant 5: Coverage adds up: responding ≤ connected ≤ known, every node counted once, and what
//! an event says is what the node knows.

use std::collections::BTreeSet;

use lasso_core::event::TopologyEvent;
use lasso_core::topology::Coverage;

use super::cast::Cast;
use super::{Found, Knowledge};
use crate::scenario::NodeId;

const NUMBER: u32 = 5;
/// Above this many members only one event in so many is compared with all of them.
const COMPARE_ALL: usize = 64;

/// A node has told its subscribers something.
pub(super) fn event(event: &TopologyEvent, cast: &Cast, node: NodeId, found: &mut Vec<Found>) {
    let coverage = &event.coverage;
    let me = &cast.actor(node).name;
    let mut complain = |what: &str| {
        found.push((
            NUMBER,
            format!("coverage must add up; {me} says {coverage:?}: {what}"),
        ));
    };
    if coverage.connected == 0 || coverage.responding == 0 || coverage.identified == 0 {
        complain("the node itself is not counted");
    }
    if coverage.responding > coverage.connected || coverage.identified > coverage.connected {
        complain("more respond or are identified than are connected");
    }
    if coverage.responding + coverage.unresponsive.len() > coverage.connected {
        complain("a node both responds and does not");
    }
    if coverage.epoch != event.epoch {
        complain("its epoch is not that of the event");
    }
    let lists = coverage.unresponsive.iter().chain(&coverage.disconnected);
    let mut named = BTreeSet::new();
    for name in lists {
        if name == me || !named.insert(name) {
            complain("a name is counted twice");
        }
    }
}

/// A node has handled the input that led to `told`, the coverage of its last event.
pub(super) fn after(told: &Coverage, known: &dyn Knowledge, found: &mut Vec<Found>) {
    if told.connected > COMPARE_ALL && !told.epoch.is_multiple_of(COMPARE_ALL as u64) {
        return;
    }
    let now = known.coverage();
    if now.epoch == told.epoch
        && (now.connected, now.responding) != (told.connected, told.responding)
    {
        let text = format!("coverage must add up; an event says {told:?}, and the node {now:?}");
        found.push((NUMBER, text));
    }
    let members = known.members();
    let linked = members.iter().filter(|(_, linked)| *linked).count();
    let names: BTreeSet<_> = members.iter().map(|(name, _)| name).collect();
    if linked + 1 != now.connected
        || members.len() - linked != now.disconnected.len()
        || names.len() != members.len()
    {
        let count = members.len();
        let text = format!(
            "coverage must add up; it says {now:?}, and there are {count} members, {linked} linked"
        );
        found.push((NUMBER, text));
    }
}
