//! Finds out whether the cluster is partitioned, and where.
//!
//! From its own links and the views that its peers report, a node derives the islands of the cluster, and the
//! pairs that cannot reach each other although a third node can reach both.
//!
//! 1. The result depends on links and views alone, not on the order in which they changed.
//! 2. Islands are listed only when there are at least two, with this node's own first.
//! 3. A pair is listed after both ends have lacked each other throughout the hold-off, so that neither a new
//!    link nor a loss that only one end has noticed looks like a partition. At most [`PAIRS_MAX`] are listed.
//!
//! A pair of linked peers is apart when the views of both lack the other. As long as one view contains the
//! other node, their link is up or its loss is about to be noticed, because both ends of a link judge by the
//! same clock. This node knows a node that it is not linked to only from the views of others. So it reports
//! such a node only in a pair with itself, when a peer's view contains it.
//!
//! An island of others consists of nodes whose links were lost without a goodbye, and that no peer of this node
//! reports. They belong together when their last views contained each other. This node cannot distinguish a
//! crash from a cut.
//!
//! If the user wants it, this node excludes one of two peers that are apart (see `overlap`), after they have
//! been apart for twice the hold-off. By then all nodes see the same pairs apart, so that they close the same
//! links and no more.
//!
//! Views of peers that fail their health checks are out of date and do not count.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::overlap::Exclusions;
use super::views::View;
use crate::name::NodeName;
use crate::time::{Instant, earliest};

/// The most pairs that are tracked. A cut through the middle of a large cluster makes more than anybody reads.
pub const PAIRS_MAX: usize = 1024;

/// How long changes are collected before they are evaluated: a cluster of 1,000 nodes that forms or falls apart
/// is evaluated once a second, not a thousand times.
const SETTLE: Duration = Duration::from_secs(1);

/// Nodes that reach each other, directly or through each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Island {
    /// The nodes, in order.
    pub nodes: Vec<NodeName>,
    /// Since when it has been cut off; for this node's own island, since when the first other one has been.
    pub since: Instant,
}

/// Two nodes that cannot reach each other although a third node can reach both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The one with the smaller name.
    pub a: NodeName,
    /// The other.
    pub b: NodeName,
    /// Since when.
    pub since: Instant,
}

/// The partitions of the cluster, as far as one node can tell. They are only reported, unless
/// `prevent_overlapping_partitions` is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partitions {
    /// The islands, this node's own first, then by name; empty while there is only one.
    pub islands: Vec<Island>,
    /// The pairs, by name.
    pub pairs: Vec<Pair>,
}

/// The evidence for partitions.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) me: &'a NodeName,
    /// This node's view.
    pub(super) own: &'a BTreeSet<NodeName>,
    pub(super) own_hash: u64,
    /// Linked peers that pass their checks, each with its view and the hash of the view.
    pub(super) peers: Vec<(&'a NodeName, u64, &'a View)>,
    /// Nodes lost without a goodbye, each with the time of the loss and its last view.
    pub(super) lost: Vec<(&'a NodeName, Instant, Option<&'a View>)>,
}

/// The result of an evaluation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Peers that may be linked again.
    pub(super) admit: Vec<NodeName>,
    /// Peers whose links are to be closed.
    pub(super) close: Vec<NodeName>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    hold_off: Duration,
    /// The peers that this node does not link with, so that every island is fully connected; `None`: partitions
    /// are only reported.
    exclusions: Option<Exclusions>,
    /// When the first change occurred that has not been evaluated.
    touched: Option<Instant>,
    /// The pairs that are apart, each since when; listed once the hold-off is over.
    apart: BTreeMap<(NodeName, NodeName), Instant>,
    /// When the next pair is to be listed or acted upon.
    next_pair: Option<Instant>,
    partitions: Partitions,
}

impl Watch {
    /// With `ask_every`, links are closed until every island is fully connected, and the kept peers are asked
    /// for their views at this interval.
    pub(super) fn new(hold_off: Duration, ask_every: Option<Duration>) -> Self {
        Watch {
            hold_off,
            exclusions: ask_every.map(|every| Exclusions::new(hold_off, every)),
            touched: None,
            apart: BTreeMap::new(),
            next_pair: None,
            partitions: Partitions::default(),
        }
    }

    /// Links or views have changed.
    pub(super) fn touch(&mut self, now: Instant) {
        self.touched.get_or_insert(now);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let exclusions = self.exclusions.as_ref().and_then(Exclusions::deadline);
        let look = earliest(self.touched.map(|at| at + SETTLE), self.next_pair);
        earliest(look, exclusions)
    }

    /// True for a peer that this node chose not to link with.
    pub(super) fn excludes(&self, name: &NodeName) -> bool {
        let exclusions = self.exclusions.as_ref();
        exclusions.is_some_and(|exclusions| exclusions.contains(name))
    }

    /// The node is no longer remembered.
    pub(super) fn forget(&mut self, name: &NodeName) {
        if let Some(exclusions) = &mut self.exclusions {
            exclusions.forget(name);
        }
    }

    /// The peers to ask now for their views because these decide about an excluded one.
    pub(super) fn whom_to_ask(&mut self, now: Instant) -> BTreeSet<NodeName> {
        let exclusions = self.exclusions.as_mut();
        exclusions.map_or_else(BTreeSet::new, |exclusions| exclusions.whom_to_ask(now))
    }

    /// Derives islands and pairs again. Returns the peers whose links to close, and those to admit again.
    pub(super) fn look(&mut self, now: Instant, evidence: &Evidence<'_>) -> Choice {
        let since = self.touched.take().unwrap_or(now);
        let mut before = core::mem::take(&mut self.apart);
        for pair in pairs(evidence) {
            let since = before.remove(&pair).unwrap_or(since);
            self.apart.insert(pair, since);
        }
        let close_after = self.hold_off * 2;
        let waits = if self.exclusions.is_some() {
            1..=2
        } else {
            1..=1
        };
        let steps = self
            .apart
            .values()
            .flat_map(|since| waits.clone().map(|holds| *since + self.hold_off * holds));
        self.next_pair = steps.filter(|at| *at > now).min();
        let held = |wait: Duration| {
            self.apart
                .iter()
                .filter(move |(_, since)| **since + wait <= now)
        };
        self.partitions.pairs = held(self.hold_off)
            .map(|((a, b), since)| Pair {
                a: a.clone(),
                b: b.clone(),
                since: *since,
            })
            .collect();
        self.partitions.islands = islands(evidence);
        let Some(exclusions) = &mut self.exclusions else {
            return Choice::default();
        };
        let pairs = self
            .apart
            .iter()
            .filter(|(_, since)| **since + close_after <= now);
        Choice {
            admit: exclusions.admit(now, evidence),
            close: exclusions.exclude(now, evidence, pairs.map(|((a, b), _)| (a, b))),
        }
    }

    pub(super) fn partitions(&self) -> &Partitions {
        &self.partitions
    }
}

/// The pairs that are apart now, in order.
fn pairs(evidence: &Evidence<'_>) -> BTreeSet<(NodeName, NodeName)> {
    let mut pairs = BTreeSet::new();
    let views: BTreeMap<&NodeName, &View> = evidence
        .peers
        .iter()
        .map(|(name, _, view)| (*name, *view))
        .collect();
    // Peers with the same view lack the same nodes: most of the work is done once for all of them.
    let mut seen: BTreeMap<u64, Vec<&NodeName>> = BTreeMap::new();
    for (name, hash, view) in &evidence.peers {
        if *hash == evidence.own_hash {
            continue;
        }
        let lacked = seen.entry(*hash).or_insert_with(|| {
            let beyond = view.iter().filter(|other| !evidence.own.contains(other));
            pairs.extend(beyond.map(|other| ordered(evidence.me, other)));
            evidence
                .own
                .iter()
                .filter(|other| !has(view, other))
                .collect()
        });
        for other in lacked.iter().filter(|other| *name < **other) {
            if views.get(other).is_some_and(|view| !has(view, name)) {
                pairs.insert(ordered(name, other));
            }
            if pairs.len() > PAIRS_MAX {
                break;
            }
        }
    }
    while pairs.len() > PAIRS_MAX {
        pairs.pop_last();
    }
    pairs
}

/// The islands; none when there is only one.
fn islands(evidence: &Evidence<'_>) -> Vec<Island> {
    if evidence.lost.is_empty() {
        return Vec::new();
    }
    let mut own = evidence.own.clone();
    let mut seen = BTreeSet::from([evidence.own_hash]);
    for (_, hash, view) in &evidence.peers {
        if seen.insert(*hash) {
            own.extend(view.iter().cloned());
        }
    }
    let lost = evidence
        .lost
        .iter()
        .filter(|(name, ..)| !own.contains(*name));
    let mut rest: BTreeMap<&NodeName, (Instant, Option<&View>)> = lost
        .map(|(name, since, view)| (*name, (*since, *view)))
        .collect();
    // Nodes with a view draw in those without, so they come first.
    let (mut starts, silent): (Vec<&NodeName>, Vec<&NodeName>) =
        rest.keys().partition(|name| rest[**name].1.is_some());
    starts.extend(silent);
    let mut others: Vec<Island> = starts
        .into_iter()
        .filter_map(|start| island_of(start, &mut rest))
        .collect();
    let Some(since) = others.iter().map(|island| island.since).min() else {
        return Vec::new();
    };
    others.sort_by(|x, y| x.nodes.cmp(&y.nodes));
    others.insert(
        0,
        Island {
            nodes: own.into_iter().collect(),
            since,
        },
    );
    others
}

/// Takes the island of `start` out of `rest`; `None` when `start` has been taken already.
fn island_of(
    start: &NodeName,
    rest: &mut BTreeMap<&NodeName, (Instant, Option<&View>)>,
) -> Option<Island> {
    let (mut since, view) = rest.remove(start)?;
    let mut nodes = vec![start.clone()];
    let mut frontier = vec![(start.clone(), view)];
    while let Some((name, view)) = frontier.pop() {
        for other in view.into_iter().flat_map(|view| view.iter()) {
            if rest.is_empty() {
                break;
            }
            let Some((lost, theirs)) = rest.get(other).copied() else {
                continue;
            };
            if theirs.is_none_or(|theirs| has(theirs, &name)) {
                rest.remove(other);
                since = since.min(lost);
                nodes.push(other.clone());
                frontier.push((other.clone(), theirs));
            }
        }
    }
    nodes.sort();
    Some(Island { nodes, since })
}

fn ordered(x: &NodeName, y: &NodeName) -> (NodeName, NodeName) {
    if x < y {
        (x.clone(), y.clone())
    } else {
        (y.clone(), x.clone())
    }
}

fn has(view: &View, name: &NodeName) -> bool {
    view.binary_search(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(host: u8) -> NodeName {
        format!("a@10.0.0.{host}").parse().unwrap()
    }

    fn names(hosts: &[u8]) -> Vec<NodeName> {
        hosts.iter().copied().map(name).collect()
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    /// The evidence of node `me`: its own view, those of its peers, and those of the nodes it lost, as (node,
    /// when, view).
    struct Seen {
        me: NodeName,
        own: BTreeSet<NodeName>,
        peers: Vec<(NodeName, View)>,
        lost: Vec<(NodeName, Instant, Option<View>)>,
    }

    fn seen(me: u8, own: &[u8], peers: &[(u8, &[u8])], lost: &[(u8, u64, &[u8])]) -> Seen {
        let view = |hosts: &[u8]| -> View { names(hosts).into() };
        let lost = lost.iter().map(|(host, since, last)| {
            (
                name(*host),
                at(*since),
                (!last.is_empty()).then(|| view(last)),
            )
        });
        Seen {
            me: name(me),
            own: names(own).into_iter().collect(),
            peers: peers
                .iter()
                .map(|(host, hosts)| (name(*host), view(hosts)))
                .collect(),
            lost: lost.collect(),
        }
    }

    impl Seen {
        fn evidence(&self) -> Evidence<'_> {
            // Any number works as a hash as long as equal sets have equal ones.
            let own: View = self.own.iter().cloned().collect();
            let hash = |view: &View| {
                let known = self.peers.iter().map(|(_, view)| view).chain([&own]);
                known.take_while(|other| *other != view).count() as u64
            };
            Evidence {
                me: &self.me,
                own: &self.own,
                own_hash: hash(&own),
                peers: self
                    .peers
                    .iter()
                    .map(|(name, view)| (name, hash(view), view))
                    .collect(),
                lost: self
                    .lost
                    .iter()
                    .map(|(n, since, view)| (n, *since, view.as_ref()))
                    .collect(),
            }
        }

        fn pairs(&self) -> Vec<(NodeName, NodeName)> {
            pairs(&self.evidence()).into_iter().collect()
        }

        fn islands(&self) -> Vec<Vec<NodeName>> {
            islands(&self.evidence())
                .into_iter()
                .map(|island| island.nodes)
                .collect()
        }
    }

    #[test]
    fn a_whole_cluster_has_neither_islands_nor_pairs() {
        let whole: &[u8] = &[1, 2, 3];
        let seen = seen(1, whole, &[(2, whole), (3, whole)], &[]);
        assert!(seen.pairs().is_empty() && seen.islands().is_empty());
    }

    #[test]
    fn a_pair_that_this_node_reaches_both_of_is_found_when_both_lack_each_other() {
        let apart = seen(3, &[1, 2, 3], &[(1, &[1, 3]), (2, &[2, 3])], &[]);
        assert_eq!(apart.pairs(), [(name(1), name(2))]);
        let one_sided = seen(3, &[1, 2, 3], &[(1, &[1, 3]), (2, &[1, 2, 3])], &[]);
        assert!(one_sided.pairs().is_empty(), "2 still has 1");
        let unheard = seen(3, &[1, 2, 3], &[(1, &[1, 3])], &[]);
        assert!(unheard.pairs().is_empty(), "nobody has heard 2");
    }

    #[test]
    fn a_node_finds_itself_apart_from_whom_a_peer_reaches() {
        let seen = seen(1, &[1, 3], &[(3, &[1, 2, 3])], &[(2, 5, &[1, 2, 3])]);
        assert_eq!(seen.pairs(), [(name(1), name(2))]);
        assert!(seen.islands().is_empty(), "3 reaches 2, so 2 is no island");
    }

    #[test]
    fn lost_nodes_whose_last_views_had_each_other_are_one_island() {
        let whole: &[u8] = &[1, 2, 3, 4, 5];
        let lost: &[(u8, u64, &[u8])] = &[(3, 9, whole), (4, 7, whole), (5, 8, &[1, 2, 5])];
        let seen = seen(1, &[1, 2], &[(2, &[1, 2])], lost);
        assert_eq!(
            seen.islands(),
            [names(&[1, 2]), names(&[3, 4]), names(&[5])]
        );
        let since: Vec<Instant> = islands(&seen.evidence()).iter().map(|i| i.since).collect();
        assert_eq!(since, [at(7), at(7), at(8)]);
        assert!(seen.pairs().is_empty());
    }

    #[test]
    fn a_lost_node_that_never_showed_its_view_goes_with_those_that_had_it() {
        let seen = seen(
            1,
            &[1],
            &[],
            &[(2, 5, &[]), (3, 5, &[1, 2, 3]), (4, 5, &[])],
        );
        assert_eq!(seen.islands(), [names(&[1]), names(&[2, 3]), names(&[4])]);
    }

    #[test]
    fn a_pair_is_listed_after_the_hold_off_with_the_time_when_it_began() {
        let mut watch = Watch::new(Duration::from_secs(30), None);
        let apart = seen(3, &[1, 2, 3], &[(1, &[1, 3]), (2, &[2, 3])], &[]);
        watch.touch(at(10));
        assert_eq!(watch.deadline(), Some(at(11)));
        watch.look(at(11), &apart.evidence());
        assert!(watch.partitions().pairs.is_empty());
        assert_eq!(watch.deadline(), Some(at(40)));
        watch.look(at(40), &apart.evidence());
        let pair = Pair {
            a: name(1),
            b: name(2),
            since: at(10),
        };
        assert_eq!(watch.partitions().pairs, [pair]);
        assert_eq!(watch.deadline(), None);
        let healed = seen(3, &[1, 2, 3], &[(1, &[1, 2, 3]), (2, &[1, 2, 3])], &[]);
        watch.touch(at(50));
        watch.look(at(51), &healed.evidence());
        assert!(watch.partitions().pairs.is_empty());
    }

    #[test]
    fn a_pair_that_was_together_in_between_starts_its_hold_off_anew() {
        let mut watch = Watch::new(Duration::from_secs(30), None);
        let apart = seen(3, &[1, 2, 3], &[(1, &[1, 3]), (2, &[2, 3])], &[]);
        let together = seen(3, &[1, 2, 3], &[(1, &[1, 2, 3]), (2, &[1, 2, 3])], &[]);
        for (from, seen) in [(10, &apart), (20, &together), (30, &apart)] {
            watch.touch(at(from));
            watch.look(at(from + 1), &seen.evidence());
        }
        watch.look(at(45), &apart.evidence());
        assert!(watch.partitions().pairs.is_empty());
        assert_eq!(watch.deadline(), Some(at(60)));
    }

    #[test]
    fn links_are_closed_only_where_it_is_asked_for_and_after_twice_the_hold_off() {
        let apart = seen(3, &[1, 2, 3], &[(1, &[1, 3]), (2, &[2, 3])], &[]);
        for prevent in [false, true] {
            let ask_every = prevent.then_some(Duration::from_secs(5));
            let mut watch = Watch::new(Duration::from_secs(30), ask_every);
            watch.touch(at(10));
            assert_eq!(watch.look(at(11), &apart.evidence()), Choice::default());
            assert_eq!(watch.look(at(40), &apart.evidence()), Choice::default());
            assert_eq!(watch.deadline(), prevent.then_some(at(70)));
            let close = if prevent { names(&[2]) } else { Vec::new() };
            assert_eq!(watch.look(at(70), &apart.evidence()).close, close);
            assert_eq!(watch.excludes(&name(2)), prevent);
        }
    }

    /// A watch of node 3 that has excluded 2, since 1 and 2 are apart, at 70 s.
    fn excluding() -> Watch {
        let apart = seen(3, &[1, 2, 3], &[(1, &[1, 3]), (2, &[2, 3])], &[]);
        let mut watch = Watch::new(Duration::from_secs(30), Some(Duration::from_secs(5)));
        watch.touch(at(10));
        for seconds in [11, 40, 70] {
            watch.look(at(seconds), &apart.evidence());
        }
        watch
    }

    #[test]
    fn an_excluded_peer_is_admitted_once_the_kept_one_has_it_again() {
        let mut watch = excluding();
        let closed = seen(3, &[1, 3], &[(1, &[1, 3])], &[(2, 70, &[2, 3])]);
        for seconds in 71..1000 {
            assert_eq!(
                watch.look(at(seconds), &closed.evidence()),
                Choice::default()
            );
            let asked = watch.whom_to_ask(at(seconds));
            assert_eq!(asked.contains(&name(1)), seconds % 5 == 0, "{seconds}");
        }
        let healed = seen(3, &[1, 3], &[(1, &[1, 2, 3])], &[(2, 70, &[2, 3])]);
        assert_eq!(watch.look(at(1000), &healed.evidence()).admit, names(&[2]));
        assert!(!watch.excludes(&name(2)));
        assert!(watch.whom_to_ask(at(1005)).is_empty());
    }

    #[test]
    fn a_kept_peer_that_is_gone_for_less_than_the_hold_off_changes_nothing() {
        let mut watch = excluding();
        let closed = seen(3, &[1, 3], &[(1, &[1, 3])], &[(2, 70, &[2, 3])]);
        let alone = seen(3, &[3], &[], &[(1, 80, &[1, 3]), (2, 70, &[2, 3])]);
        watch.look(at(80), &alone.evidence());
        assert_eq!(watch.look(at(109), &alone.evidence()), Choice::default());
        assert_eq!(watch.look(at(109), &closed.evidence()), Choice::default());
        watch.look(at(110), &alone.evidence());
        assert_eq!(watch.look(at(139), &alone.evidence()), Choice::default());
        assert_eq!(watch.look(at(140), &alone.evidence()).admit, names(&[2]));
    }

    #[test]
    fn a_line_through_a_large_cluster_lists_no_more_pairs_than_the_bound() {
        let (left, right): (Vec<u8>, Vec<u8>) = ((2..100).collect(), (100..200).collect());
        let side = |hosts: &[u8]| -> Vec<u8> { [&[1], hosts].concat() };
        let (left_view, right_view) = (side(&left), side(&right));
        let peers: Vec<(u8, &[u8])> = left
            .iter()
            .map(|host| (*host, left_view.as_slice()))
            .chain(right.iter().map(|host| (*host, right_view.as_slice())))
            .collect();
        let own: Vec<u8> = (1..200).collect();
        assert_eq!(seen(1, &own, &peers, &[]).pairs().len(), PAIRS_MAX);
    }
}
