//! Peers that refuse topics of this node, as their tables are full: they are asked again.
//!
//! A peer says that it has refused something, and not what: all that it was told and has not answered. Asking
//! again for a topic that it has taken meanwhile changes nothing.
//!
//! 1. Each peer that refuses is asked again until it has answered every topic, a part of them at a time.
//! 2. One step looks at a bounded number of topics of one peer, whatever peers say.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry;

use super::SubscriberId;
use super::hub::Hub;
use super::slab::Place;
use crate::name::NodeName;

/// How far asking a peer again has come.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// The next topic to look at.
    from: Place,
    /// In this round, one had no answer.
    lacks: bool,
}

impl Hub {
    /// A peer has refused topics.
    pub(super) fn on_refused(&mut self, peer: Place) {
        self.counters.interest_denied += 1;
        if let Entry::Vacant(begins) = self.refusing.entry(peer) {
            begins.insert(Asking::default());
            self.refusing_untold.insert(self.peers[peer].name.clone());
        }
    }

    /// Peers that have begun to refuse topics since this was last asked.
    pub(crate) fn take_refusing(&mut self) -> BTreeSet<NodeName> {
        core::mem::take(&mut self.refusing_untold)
    }

    /// True when [`Hub::take_refusing`] has something.
    pub(crate) fn has_refusing(&self) -> bool {
        !self.refusing_untold.is_empty()
    }

    /// How many peers refuse topics.
    pub(crate) fn refusing(&self) -> usize {
        self.refusing.len()
    }

    /// Asks one of the peers that refuse topics for some of them again, each peer in turn.
    pub(crate) fn ask_again(&mut self) {
        let behind = self.refusing.range(self.asked_last + 1..).next();
        let Some((&place, _)) = behind.or_else(|| self.refusing.first_key_value()) else {
            return;
        };
        self.asked_last = place;
        let (peer, asking) = (&mut self.peers[place], &mut self.refusing);
        let asking = asking.get_mut(&place).expect("it was just found");
        let told = peer.news.told.range(asking.from..);
        let some: Vec<Place> = told.take(LOOKED_AT).copied().collect();
        for &topic in &some {
            if !peer.streams.is_live(topic) {
                peer.news.told.remove(&topic);
                peer.news.wanted.insert(topic);
            }
        }
        asking.lacks |= !peer.news.wanted.is_empty();
        if !peer.news.wanted.is_empty() {
            peer.ring(&mut self.noisy);
        }
        match some.last() {
            Some(last) if some.len() == LOOKED_AT => asking.from = last + 1,
            _ if asking.lacks => *asking = Asking::default(),
            _ => {
                self.refusing.remove(&place);
            }
        }
    }

    /// The linked nodes that refuse what this subscription is for.
    pub(crate) fn refused_by(&self, id: SubscriberId) -> Vec<NodeName> {
        let Some(&place) = self.subscriber_places.get(&id) else {
            return Vec::new();
        };
        let topic = self.subscribers[place].topic;
        let peers = self.refusing.keys().map(|&peer| &self.peers[peer]);
        let refuse = peers.filter(|peer| !peer.streams.is_live(topic));
        refuse.map(|peer| peer.name.clone()).collect()
    }
}

/// Topics that are looked at in one step.
const LOOKED_AT: usize = 1_024;
