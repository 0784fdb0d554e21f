//! The nodes that this one is linked to, and the nodes that its peers report links to.
//!
//! A view is the set of nodes that one node is linked to, and that node. In a whole cluster all views are the
//! same set, so nodes send a hash, and the set itself only to a peer that does not know it. Equal views are
//! stored once.
//!
//! 1. The hash does not depend on the order of changes of links, and is the same in every process. Adding or
//!    removing a link costs one step.
//! 2. A stored view has the hash that its sender reported, and contains its sender.
//! 3. At most [`VIEW_MAX`] names are accepted from a peer, each at an address that can be dialled.
//! 4. A view that does not fit into a control frame is not sent, so the receiver does not know it.
//!
//! The hash is the sum, modulo 2^64, of a 64-bit hash of each name: FNV-1a over the name's text, finished with
//! the mixing step of SplitMix64. It distinguishes honest views. It does not protect against a member that
//! lies, which the threat model leaves to the cookie.

use core::fmt::Write;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::codec::CONTROL_BYTES_MAX;
use crate::frame::VIEW_MAX;
use crate::name::{NodeName, undialable};
use crate::time::Instant;

/// How long this node's own view must have been unchanged before every peer is asked for its view. While a
/// cluster forms, every view changes within moments: 1,000 nodes would send each other 10^9 names for nothing.
const SETTLED: Duration = Duration::from_secs(5);

/// How many peers are asked for their views in one round before that, in turn: enough for all in
/// a small cluster.
const UNSETTLED_MAX: usize = 8;

/// The most bytes of a view in a frame: those of a control frame, minus room for its other fields.
const VIEW_BYTES_MAX: usize = CONTROL_BYTES_MAX - 256;

/// A view: names in order.
pub(super) type View = Arc<[NodeName]>;

#[derive(Debug, Clone)]
struct Held {
    hash: u64,
    view: View,
}

/// The effect of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reported {
    /// The peer's view is unchanged.
    Unchanged,
    /// The peer's view changed.
    Changed,
    /// The hash is unknown here; the next check asks for the set.
    Unresolved,
    /// The view contradicts its hash or its sender, or is too large. This is the peer's fault; its stored view
    /// is dropped.
    Refused,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Views {
    /// This node's own view.
    own: BTreeSet<NodeName>,
    own_hash: u64,
    /// The size of its names in a frame, in bytes.
    own_bytes: usize,
    /// This node's own view in shared form; created when first needed after a change.
    own_shared: Option<View>,
    /// When this node's own view last changed.
    changed: Instant,
    /// The peer that was asked last while this node's own view was unsettled.
    turn: Option<NodeName>,
    /// The last view of each peer; kept for nodes that are gone, until they are forgotten.
    held: BTreeMap<NodeName, Held>,
}

impl Views {
    pub(super) fn new(me: &NodeName) -> Self {
        Views {
            own: BTreeSet::from([me.clone()]),
            own_hash: hash_of(me),
            own_bytes: bytes_of(me),
            own_shared: None,
            changed: Instant::ZERO,
            turn: None,
            held: BTreeMap::new(),
        }
    }

    /// A link is up. Reports of the peer from an earlier session are void.
    pub(super) fn up(&mut self, now: Instant, name: &NodeName) {
        if self.own.insert(name.clone()) {
            self.changed = now;
            self.own_hash = self.own_hash.wrapping_add(hash_of(name));
            self.own_bytes += bytes_of(name);
            self.own_shared = None;
        }
        self.held.remove(name);
    }

    /// A link is lost; the last view of the peer is kept.
    pub(super) fn down(&mut self, now: Instant, name: &NodeName) {
        if self.own.remove(name) {
            self.changed = now;
            self.own_hash = self.own_hash.wrapping_sub(hash_of(name));
            self.own_bytes -= bytes_of(name);
            self.own_shared = None;
        }
    }

    /// The node is no longer remembered.
    pub(super) fn forget(&mut self, name: &NodeName) {
        self.held.remove(name);
    }

    /// The hash of this node's own view.
    pub(super) fn own_hash(&self) -> u64 {
        self.own_hash
    }

    /// The nodes of this node's own view, itself included.
    pub(super) fn own(&self) -> &BTreeSet<NodeName> {
        &self.own
    }

    /// The last view of a peer.
    pub(super) fn of(&self, name: &NodeName) -> Option<(u64, &View)> {
        self.held.get(name).map(|held| (held.hash, &held.view))
    }

    /// The peers among `peers`, in order, to ask for their views.
    pub(super) fn whom_to_ask(&mut self, now: Instant, peers: &[NodeName]) -> Vec<bool> {
        if peers.len() <= UNSETTLED_MAX || now - self.changed >= SETTLED {
            return vec![true; peers.len()];
        }
        let turn = self.turn.as_ref();
        let start = peers.iter().position(|name| Some(name) > turn).unwrap_or(0);
        let mut ask = vec![false; peers.len()];
        (start..start + UNSETTLED_MAX).for_each(|index| ask[index % peers.len()] = true);
        self.turn = Some(peers[(start + UNSETTLED_MAX - 1) % peers.len()].clone());
        ask
    }

    /// The hashes with which `peer` may answer instead of sending its view.
    pub(super) fn known(&self, peer: &NodeName) -> Vec<u64> {
        let held = self.held.get(peer).map(|held| held.hash);
        core::iter::once(self.own_hash)
            .chain(held.filter(|hash| *hash != self.own_hash))
            .collect()
    }

    /// The answer to a check whose sender knows these hashes.
    pub(super) fn answer(&self, known: Option<&[u64]>) -> Option<Vec<NodeName>> {
        let known = known?;
        let fits = self.own.len() <= VIEW_MAX && self.own_bytes <= VIEW_BYTES_MAX;
        if known.contains(&self.own_hash) || !fits {
            None
        } else {
            Some(self.own.iter().cloned().collect())
        }
    }

    /// A peer reports the hash of its view, and the view if it was unknown here.
    pub(super) fn report(
        &mut self,
        from: &NodeName,
        hash: u64,
        view: Option<Vec<NodeName>>,
    ) -> Reported {
        let before = self.held.get(from).map(|held| held.hash);
        let view = match view {
            None if before == Some(hash) => return Reported::Unchanged,
            None if hash == self.own_hash => self.share_own(),
            None => {
                self.held.remove(from);
                return Reported::Unresolved;
            }
            Some(names) => match self.admit(from, hash, names) {
                Some(view) => view,
                None => {
                    self.held.remove(from);
                    return Reported::Refused;
                }
            },
        };
        self.held.insert(from.clone(), Held { hash, view });
        if before == Some(hash) {
            Reported::Unchanged
        } else {
            Reported::Changed
        }
    }

    fn share_own(&mut self) -> View {
        let own = &self.own;
        self.own_shared
            .get_or_insert_with(|| own.iter().cloned().collect())
            .clone()
    }

    fn admit(&mut self, from: &NodeName, hash: u64, names: Vec<NodeName>) -> Option<View> {
        let usable = |name: &NodeName| undialable(name.address()).is_none();
        if names.len() > VIEW_MAX || !names.iter().all(usable) {
            return None;
        }
        if hash == self.own_hash {
            return Some(self.share_own());
        }
        let names: BTreeSet<NodeName> = names.into_iter().collect();
        let sum = names.iter().map(hash_of).fold(0, u64::wrapping_add);
        (sum == hash && names.contains(from)).then(|| names.into_iter().collect())
    }
}

/// The hash of one name.
fn hash_of(name: &NodeName) -> u64 {
    let mut hash = Fnv1a(0xcbf2_9ce4_8422_2325);
    write!(hash, "{name}").expect("hashing does not fail");
    let mut mixed = hash.0;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The most bytes that a name takes in a frame: its text, and the length of the text.
fn bytes_of(name: &NodeName) -> usize {
    let mut text = Length(0);
    write!(text, "{name}").expect("counting does not fail");
    text.0 + 2
}

/// Counts the bytes of text as it is written.
struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// FNV-1a, 64 bits, over text as it is written, without building the text first.
struct Fnv1a(u64);

impl Write for Fnv1a {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::frame::{Frame, TopologyFrame};

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn name(host: u8) -> NodeName {
        format!("a@10.0.0.{host}").parse().unwrap()
    }

    fn names(hosts: &[u8]) -> Vec<NodeName> {
        hosts.iter().copied().map(name).collect()
    }

    fn views_of(me: u8, others: &[u8]) -> Views {
        let mut views = Views::new(&name(me));
        others.iter().for_each(|host| views.up(at(0), &name(*host)));
        views
    }

    #[test]
    fn equal_sets_hash_alike_whoever_made_them_and_in_whichever_order() {
        let mut first = views_of(1, &[2, 3, 9]);
        first.down(at(0), &name(9));
        let second = views_of(3, &[2, 1]);
        assert_eq!(first.own_hash(), second.own_hash());
        assert_ne!(first.own_hash(), views_of(1, &[2]).own_hash());
    }

    #[test]
    fn the_hash_of_a_name_is_the_same_in_every_release() {
        let port: NodeName = "app@[fdaa::3]:4000".parse().unwrap();
        assert_eq!(
            hash_of(&name(1)),
            0x4302_481a_27fc_d4e5,
            "{:#x}",
            hash_of(&name(1))
        );
        assert_eq!(
            hash_of(&port),
            0x5777_9bc2_6a45_7687,
            "{:#x}",
            hash_of(&port)
        );
    }

    #[test]
    fn a_view_travels_only_to_those_who_do_not_know_it() {
        let views = views_of(1, &[2]);
        assert_eq!(views.answer(None), None);
        assert_eq!(views.answer(Some(&[views.own_hash(), 7])), None);
        assert_eq!(views.answer(Some(&[7])), Some(names(&[1, 2])));
    }

    #[test]
    fn a_view_that_does_not_fit_into_a_frame_is_not_sent() {
        let mut views = views_of(1, &[]);
        let long = |n: usize| -> NodeName {
            let base = "b".repeat(60);
            format!("{base}@10.1.{}.{}", n / 256, n % 256)
                .parse()
                .unwrap()
        };
        (0..1_000).for_each(|n| views.up(at(0), &long(n)));
        assert_eq!(views.answer(Some(&[])), None);
        (800..1_000).for_each(|n| views.down(at(0), &long(n)));
        let view = views.answer(Some(&[]));
        assert_eq!(view.as_ref().map(Vec::len), Some(801));
        let frame = Frame::Topology(TopologyFrame::Health {
            id: u64::MAX,
            ready: true,
            view_hash: views.own_hash(),
            view,
        });
        let mut bytes = Vec::new();
        codec::encode(&frame, &mut bytes);
        let (raw, _) = codec::split(&bytes).unwrap();
        assert_eq!(codec::decode(raw), Ok(Some(frame)));
    }

    #[test]
    fn a_name_at_an_address_of_nobody_makes_a_view_refused() {
        let mut views = views_of(1, &[2]);
        let nobody: NodeName = "a@0.0.0.0".parse().unwrap();
        let mut theirs = views_of(2, &[1]);
        theirs.up(at(0), &nobody);
        let set = theirs.answer(Some(&[]));
        let reported = views.report(&name(2), theirs.own_hash(), set);
        assert_eq!(reported, Reported::Refused);
    }

    #[test]
    fn a_reported_view_is_held_and_offered_as_known() {
        let mut views = views_of(1, &[2]);
        let theirs = views_of(2, &[1, 3]);
        let (hash, set) = (theirs.own_hash(), theirs.answer(Some(&[])));
        assert_eq!(views.report(&name(2), hash, set), Reported::Changed);
        assert_eq!(views.of(&name(2)).unwrap().1.to_vec(), names(&[1, 2, 3]));
        assert_eq!(views.known(&name(2)), [views.own_hash(), hash]);
        assert_eq!(views.report(&name(2), hash, None), Reported::Unchanged);
    }

    #[test]
    fn a_view_equal_to_the_own_one_is_held_once_and_stays_when_the_own_one_changes() {
        let mut views = views_of(1, &[2, 3]);
        let hash = views.own_hash();
        assert_eq!(views.report(&name(2), hash, None), Reported::Changed);
        assert_eq!(views.report(&name(3), hash, None), Reported::Changed);
        let held = |host| views.of(&name(host)).unwrap().1;
        assert!(Arc::ptr_eq(held(2), held(3)));
        views.down(at(0), &name(3));
        assert_eq!(views.of(&name(2)).unwrap().1.to_vec(), names(&[1, 2, 3]));
        assert_eq!(views.report(&name(2), hash, None), Reported::Unchanged);
    }

    #[test]
    fn a_hash_that_means_nothing_here_leaves_the_view_unknown() {
        let mut views = views_of(1, &[2]);
        assert_eq!(views.report(&name(2), 7, None), Reported::Unresolved);
        assert!(views.of(&name(2)).is_none());
    }

    #[test]
    fn a_view_that_lies_about_its_hash_or_its_sender_is_refused() {
        let mut views = views_of(1, &[2]);
        let theirs = views_of(3, &[4]);
        let set = theirs.answer(Some(&[]));
        assert_eq!(views.report(&name(2), 7, set.clone()), Reported::Refused);
        assert_eq!(
            views.report(&name(2), theirs.own_hash(), set),
            Reported::Refused
        );
        let many = vec![name(2); VIEW_MAX + 1];
        assert_eq!(
            views.report(&name(2), hash_of(&name(2)), Some(many)),
            Reported::Refused
        );
        assert!(views.of(&name(2)).is_none());
    }

    #[test]
    fn a_new_session_voids_the_view_and_a_lost_link_keeps_it() {
        let mut views = views_of(1, &[2]);
        let hash = views.own_hash();
        views.report(&name(2), hash, None);
        views.down(at(0), &name(2));
        assert!(views.of(&name(2)).is_some());
        views.up(at(0), &name(2));
        assert!(views.of(&name(2)).is_none());
    }

    #[test]
    fn while_the_own_view_changes_a_few_peers_are_asked_in_turn() {
        let hosts: Vec<u8> = (2..14).collect();
        let peers = names(&hosts);
        let mut views = views_of(1, &hosts);
        let mut asked = |now| -> Vec<u8> {
            let ask = views.whom_to_ask(now, &peers);
            hosts
                .iter()
                .zip(ask)
                .filter(|(_, ask)| *ask)
                .map(|(host, _)| *host)
                .collect()
        };
        assert_eq!(asked(at(1)), [2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(asked(at(2)), [2, 3, 4, 5, 10, 11, 12, 13]);
        assert_eq!(asked(at(3)), [6, 7, 8, 9, 10, 11, 12, 13]);
        assert_eq!(asked(at(5)), hosts, "the view has stood still");
    }

    #[test]
    fn in_a_small_cluster_all_are_asked_at_any_time() {
        let peers = names(&[2, 3]);
        assert_eq!(
            views_of(1, &[2, 3]).whom_to_ask(at(0), &peers),
            [true, true]
        );
    }
}
