//! `islands` and `pairs`: the partitions of the cluster, as this node derives them: `islands = [["a", "b"],
//! ["c"]]`, `pairs = [["a", "b"]]`; `[]` means a whole cluster.

use std::collections::BTreeSet;

use lasso_core::name::NodeName;

use super::{Check, Entry, Mismatch, Observed};
use crate::scenario::{Diagnostic, Kind, NodeId, Reader, Value};
use crate::world::PartitionView;

pub(super) const ISLANDS: Entry = Entry {
    key: "islands",
    summary: "the groups of nodes that have lost each other; none while the cluster is whole",
    absent: false,
    parse: |value, reader| {
        let groups = read_groups(value, reader)?;
        if groups.len() == 1 {
            let one = Diagnostic::new(value.span.clone(), "one island is a whole cluster");
            reader.error(one.label("write `[]` for a cluster that is whole"));
            return None;
        }
        Some(Box::new(Split {
            key: "islands",
            least: (2, 1),
            groups,
            of: |view| view.islands.clone(),
        }))
    },
};

pub(super) const PAIRS: Entry = Entry {
    key: "pairs",
    summary: "the pairs that cannot reach each other though a third can reach both",
    absent: false,
    parse: |value, reader| {
        let groups = read_groups(value, reader)?;
        if groups.iter().any(|group| group.len() != 2) {
            return reader.wrong(value, "a list of pairs: `[[\"a\", \"b\"]]`");
        }
        let of = |view: &PartitionView| {
            view.pairs
                .iter()
                .map(|(a, b)| vec![a.clone(), b.clone()])
                .collect()
        };
        Some(Box::new(Split {
            key: "pairs",
            least: (1, 2),
            groups,
            of,
        }))
    },
};

#[derive(Debug)]
struct Split {
    key: &'static str,
    /// The least number of groups, and of nodes in a group.
    least: (usize, usize),
    groups: BTreeSet<BTreeSet<NodeId>>,
    of: fn(&PartitionView) -> Vec<Vec<NodeName>>,
}

fn read_groups(value: &Value, reader: &mut Reader<'_>) -> Option<BTreeSet<BTreeSet<NodeId>>> {
    let Kind::List(items) = &value.kind else {
        return reader.wrong(value, "a list of lists: `[[\"a\", \"b\"], [\"c\"]]`");
    };
    let groups: Vec<_> = items.iter().map(|item| reader.nodes(item)).collect();
    groups
        .into_iter()
        .map(|group| group.map(|nodes| nodes.into_iter().collect()))
        .collect()
}

impl Split {
    /// The groups without liars, for whom a file has no names.
    fn honest(
        &self,
        groups: Vec<Vec<NodeName>>,
        observed: &Observed<'_>,
    ) -> BTreeSet<BTreeSet<NodeName>> {
        let (groups_min, nodes_min) = self.least;
        let is_honest = |name: &NodeName| !observed.world.is_liar(name);
        let groups = groups.into_iter();
        let groups = groups.map(|group| group.into_iter().filter(is_honest).collect());
        let groups: BTreeSet<BTreeSet<NodeName>> = groups
            .filter(|group: &BTreeSet<NodeName>| group.len() >= nodes_min)
            .collect();
        if groups.len() < groups_min {
            return BTreeSet::new();
        }
        groups
    }
}

impl Check for Split {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let wanted: BTreeSet<BTreeSet<NodeName>> = self
            .groups
            .iter()
            .map(|group| group.iter().map(|node| observed.name(*node)).collect())
            .collect();
        let show = |groups: &BTreeSet<BTreeSet<NodeName>>| {
            let groups: Vec<String> = groups.iter().map(|group| observed.keys(group)).collect();
            let text = groups.join(" | ");
            format!(
                "{} = {}",
                self.key,
                if text.is_empty() { "none" } else { &text }
            )
        };
        let view = observed.view(|| show(&wanted))?;
        let found = self.honest((self.of)(&view.partitions), observed);
        if wanted == found {
            return Ok(());
        }
        Err(Mismatch {
            expected: show(&wanted),
            seen: show(&found),
        })
    }
}
