//! Which links to close so that every island is fully connected.
//!
//! When two nodes cannot reach each other, every node that reaches both has to side with one of
//! them. All nodes must side alike without talking about it, so the choice depends on names only:
//! in the order of names, each node joins the first group in which nobody is apart from it. A
//! node closes its links to whoever is in another group than itself.
//!
//! 1. The same pairs give the same groups on every node.
//! 2. Within a group nobody is apart from anybody, as far as the pairs say.
//! 3. The first group is never broken up: one pair that is apart costs one node its links, not the
//!    cluster.
//!
//! It is not optimal: the largest group without a pair would take exponential time to find.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::NodeName;

/// The nodes of the own view that are in another group than `me`, in order.
pub(super) fn outside<'a>(
    me: &'a NodeName,
    own: &'a BTreeSet<NodeName>,
    pairs: impl Iterator<Item = (&'a NodeName, &'a NodeName)>,
) -> Vec<NodeName> {
    let mut apart: BTreeMap<&NodeName, BTreeSet<&NodeName>> = BTreeMap::new();
    for (a, b) in pairs {
        apart.entry(a).or_default().insert(b);
        apart.entry(b).or_default().insert(a);
    }
    // Who is apart from nobody fits the first group.
    let mut groups: Vec<BTreeSet<&NodeName>> = vec![BTreeSet::new()];
    for (name, others) in &apart {
        let fits = |group: &BTreeSet<&NodeName>| group.is_disjoint(others);
        match groups.iter_mut().find(|group| fits(group)) {
            Some(group) => {
                group.insert(name);
            }
            None => groups.push(BTreeSet::from([*name])),
        }
    }
    let group_of = |name| {
        groups
            .iter()
            .position(|group| group.contains(name))
            .unwrap_or(0)
    };
    let mine = group_of(me);
    own.iter()
        .filter(|name| group_of(name) != mine)
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(host: u8) -> NodeName {
        format!("a@10.0.0.{host}").parse().unwrap()
    }

    /// Who of `own` is outside, as `me` sees it.
    fn hosts(me: u8, own: &[u8], pairs: &[(u8, u8)]) -> Vec<u8> {
        let own_names: BTreeSet<NodeName> = own.iter().copied().map(name).collect();
        let pairs: Vec<(NodeName, NodeName)> =
            pairs.iter().map(|(a, b)| (name(*a), name(*b))).collect();
        let outside = outside(&name(me), &own_names, pairs.iter().map(|(a, b)| (a, b)));
        own.iter()
            .copied()
            .filter(|host| outside.contains(&name(*host)))
            .collect()
    }

    #[test]
    fn one_pair_costs_one_node_its_links() {
        let pairs = [(1, 2)];
        assert_eq!(hosts(1, &[1, 3, 4], &pairs), [0u8; 0]);
        assert_eq!(hosts(3, &[1, 2, 3, 4], &pairs), [2]);
        assert_eq!(hosts(4, &[1, 2, 3, 4], &pairs), [2]);
        assert_eq!(hosts(2, &[2, 3, 4], &pairs), [3, 4]);
    }

    #[test]
    fn no_pair_costs_nothing() {
        assert_eq!(hosts(1, &[1, 2, 3], &[]), [0u8; 0]);
    }

    #[test]
    fn pairs_that_fit_together_make_two_groups() {
        let pairs = [(1, 2), (3, 4)];
        assert_eq!(hosts(5, &[1, 2, 3, 4, 5], &pairs), [2, 4]);
        assert_eq!(hosts(2, &[2, 3, 4, 5], &pairs), [3, 5]);
    }

    #[test]
    fn nodes_that_are_all_apart_are_alone_save_for_the_first() {
        let pairs = [(1, 2), (1, 3), (2, 3)];
        assert_eq!(hosts(4, &[1, 2, 3, 4], &pairs), [2, 3]);
        assert_eq!(hosts(3, &[3, 4], &pairs), [4]);
    }
}
