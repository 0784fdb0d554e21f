//! Invariant 5: Coverage adds up: responding ≤ connected ≤ expected, every node is counted once, and the
//! coverage in an event equals the node's own.

use std::collections::BTreeSet;

use lasso_core::event::TopologyEvent;
use lasso_core::topology::Coverage;

use super::invariant::{Changes, Entry, Invariant, Moment};
use super::{Knowledge, Witness};

pub(super) const ENTRY: Entry = Entry {
    number: 5,
    name: "coverage",
    make: |_| Box::new(Adds),
};
/// Above this many members, only one event in as many is compared with all of them.
const COMPARE_ALL: usize = 64;

/// See the module's text.
#[derive(Debug)]
struct Adds;

impl Invariant for Adds {
    fn event(&mut self, at: &mut Moment<'_>, event: &TopologyEvent, _: &dyn Witness) {
        let coverage = &event.coverage;
        let me = &at.facts.cast.actor(at.node).name;
        let mut demand = |holds: bool, else_what: &str| {
            at.demand(holds, || {
                format!("coverage must add up; {me} says {coverage:?}: {else_what}")
            });
        };
        demand(
            coverage.connected > 0 && coverage.responding > 0 && coverage.identified > 0,
            "the node itself is not counted",
        );
        demand(
            coverage.responding <= coverage.connected && coverage.identified <= coverage.connected,
            "more respond or are identified than are connected",
        );
        demand(
            coverage.connected <= coverage.expected,
            "more are connected than are expected",
        );
        demand(
            coverage.responding + coverage.unresponsive.len() <= coverage.connected,
            "a node both responds and does not",
        );
        demand(
            coverage.epoch == event.epoch,
            "its epoch is not that of the event",
        );
        let lists = coverage.unresponsive.iter().chain(&coverage.disconnected);
        let mut named = BTreeSet::from([me]);
        for name in lists {
            demand(named.insert(name), "a name is counted twice");
        }
    }

    fn after(&mut self, at: &mut Moment<'_>, known: &dyn Knowledge, changes: &Changes<'_>) {
        if let Some(told) = changes.told {
            compare(at, told, known);
        }
    }
}

/// Compares `told`, the coverage of its last event, after a node has handled the input that led to it.
fn compare(at: &mut Moment<'_>, told: &Coverage, known: &dyn Knowledge) {
    if told.connected > COMPARE_ALL && !told.epoch.is_multiple_of(COMPARE_ALL as u64) {
        return;
    }
    let now = known.coverage();
    let same = now.epoch != told.epoch
        || (now.connected, now.responding) == (told.connected, told.responding);
    at.demand(same, || {
        format!("coverage must add up; an event says {told:?}, and the node {now:?}")
    });
    at.demand(now.connected <= now.expected, || {
        format!("coverage must add up; the node says {now:?}: more are connected than are expected")
    });
    let members = known.members();
    let linked = members.iter().filter(|(_, linked)| *linked).count();
    let names: BTreeSet<_> = members.iter().map(|(name, _)| name).collect();
    let adds_up = linked + 1 == now.connected
        && members.len() - linked == now.disconnected.len()
        && names.len() == members.len();
    at.demand(adds_up, || {
        let count = members.len();
        format!(
            "coverage must add up; it says {now:?}, and there are {count} members, {linked} linked"
        )
    });
}
