//! Decides which peers a node links with while some of its peers cannot reach each other.
//!
//! When two nodes cannot reach each other, every node that reaches both has to side with one of
//! them. All nodes must side alike without talking about it, so the choice depends on names only:
//! in the order of names, a node keeps each peer that is not apart from a peer it keeps already,
//! and excludes the others. It closes the link to an excluded peer, does not dial it, and refuses
//! its connections.
//!
//! With the link the node loses its evidence: it no longer hears the view of the excluded peer. So it
//! remembers the choice, together with the peers it kept instead, and asks those for their views
//! more often. It admits the excluded peer again as soon as each of them either has a link to that
//! peer, or has itself been gone for the hold-off: a restart is not a reason to change sides.
//!
//! 1. The same pairs give the same choice on every node.
//! 2. Of two peers that are apart, a node never keeps both.
//! 3. One pair that is apart costs one node its links, not the cluster.
//! 4. A choice stands until the network changes: it depends on links between other nodes, and on
//!    those only to peers with smaller names than the excluded one.
//!
//! It is not optimal: the largest set of peers that all reach each other would take exponential
//! time to find.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::partitions::Evidence;
use crate::name::NodeName;
use crate::time::Instant;

/// The peers to exclude, each with the kept peers from which it is apart.
fn excess<'a>(
    me: &NodeName,
    own: &'a BTreeSet<NodeName>,
    pairs: impl Iterator<Item = (&'a NodeName, &'a NodeName)>,
) -> BTreeMap<NodeName, BTreeSet<NodeName>> {
    // For each peer, those with smaller names from which it is apart.
    let mut apart: BTreeMap<&NodeName, BTreeSet<&NodeName>> = BTreeMap::new();
    for (a, b) in pairs.filter(|(a, b)| *a != me && *b != me) {
        if own.contains(a) && own.contains(b) {
            apart.entry(a.max(b)).or_default().insert(a.min(b));
        }
    }
    let mut excluded: BTreeMap<NodeName, BTreeSet<NodeName>> = BTreeMap::new();
    for (name, smaller) in apart {
        let kept = smaller
            .into_iter()
            .filter(|other| !excluded.contains_key(*other));
        let kept: BTreeSet<NodeName> = kept.cloned().collect();
        if !kept.is_empty() {
            excluded.insert(name.clone(), kept);
        }
    }
    excluded
}

/// A peer that this node chose not to link to.
#[derive(Debug, Clone)]
struct Exclusion {
    /// The peers that were kept instead.
    kept: BTreeSet<NodeName>,
    /// Since when no kept peer has spoken against it because some have gone.
    gone_since: Option<Instant>,
}

/// The choices that this node has made and that still hold.
#[derive(Debug, Clone)]
pub(super) struct Exclusions {
    hold_off: Duration,
    ask_every: Duration,
    excluded: BTreeMap<NodeName, Exclusion>,
    /// When to ask the kept peers for their views again.
    ask_at: Option<Instant>,
}

impl Exclusions {
    pub(super) fn new(hold_off: Duration, ask_every: Duration) -> Self {
        Exclusions {
            hold_off,
            ask_every,
            excluded: BTreeMap::new(),
            ask_at: None,
        }
    }

    pub(super) fn contains(&self, name: &NodeName) -> bool {
        self.excluded.contains_key(name)
    }

    /// The node is no longer remembered.
    pub(super) fn forget(&mut self, name: &NodeName) {
        self.excluded.remove(name);
    }

    /// Excludes peers that have been apart from a kept peer for long enough. Returns those that were not
    /// excluded before.
    pub(super) fn exclude<'a>(
        &mut self,
        now: Instant,
        evidence: &Evidence<'a>,
        pairs: impl Iterator<Item = (&'a NodeName, &'a NodeName)>,
    ) -> Vec<NodeName> {
        let excess = excess(evidence.me, evidence.own, pairs);
        let names = excess.keys().cloned().collect();
        for (name, kept) in excess {
            let gone_since = None;
            self.excluded.insert(name, Exclusion { kept, gone_since });
            self.ask_at.get_or_insert(now + self.ask_every);
        }
        names
    }

    /// Admits peers without a remaining reason for exclusion, and returns them.
    pub(super) fn admit(&mut self, now: Instant, evidence: &Evidence<'_>) -> Vec<NodeName> {
        let views: BTreeMap<_, _> = evidence
            .peers
            .iter()
            .map(|(n, _, view)| (*n, *view))
            .collect();
        let has = |kept: &NodeName, name: &NodeName| {
            let view = views.get(kept);
            view.is_some_and(|view| view.binary_search(name).is_ok())
        };
        let mut admitted = Vec::new();
        for (name, exclusion) in &mut self.excluded {
            let here = exclusion
                .kept
                .iter()
                .filter(|kept| evidence.own.contains(*kept));
            let stands = here.clone().any(|kept| !has(kept, name));
            let all_here = here.count() == exclusion.kept.len();
            if stands {
                exclusion.gone_since = None;
                continue;
            }
            let since = *exclusion.gone_since.get_or_insert(now);
            if all_here || now >= since + self.hold_off {
                admitted.push(name.clone());
            }
        }
        for name in &admitted {
            self.excluded.remove(name);
        }
        admitted
    }

    /// The kept peers to ask for their views now.
    pub(super) fn whom_to_ask(&mut self, now: Instant) -> BTreeSet<NodeName> {
        if self.excluded.is_empty() {
            self.ask_at = None;
        }
        if self.ask_at.is_none_or(|at| at > now) {
            return BTreeSet::new();
        }
        self.ask_at = Some(now + self.ask_every);
        let kept = self.excluded.values().flat_map(|exclusion| &exclusion.kept);
        kept.cloned().collect()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let gone = self
            .excluded
            .values()
            .filter_map(|exclusion| exclusion.gone_since);
        let admitted = gone.map(|since| since + self.hold_off);
        admitted.chain(self.ask_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(host: u8) -> NodeName {
        format!("a@10.0.0.{host}").parse().unwrap()
    }

    /// The peers in `own` that node `me` excludes, each with the peers that it keeps instead.
    fn hosts(me: u8, own: &[u8], pairs: &[(u8, u8)]) -> Vec<(u8, Vec<u8>)> {
        let own_names: BTreeSet<NodeName> = own.iter().copied().map(name).collect();
        let pairs: Vec<(NodeName, NodeName)> =
            pairs.iter().map(|(a, b)| (name(*a), name(*b))).collect();
        let excess = excess(&name(me), &own_names, pairs.iter().map(|(a, b)| (a, b)));
        let host = |name: &NodeName| {
            own.iter()
                .copied()
                .find(|host| super::tests::name(*host) == *name)
        };
        let hosts = |names: &BTreeSet<NodeName>| names.iter().filter_map(host).collect();
        excess
            .iter()
            .map(|(name, kept)| (host(name).unwrap(), hosts(kept)))
            .collect()
    }

    #[test]
    fn one_pair_costs_one_node_its_links() {
        let pairs = [(1, 2)];
        assert_eq!(hosts(1, &[1, 3, 4], &pairs), []);
        assert_eq!(hosts(3, &[1, 2, 3, 4], &pairs), [(2, vec![1])]);
        assert_eq!(hosts(4, &[1, 2, 3, 4], &pairs), [(2, vec![1])]);
        assert_eq!(hosts(2, &[2, 3, 4], &pairs), [], "3 and 4 will close them");
    }

    #[test]
    fn no_pair_costs_nothing() {
        assert_eq!(hosts(1, &[1, 2, 3], &[]), []);
    }

    #[test]
    fn each_pair_costs_the_one_with_the_larger_name_its_links() {
        let pairs = [(1, 2), (3, 4)];
        assert_eq!(
            hosts(5, &[1, 2, 3, 4, 5], &pairs),
            [(2, vec![1]), (4, vec![3])]
        );
        assert_eq!(hosts(2, &[2, 3, 4, 5], &pairs), [(4, vec![3])]);
    }

    #[test]
    fn an_excluded_peer_stands_against_nobody() {
        let pairs = [(1, 2), (2, 3)];
        assert_eq!(hosts(4, &[1, 2, 3, 4], &pairs), [(2, vec![1])]);
    }

    #[test]
    fn of_peers_that_are_all_apart_the_first_is_kept() {
        let pairs = [(1, 2), (1, 3), (2, 3)];
        assert_eq!(
            hosts(4, &[1, 2, 3, 4], &pairs),
            [(2, vec![1]), (3, vec![1])]
        );
        assert_eq!(hosts(3, &[3, 4], &pairs), []);
    }
}
