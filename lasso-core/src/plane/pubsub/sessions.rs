//! Links that come and go, and what nodes say of themselves.

use core::mem;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::hub::Hub;
use super::peer::{News, Peer};
use super::slab::Place;
use super::topics::Interest;
use crate::name::{Description, Identity, Incarnation, Label, NodeName};
use crate::node::ConnId;

impl Hub {
    /// This node describes itself anew.
    pub(crate) fn describe_self(&mut self, description: &Description) {
        self.roles.clone_from(&description.roles);
        if self.region != description.region {
            self.region = description.region.clone();
            self.forget_own_sources();
        }
    }

    /// This node goes on under another incarnation.
    pub(crate) fn renumbered(&mut self, incarnation: Incarnation) {
        self.me.incarnation = incarnation;
        self.forget_own_sources();
    }

    fn forget_own_sources(&mut self) {
        for (_, topic) in self.topics.iter_mut() {
            topic.own = None;
        }
    }

    /// A link stands: all local interest becomes news for it. An older one to that node gives way.
    pub(crate) fn link_up(&mut self, conn: ConnId, identity: &Identity) {
        self.link_down(conn);
        let known = self.names.get(&identity.name).copied();
        if let Some(standing) = known.and_then(|place| self.peers[place].conn) {
            self.link_down(standing);
        }
        // The end of its link may have been the end of the peer.
        if let Some(&place) = self.names.get(&identity.name)
            && self.peers[place].incarnation != identity.incarnation
        {
            self.remove_peer(place);
        }
        let place = self.names.get(&identity.name).copied();
        let place = place.unwrap_or_else(|| {
            let place = self.peers.insert(Peer::new(identity));
            self.names.insert(identity.name.clone(), place);
            place
        });
        self.conns.insert(conn, place);
        let peer = &mut self.peers[place];
        peer.conn = Some(conn);
        peer.news.wanted.clone_from(&self.subscribed);
        if !peer.news.is_empty() {
            peer.ring(&mut self.noisy);
        }
    }

    /// A link is lost. What was on its way is told as missed when the next session has begun.
    pub(crate) fn link_down(&mut self, conn: ConnId) {
        let Some(place) = self.conns.remove(&conn) else {
            return;
        };
        self.noisy.retain(|&noisy| noisy != conn);
        self.refusing.remove(&place);
        let peer = &mut self.peers[place];
        peer.conn = None;
        peer.news = News::default();
        peer.streams.pause();
        let mut present = mem::take(&mut peer.present);
        for &topic in &present {
            self.withdraw(place, topic);
        }
        self.peers[place].absent.append(&mut present);
        self.remove_if_nobody(place);
    }

    /// A node has described itself.
    pub(crate) fn described(&mut self, name: &NodeName, region: &Label, roles: &BTreeSet<Label>) {
        let Some(&place) = self.names.get(name) else {
            return;
        };
        let peer = &mut self.peers[place];
        peer.roles.clone_from(roles);
        if peer.region != *region {
            peer.region = region.clone();
            peer.streams.each(|incoming| {
                let mut source = (*incoming.source).clone();
                source.region = region.clone();
                incoming.source = Arc::new(source);
            });
        }
    }

    /// A node without a link is forgotten: nothing is owed to it, and nothing is missed from it.
    pub(crate) fn forgotten(&mut self, name: &NodeName) {
        if let Some(&place) = self.names.get(name)
            && self.peers[place].conn.is_none()
        {
            self.remove_peer(place);
        }
    }

    pub(super) fn remove_if_nobody(&mut self, place: Place) {
        if self.peers[place].is_nobody() {
            self.remove_peer(place);
        }
    }

    /// Takes out a peer that has no link.
    pub(super) fn remove_peer(&mut self, place: Place) {
        let peer = self.peers.remove(place);
        debug_assert!(peer.conn.is_none() && peer.present.is_empty());
        self.names.remove(&peer.name);
        for topic in peer.absent {
            debug_assert!(
                self.topics[topic]
                    .receiver(place)
                    .is_some_and(|receiver| { receiver.interest == Interest::Absent })
            );
            self.topics[topic].drop_receiver(place);
            self.topics.settle(topic);
        }
    }
}
