//! Invariant 2: A stored incarnation never goes back, for as long as the process that stores it
//! lives.

use std::collections::BTreeMap;

use lasso_core::event::{Change, TopologyEvent};

use super::cast::Who;
use super::invariant::{Changes, Entry, Invariant, Moment};
use super::{Knowledge, Witness};
use crate::scenario::NodeSpec;

pub(super) const ENTRY: Entry = Entry {
    number: 2,
    name: "incarnations",
    make: |nodes| {
        Box::new(Incarnations {
            highest: vec![BTreeMap::new(); nodes],
        })
    },
};

/// The highest incarnation that each node has known, by name.
#[derive(Debug)]
struct Incarnations {
    highest: Vec<BTreeMap<Who, u64>>,
}

impl Invariant for Incarnations {
    fn started(&mut self, at: &mut Moment<'_>, _: &NodeSpec) {
        self.highest[at.node.index()].clear();
    }

    /// A node has reported to its subscribers that it is linked with this incarnation.
    fn event(&mut self, at: &mut Moment<'_>, event: &TopologyEvent, _: &dyn Witness) {
        let Change::NodeConnected { name, incarnation } = &event.change else {
            return;
        };
        let Some(who) = at.facts.cast.find(name) else {
            return;
        };
        let incarnation = incarnation.0;
        let stored = self.highest[at.node.index()].entry(who);
        let stored = stored.or_insert(incarnation);
        let highest = core::mem::replace(stored, incarnation.max(*stored));
        at.demand(incarnation >= highest, || {
            format!(
                "a stored incarnation must not go back; {name} was known as {highest} and has \
                 connected as {incarnation}"
            )
        });
    }

    fn after(&mut self, at: &mut Moment<'_>, known: &dyn Knowledge, changes: &Changes<'_>) {
        for who in changes.touched {
            let Some(&highest) = self.highest[at.node.index()].get(who) else {
                continue;
            };
            let name = at.facts.cast.name(*who);
            let stored = known.known_incarnation(name);
            at.demand(stored.is_none_or(|stored| stored >= highest), || {
                format!(
                    "a stored incarnation must not go back; {name} was known as {highest} and is \
                     stored as {stored:?}"
                )
            });
        }
    }
}
