//! The coverage of lasso's machines in a run: close reasons, transitions of states, reasons of disconnection,
//! notices, counters. A sweep adds this up, and shows the items that no run reached.
//!
//! 1. The list of items comes from lasso-core's types: the names of its enums, the successors of its
//!    states, the fields of its counters. So a new item cannot be forgotten here.
//! 2. Counters are collected at the end of each life of a process, and at the end of the run.
//! 3. [`EXCUSED`] lists the items that need not be reached, each with a reason.

mod counters;
mod excused;
mod table;

use core::fmt;
use std::borrow::Cow;
use std::collections::BTreeMap;

use lasso_core::event::{Change, CloseReason, DownReason, Notice};
use lasso_core::node::Node;
use lasso_core::topology::NodeState;
use serde::{Deserialize, Serialize, Serializer};

pub use self::counters::Life;
pub use self::excused::{EXCUSED, excuse};
pub use self::table::{Row, Table};
use crate::record::Record;

/// A kind of item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A connection was closed for this reason, by either side.
    CloseReason,
    /// A node changed from one state to another in the view of another node.
    Transition,
    /// A node was reported as disconnected for this reason.
    DownReason,
    /// The operator got a notice of this kind.
    Notice,
    /// A counter grew.
    Counter,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [
        Kind::CloseReason,
        Kind::Transition,
        Kind::DownReason,
        Kind::Notice,
        Kind::Counter,
    ];

    /// The title of a table of them.
    pub fn title(self) -> &'static str {
        match self {
            Kind::CloseReason => "close reasons",
            Kind::Transition => "transitions",
            Kind::DownReason => "reasons of disconnection",
            Kind::Notice => "notices",
            Kind::Counter => "counters",
        }
    }
}

/// One item that can be reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Item {
    /// Its kind.
    pub kind: Kind,
    /// Its name: `silent`, `ready -> unresponsive`.
    pub name: Cow<'static, str>,
}

impl Item {
    fn new(kind: Kind, name: impl Into<Cow<'static, str>>) -> Self {
        Item {
            kind,
            name: name.into(),
        }
    }

    fn transition(from: NodeState, to: NodeState) -> Self {
        Item::new(
            Kind::Transition,
            format!("{} -> {}", from.name(), to.name()),
        )
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.kind.title())
    }
}

/// All items, by kind, in the order of the types.
pub fn universe() -> Vec<Item> {
    let named =
        |kind, names: &'static [&'static str]| names.iter().map(move |name| Item::new(kind, *name));
    let transitions = NodeState::ALL.into_iter().flat_map(|from| {
        let to = from.successors().iter();
        to.map(move |to| Item::transition(from, *to))
    });
    named(Kind::CloseReason, CloseReason::NAMES)
        .chain(transitions)
        .chain(named(Kind::DownReason, DownReason::NAMES))
        .chain(named(Kind::Notice, Notice::NAMES))
        .chain(
            counters::names()
                .into_iter()
                .map(|name| Item::new(Kind::Counter, name)),
        )
        .collect()
}

/// The items that were reached, and how often; others are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached(BTreeMap<Item, u64>);

impl Reached {
    /// Each item that was reached, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (&Item, u64)> {
        self.0.iter().map(|(item, times)| (item, *times))
    }

    /// A process or the run ends: adds the counts of its machines since they began.
    pub fn life_ends(&mut self, life: &Life<'_>) {
        counters::each(life, |name, times| {
            self.add(Item::new(Kind::Counter, name), times);
        });
        self.node_ends(life.node);
    }

    fn node_ends(&mut self, node: &Node) {
        let counters = node.counters();
        for by in [&counters.closed, &counters.closed_by_peer] {
            for (name, times) in by {
                self.add(Item::new(Kind::CloseReason, *name), *times);
            }
        }
        for ((from, to), times) in node.topology().transitions() {
            self.add(Item::transition(*from, *to), *times);
        }
    }

    /// The run ends: adds the events and notices of the nodes, over all lives of their processes.
    pub(crate) fn told(&mut self, record: &Record) {
        for events in record.all_events() {
            for event in events {
                if let Change::NodeDisconnected { reason, .. } = &event.what.change {
                    self.add(Item::new(Kind::DownReason, reason.name()), 1);
                }
            }
        }
        for notice in record.all_notices().flatten() {
            self.add(Item::new(Kind::Notice, notice.what.name()), 1);
        }
    }

    fn add(&mut self, item: Item, times: u64) {
        if times > 0 {
            let all = self.0.entry(item).or_default();
            *all = all.saturating_add(times);
        }
    }
}

impl Serialize for Reached {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut kinds: BTreeMap<Kind, BTreeMap<&str, u64>> = BTreeMap::new();
        for (item, times) in self.iter() {
            kinds
                .entry(item.kind)
                .or_default()
                .insert(&item.name, times);
        }
        kinds.serialize(serializer)
    }
}

#[cfg(test)]
mod tests;
