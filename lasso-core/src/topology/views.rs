//! Which nodes this one is linked to, and which nodes its peers say that they are linked to.
//!
//! A view is the set of nodes that one node is linked to, and that node. In a whole cluster all
//! views are the same set, so what travels is a hash; the set itself travels only to a peer that
//! does not know it. Equal views are held once.
//!
//! 1. The hash does not depend on the order in which links came and went, is the same in every
//!    process, and a link costs one step to add or to take away.
//! 2. A view that is held hashes to what its sender said, and names its sender.
//! 3. At most [`VIEW_MAX`] names are taken from a peer.
//!
//! The hash is the sum, modulo 2^64, of a 64-bit hash of each name: FNV-1a over the name's text,
//! finished with the mixing step of SplitMix64. It tells honest views apart; it is no protection
//! against a member that lies, which the threat model leaves to the cookie.

use core::fmt::Write;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::name::NodeName;

/// Most names taken from one view: four times the largest cluster that is tested. With names of
/// usual length a view of that size is about 300 KiB.
pub const VIEW_MAX: usize = 4096;

/// A view: names in order.
pub(super) type View = Arc<[NodeName]>;

#[derive(Debug, Clone)]
struct Held {
    hash: u64,
    view: View,
}

/// What a report did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reported {
    /// The peer's view is what it was.
    Unchanged,
    /// The peer's view is another now.
    Changed,
    /// The hash means nothing here; the next check asks for the set.
    Unresolved,
    /// The view contradicts its hash or its sender, or is too large. The peer's fault; what was
    /// held of it is dropped.
    Refused,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Views {
    /// The own view.
    own: BTreeSet<NodeName>,
    own_hash: u64,
    /// The own view as peers share it; made when first needed after a change.
    own_shared: Option<View>,
    /// The last view of each peer; kept for nodes that are gone, until they are forgotten.
    held: BTreeMap<NodeName, Held>,
}

impl Views {
    pub(super) fn new(me: &NodeName) -> Self {
        Views {
            own: BTreeSet::from([me.clone()]),
            own_hash: hash_of(me),
            own_shared: None,
            held: BTreeMap::new(),
        }
    }

    /// A link stands. What the peer said in an earlier session is void.
    pub(super) fn up(&mut self, name: &NodeName) {
        if self.own.insert(name.clone()) {
            self.own_hash = self.own_hash.wrapping_add(hash_of(name));
            self.own_shared = None;
        }
        self.held.remove(name);
    }

    /// A link is lost; the last view of the peer is kept.
    pub(super) fn down(&mut self, name: &NodeName) {
        if self.own.remove(name) {
            self.own_hash = self.own_hash.wrapping_sub(hash_of(name));
            self.own_shared = None;
        }
    }

    /// The node is remembered no more.
    pub(super) fn forget(&mut self, name: &NodeName) {
        self.held.remove(name);
    }

    /// The hash of the own view.
    pub(super) fn own_hash(&self) -> u64 {
        self.own_hash
    }

    /// The nodes of the own view, self included.
    pub(super) fn own(&self) -> &BTreeSet<NodeName> {
        &self.own
    }

    /// The last view of a peer.
    pub(super) fn of(&self, name: &NodeName) -> Option<(u64, &View)> {
        self.held.get(name).map(|held| (held.hash, &held.view))
    }

    /// The hashes with which `peer` may answer instead of sending its view.
    pub(super) fn known(&self, peer: &NodeName) -> Vec<u64> {
        let held = self.held.get(peer).map(|held| held.hash);
        core::iter::once(self.own_hash)
            .chain(held.filter(|hash| *hash != self.own_hash))
            .collect()
    }

    /// What answers a check whose asker knows these hashes.
    pub(super) fn answer(&self, known: Option<&[u64]>) -> Option<Vec<NodeName>> {
        let known = known?;
        if known.contains(&self.own_hash) {
            None
        } else {
            Some(self.own.iter().cloned().collect())
        }
    }

    /// A peer reports the hash of its view, and the view where it was not known here.
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
        if names.len() > VIEW_MAX {
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

/// FNV-1a, 64 bits, over text as it is written: no text is put together for it.
struct Fnv1a(u64);

impl Write for Fnv1a {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
